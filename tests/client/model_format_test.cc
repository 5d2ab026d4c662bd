#include "client/model_format.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/model_files.h"
#include "tests/support/pickle_builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/zip_builder.h"

namespace retort::client {
namespace {

using testing::IsOkAndHolds;
using testing::PickleBuilder;
using testing::StatusIs;
using testing::ZipBuilder;
using Header = v1::ImportModelHeader;

class ModelFormatTest : public ::testing::Test {
 protected:
  absl::StatusOr<Header::Format> Recognise(const std::string& bytes) {
    const std::string path = dir_ / "weights.bin";
    std::ofstream(path, std::ios::binary) << bytes;
    return RecogniseFormat(path);
  }
  testing::TempDir dir_;
};

TEST_F(ModelFormatTest, TellsFilesByTheirBytes) {
  EXPECT_THAT(Recognise(testing::SmallWeights()),
              IsOkAndHolds(Header::FORMAT_SAFETENSORS));
  EXPECT_THAT(Recognise(PickleBuilder(4).Value({{"ema", 1}}).Build()),
              IsOkAndHolds(Header::FORMAT_EDM_PICKLE));
  EXPECT_THAT(
      Recognise("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."),
      IsOkAndHolds(Header::FORMAT_PYTORCH_ZIP));
  EXPECT_THAT(Recognise(ZipBuilder().Add("a/data.pkl", "p").Build()),
              IsOkAndHolds(Header::FORMAT_PYTORCH_ZIP));
}

TEST_F(ModelFormatTest, TellsATorchScriptModuleByTheNamesAtTheEnd) {
  const std::string code(int64_t{6} << 20, 'c');
  EXPECT_THAT(Recognise(ZipBuilder()
                            .Add("m/code/__torch__.py", code)
                            .Add("m/data.pkl", "p")
                            .Add("m/constants.pkl", "p")
                            .Build()),
              IsOkAndHolds(Header::FORMAT_TORCHSCRIPT));
}

TEST_F(ModelFormatTest, SaysHowToGoOnWithOtherFiles) {
  for (const char* bytes : {"", "text", "\x89PNG", "{\"a\": 1}"}) {
    EXPECT_THAT(Recognise(bytes), StatusIs(absl::StatusCode::kInvalidArgument,
                                           ::testing::HasSubstr("--format")))
        << bytes;
  }
  EXPECT_FALSE(RecogniseFormat(dir_ / "nothing").ok());
}

}  // namespace
}  // namespace retort::client
