#include "client/model_format.h"

#include <algorithm>
#include <cstdint>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/call_status.h"

namespace retort::client {
namespace {

using Header = v1::ImportModelHeader;

constexpr int64_t kHeadBytes = 64;
// Room for the names of thousands of tensors.
constexpr int64_t kTailBytes = 4 << 20;
constexpr absl::string_view kZip("PK\x03\x04", 4);
// What every TorchScript archive has and no other.
constexpr absl::string_view kScriptEntry = "/constants.pkl";
// How torch.save began before it wrote zip files: PROTO 2, LONG1 of ten bytes.
constexpr absl::string_view kStream("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9", 9);
constexpr char kProto = '\x80';

// `count` bytes from `offset` on, or as many as there are.
std::string Piece(std::ifstream* file, int64_t offset, int64_t count) {
  std::string bytes(static_cast<size_t>(count), '\0');
  file->clear();
  file->seekg(offset);
  file->read(bytes.data(), static_cast<std::streamsize>(count));
  bytes.resize(static_cast<size_t>(std::max<int64_t>(file->gcount(), 0)));
  return bytes;
}

// Eight bytes of length, then JSON.
bool IsSafetensors(absl::string_view head, int64_t size) {
  if (head.size() < 9 || head[8] != '{') return false;
  uint64_t length = 0;
  for (int i = 8; i-- > 0;) {
    length = length << 8 | static_cast<unsigned char>(head[i]);
  }
  return length <= static_cast<uint64_t>(size - 8);
}

}  // namespace

absl::StatusOr<Header::Format> RecogniseFormat(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return UsageError(absl::StrCat("cannot read ", path));
  const int64_t size = file.tellg();
  const std::string head = Piece(&file, 0, kHeadBytes);
  if (IsSafetensors(head, size)) return Header::FORMAT_SAFETENSORS;
  if (absl::StartsWith(head, kZip)) {
    const int64_t tail = std::min(size, kTailBytes);
    return absl::StrContains(Piece(&file, size - tail, tail), kScriptEntry)
               ? Header::FORMAT_TORCHSCRIPT
               : Header::FORMAT_PYTORCH_ZIP;
  }
  if (absl::StartsWith(head, kStream)) return Header::FORMAT_PYTORCH_ZIP;
  if (!head.empty() && head[0] == kProto) return Header::FORMAT_EDM_PICKLE;
  return UsageError(absl::StrCat(
      path,
      " is no file of weights that can be recognised; if you know better, say "
      "--format safetensors, edm-pickle, pytorch-zip or torchscript"));
}

}  // namespace retort::client
