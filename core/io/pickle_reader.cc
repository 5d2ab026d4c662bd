#include "core/io/pickle_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/io/bytes.h"
#include "core/io/pickle_globals.h"

namespace retort::io {
namespace {

using Kind = PickleKind;

constexpr uint64_t kNewestProtocol = 5;
// Values can be pushed again and again from the memo.
constexpr size_t kMaxStackDepth = size_t{1} << 21;
constexpr size_t kMaxNameShown = 100;

// Escaped and cut: names of a file are as hostile as the rest of it.
std::string Shown(absl::string_view text) {
  return absl::CHexEscape(text.substr(0, kMaxNameShown));
}

// What _codecs.encode(text, 'latin1') returns; false for other characters.
bool ToLatin1(absl::string_view text, std::string* bytes) {
  bytes->reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      bytes->push_back(text[i]);
      continue;
    }
    if ((c != 0xc2 && c != 0xc3) || i + 1 == text.size()) return false;
    const auto d = static_cast<unsigned char>(text[++i]);
    if ((d & 0xc0) != 0x80) return false;
    bytes->push_back(static_cast<char>((c & 3) << 6 | (d & 0x3f)));
  }
  return true;
}

// The first failure sticks: later reads and pops give zeros and None, and the
// loop ends after the opcode that failed.
class PickleMachine {
 public:
  PickleMachine(absl::string_view bytes, PickleHeap* heap)
      : bytes_(bytes), heap_(heap) {}

  absl::StatusOr<const PickleValue*> Run(size_t* used) {
    while (error_.ok() && !stopped_) {
      opcode_at_ = at_;
      const auto opcode = static_cast<uint8_t>(Fixed(1));
      if (!error_.ok()) break;
      if (!Number(opcode) && !Text(opcode) && !Container(opcode) &&
          !Memo(opcode) && !Call(opcode)) {
        Fail(absl::StrCat("has the byte ", opcode,
                          ", which is no opcode of a pickle that Retort "
                          "reads"));
      }
      if (std::max({stack_.size(), marks_.size(), memo_.size()}) >
          kMaxStackDepth) {
        Fail("stacks up more values than any network needs");
      }
    }
    if (!error_.ok()) return error_;
    *used = at_;
    return result_;
  }

 private:
  void Fail(absl::string_view what) {
    if (!error_.ok()) return;
    error_ = absl::InvalidArgumentError(
        absl::StrCat("the pickle ", what, " (at byte ", opcode_at_, ")"));
  }

  // Input.

  absl::string_view Take(uint64_t count) {
    if (!error_.ok()) return "";
    if (count > bytes_.size() - at_) {
      Fail(absl::StrCat("is cut off or damaged: ", count,
                        " bytes are announced and ", bytes_.size() - at_,
                        " follow"));
      return "";
    }
    const absl::string_view taken = bytes_.substr(at_, count);
    at_ += count;
    return taken;
  }
  uint64_t Fixed(int count) { return LittleEndian(Take(count)); }
  absl::string_view Line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == absl::string_view::npos) {
      Fail("is cut off or damaged: a line does not end");
      return "";
    }
    const absl::string_view line = Take(end - at_);
    at_ = std::min(end + 1, bytes_.size());
    return line;
  }

  // The stack.

  PickleValue* New(Kind kind) {
    PickleValue* value = heap_->New(kind);
    if (value != nullptr) return value;
    Fail("holds more values than any network needs");
    return &nothing_;
  }
  bool Charge(size_t items) {
    if (heap_->Charge(items)) return error_.ok();
    Fail("holds more values than any network needs");
    return false;
  }
  PickleValue* Push(PickleValue* value) {
    stack_.push_back(value);
    return value;
  }
  PickleValue* PushNew(Kind kind) { return Push(New(kind)); }
  bool PushInt(int64_t integer) {
    PushNew(Kind::kInt)->integer = integer;
    return true;
  }
  bool PushText(Kind kind, absl::string_view text) {
    PushNew(kind)->text = text;
    return true;
  }
  size_t Floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleValue* Top() {
    if (stack_.size() > Floor()) return stack_.back();
    Fail("takes a value from an empty stack");
    return &nothing_;
  }
  PickleValue* Pop() {
    PickleValue* value = Top();
    if (error_.ok()) stack_.pop_back();
    return value;
  }
  // Everything above the last mark.
  std::vector<const PickleValue*> PopMark() {
    if (marks_.empty()) {
      Fail("looks for a mark that was never set");
      return {};
    }
    std::vector<const PickleValue*> items(stack_.begin() + marks_.back(),
                                          stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  // Groups of opcodes; false if the opcode is of another one.

  bool Number(uint8_t opcode) {
    switch (opcode) {
      case 'N':
        PushNew(Kind::kNone);
        return true;
      case 0x88:
      case 0x89:
        PushNew(Kind::kBool)->integer = opcode == 0x88;
        return true;
      case 'J':
        return PushInt(static_cast<int32_t>(Fixed(4)));
      case 'K':
        return PushInt(static_cast<int64_t>(Fixed(1)));
      case 'M':
        return PushInt(static_cast<int64_t>(Fixed(2)));
      case 0x8a:
        return Long(Take(Fixed(1)));
      case 0x8b: {
        const auto length = static_cast<int32_t>(Fixed(4));
        if (length < 0) Fail("has a number of negative length");
        return Long(Take(std::max(length, 0)));
      }
      case 'I':
      case 'L':
        return Decimal(opcode, Line());
      case 'F': {
        double real = 0;
        if (!absl::SimpleAtod(Line(), &real)) Fail("has a malformed number");
        PushNew(Kind::kFloat)->real = real;
        return true;
      }
      case 'G': {  // big-endian
        const uint64_t bits = __builtin_bswap64(Fixed(8));
        std::memcpy(&PushNew(Kind::kFloat)->real, &bits, sizeof(bits));
        return true;
      }
      default:
        return false;
    }
  }

  // Two's complement, little-endian.
  bool Long(absl::string_view raw) {
    if (raw.size() > 8) return PushText(Kind::kBigInt, raw);
    uint64_t value = LittleEndian(raw);
    if (!raw.empty() && raw.size() < 8 && (raw.back() & 0x80) != 0) {
      value |= ~uint64_t{0} << (8 * raw.size());
    }
    return PushInt(static_cast<int64_t>(value));
  }

  bool Decimal(uint8_t opcode, absl::string_view line) {
    if (opcode == 'I' && (line == "00" || line == "01")) {
      PushNew(Kind::kBool)->integer = line == "01";
      return true;
    }
    if (opcode == 'L') line = absl::StripSuffix(line, "L");
    int64_t integer = 0;
    if (!absl::SimpleAtoi(line, &integer)) Fail("has a malformed number");
    return PushInt(integer);
  }

  bool Text(uint8_t opcode) {
    switch (opcode) {
      case 0x8c:
        return PushText(Kind::kText, Take(Fixed(1)));
      case 'X':
        return PushText(Kind::kText, Take(Fixed(4)));
      case 0x8d:
        return PushText(Kind::kText, Take(Fixed(8)));
      case 'U':  // Python 2's str
        return PushText(Kind::kText, Take(Fixed(1)));
      case 'T':
        return PushText(Kind::kText, Take(Fixed(4)));
      case 'C':
        return PushText(Kind::kBytes, Take(Fixed(1)));
      case 'B':
        return PushText(Kind::kBytes, Take(Fixed(4)));
      case 0x8e:
      case 0x96:
        return PushText(Kind::kBytes, Take(Fixed(8)));
      case 'V':
      case 'S':
        return PlainLine(opcode, Line());
      default:
        return false;
    }
  }

  bool PlainLine(uint8_t opcode, absl::string_view line) {
    if (opcode == 'S') {
      if (line.size() < 2 || line.front() != line.back() ||
          (line.front() != '\'' && line.front() != '"')) {
        Fail("has a text without quotes");
        return true;
      }
      line = line.substr(1, line.size() - 2);
    }
    for (const char c : line) {
      if (c == '\\' || (c & 0x80) != 0) {
        Fail("has text with escapes in protocol 0; write it with protocol 2");
        break;
      }
    }
    return PushText(Kind::kText, line);
  }

  bool Container(uint8_t opcode) {
    switch (opcode) {
      case '(':
        marks_.push_back(stack_.size());
        return true;
      case ')':
        PushNew(Kind::kTuple);
        return true;
      case 't':
        return Collect(Kind::kTuple);
      case 0x85:
      case 0x86:
      case 0x87:
        return SmallTuple(opcode - 0x84);
      case ']':
        PushNew(Kind::kList);
        return true;
      case 'l':
        return Collect(Kind::kList);
      case '}':
        PushNew(Kind::kDict);
        return true;
      case 'd':
        return Collect(Kind::kDict);
      case 0x8f:
        PushNew(Kind::kSet);
        return true;
      case 0x91:
        return Collect(Kind::kSet);
      case 'a':
        return Extend(Kind::kList, {Pop()});
      case 'e':
        return Extend(Kind::kList, PopMark());
      case 0x90:
        return Extend(Kind::kSet, PopMark());
      case 's': {
        const PickleValue* value = Pop();
        return Extend(Kind::kDict, {Pop(), value});
      }
      case 'u':
        return Extend(Kind::kDict, PopMark());
      default:
        return false;
    }
  }

  bool Collect(Kind kind) {
    std::vector<const PickleValue*> items = PopMark();
    PushNew(kind);
    return Extend(kind, std::move(items));
  }

  bool SmallTuple(int count) {
    std::vector<const PickleValue*> items(count);
    for (int i = count; i-- > 0;) items[i] = Pop();
    PushNew(Kind::kTuple)->items = std::move(items);
    return true;
  }

  // Adds to the list, set or dict on top of the stack.
  bool Extend(Kind kind, std::vector<const PickleValue*> items) {
    PickleValue* top = Top();
    if (!top->Is(kind)) {
      Fail("adds items to something that takes none");
    } else if (kind == Kind::kDict && items.size() % 2 != 0) {
      Fail("has a key without a value");
    } else if (Charge(items.size())) {
      top->items.insert(top->items.end(), items.begin(), items.end());
    }
    return true;
  }

  bool Memo(uint8_t opcode) {
    switch (opcode) {
      case 0x94:
        memo_[memo_.size()] = Top();
        return true;
      case 'q':
        memo_[Fixed(1)] = Top();
        return true;
      case 'r':
        memo_[Fixed(4)] = Top();
        return true;
      case 'p':
        memo_[Index()] = Top();
        return true;
      case 'h':
        return Recall(Fixed(1));
      case 'j':
        return Recall(Fixed(4));
      case 'g':
        return Recall(Index());
      case '0':
        if (stack_.size() == Floor() && !marks_.empty()) {
          marks_.pop_back();
        } else {
          Pop();
        }
        return true;
      case '1':
        PopMark();
        return true;
      case '2':
        Push(Top());
        return true;
      default:
        return false;
    }
  }

  uint64_t Index() {
    uint64_t index = 0;
    if (!absl::SimpleAtoi(Line(), &index)) Fail("has a malformed index");
    return index;
  }

  bool Recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) {
      Fail(absl::StrCat("refers to value ", index, ", which it never kept"));
    } else {
      Push(found->second);
    }
    return true;
  }

  bool Call(uint8_t opcode) {
    switch (opcode) {
      case 0x80:
        if (Fixed(1) > kNewestProtocol) Fail("is of a protocol above 5");
        return true;
      case 0x95: {  // A frame only says how far one may read ahead.
        const uint64_t length = Fixed(8);
        if (length > bytes_.size() - at_) {
          Fail("is cut off or damaged: a frame is longer than the file");
        }
        return true;
      }
      case '.':
        result_ = Pop();
        stopped_ = true;
        return true;
      case 'c': {
        const absl::string_view module = Line();
        return Global(module, Line());
      }
      case 0x93:
        return StackGlobal();
      case 'R':
      case 0x81: {
        const PickleValue* arguments = Pop();
        if (!arguments->Is(Kind::kTuple)) Fail("has arguments that are none");
        return Apply(*Pop(), arguments->items);
      }
      case 'Q':
        return Persistent(Pop());
      case 'b':
        return Build(Pop());
      default:
        return false;
    }
  }

  bool StackGlobal() {
    const PickleValue* name = Pop();
    const PickleValue* module = Pop();
    if (!name->Is(Kind::kText) || !module->Is(Kind::kText)) {
      Fail("names something by what is no text");
      return true;
    }
    return Global(module->text, name->text);
  }

  bool Global(absl::string_view module, absl::string_view name) {
    const AllowedGlobal* allowed = FindGlobal(module, name);
    if (allowed == nullptr) {
      Fail(absl::StrCat(
          "asks for ", Shown(module), ".", Shown(name),
          ", which is none of the names that a file of weights needs; "
          "nothing of it was run. If you trust the file, load it in Python "
          "and save its state_dict with torch.save"));
      return true;
    }
    PickleValue* value = PushNew(Kind::kGlobal);
    value->global = allowed->global;
    value->integer = allowed->integer;
    return true;
  }

  // Writes down what was to be called; the few that stand for plain data
  // become that.
  bool Apply(const PickleValue& callee,
             const std::vector<const PickleValue*>& arguments) {
    if (!callee.Is(Kind::kGlobal)) {
      Fail("calls something that is no name");
      return true;
    }
    switch (callee.global) {
      case PickleGlobal::kDict:
        return MakeDict(arguments);
      case PickleGlobal::kSet:  // what is in it is of no use to anyone
        PushNew(Kind::kSet);
        return true;
      case PickleGlobal::kEncode:
        return Encode(arguments);
      default:
        break;
    }
    PickleValue* object = PushNew(Kind::kObject);
    object->global = callee.global;
    object->integer = callee.integer;
    if (Charge(arguments.size())) object->items = arguments;
    return true;
  }

  // OrderedDict(), or OrderedDict([(key, value), ...]) as Python 2 has it.
  bool MakeDict(const std::vector<const PickleValue*>& arguments) {
    PickleValue* dict = PushNew(Kind::kDict);
    if (arguments.empty() || !Charge(2 * arguments[0]->items.size())) {
      return true;
    }
    for (const PickleValue* pair : arguments[0]->items) {
      if (pair->items.size() != 2) {
        Fail("makes a dict of what are no pairs");
        return true;
      }
      dict->items.push_back(pair->items[0]);
      dict->items.push_back(pair->items[1]);
    }
    return true;
  }

  bool Encode(const std::vector<const PickleValue*>& arguments) {
    if (arguments.size() != 2 || !arguments[0]->Is(Kind::kText) ||
        !(arguments[1]->IsText("latin1") || arguments[1]->IsText("latin-1"))) {
      Fail("encodes text otherwise than as latin1");
      return true;
    }
    std::string bytes;
    absl::string_view owned;
    if (!ToLatin1(arguments[0]->text, &bytes)) {
      Fail("encodes text as latin1 that is not");
    } else if (!heap_->Own(std::move(bytes), &owned)) {
      Fail("decodes to far more bytes than it has");
    }
    return PushText(Kind::kBytes, owned);
  }

  bool Persistent(const PickleValue* id) {
    PushNew(Kind::kPersistent)->items = {id};
    return true;
  }

  bool Build(const PickleValue* state) {
    PickleValue* top = Top();
    if (top->Is(Kind::kObject)) {
      top->state = state;
    } else if (!top->Is(Kind::kDict)) {  // a dict's attributes are of no use
      Fail("gives a state to something that has none");
    }
    return true;
  }

  const absl::string_view bytes_;
  PickleHeap* const heap_;
  size_t at_ = 0;
  size_t opcode_at_ = 0;
  absl::Status error_;
  bool stopped_ = false;
  const PickleValue* result_ = nullptr;
  PickleValue nothing_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;
  absl::flat_hash_map<uint64_t, PickleValue*> memo_;
};

}  // namespace

absl::StatusOr<const PickleValue*> ReadPickle(absl::string_view bytes,
                                              PickleHeap* heap, size_t* used) {
  return PickleMachine(bytes, heap).Run(used);
}

}  // namespace retort::io
