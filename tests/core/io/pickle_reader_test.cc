#include "core/io/pickle_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "core/io/pickle_globals.h"
#include "core/io/plain_data.h"
#include "tests/support/pickle_builder.h"
#include "tests/support/status_matchers.h"

namespace retort::io {
namespace {

using ::retort::testing::PickleBuilder;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr auto kBadPickle = absl::StatusCode::kInvalidArgument;

class PickleReaderTest : public ::testing::Test {
 protected:
  absl::StatusOr<const PickleValue*> Read(const std::string& bytes) {
    bytes_ = bytes;
    heap_ = std::make_unique<PickleHeap>(static_cast<int64_t>(bytes.size()));
    return ReadPickle(bytes_, heap_.get(), &used_);
  }
  // What a pickle of plain data holds; null for an error.
  Json ReadPlain(const std::string& bytes) {
    const auto value = Read(bytes);
    if (!value.ok()) return std::string(value.status().message());
    const auto json = PlainData(**value);
    return json.ok() ? *json : Json(std::string(json.status().message()));
  }

  std::string bytes_;
  std::unique_ptr<PickleHeap> heap_;
  size_t used_ = 0;
};

TEST_F(PickleReaderTest, ReadsPlainDataAsItWasWritten) {
  const Json data = {{"a", {1, -5, 2.5, nullptr, true, false}},
                     {"b", {{"text", "\xc3\xa4"}, {"large", int64_t{1} << 40}}},
                     {"c", Json::array()}};
  EXPECT_EQ(ReadPlain(PickleBuilder().Value(data).Build()), data);
  EXPECT_EQ(used_, bytes_.size());
}

TEST_F(PickleReaderTest, ReadsTheNumbersOfEveryProtocol) {
  EXPECT_EQ(ReadPlain("I-12\n."), -12);
  EXPECT_EQ(ReadPlain("I01\n."), true);
  EXPECT_EQ(ReadPlain("L34L\n."), 34);
  EXPECT_EQ(ReadPlain("F2.5\n."), 2.5);
  EXPECT_EQ(ReadPlain("K\xff."), 255);
  EXPECT_EQ(ReadPlain("M\x01\x02."), 513);
  EXPECT_EQ(ReadPlain("J\xfe\xff\xff\xff."), -2);
  EXPECT_EQ(ReadPlain(std::string("\x8a\x02\x00\x80.", 5)), -32768);
  EXPECT_EQ(ReadPlain(std::string("\x8b\x01\x00\x00\x00\x7f.", 7)), 127);
  EXPECT_EQ(ReadPlain(std::string("G\x40\x04\0\0\0\0\0\0.", 10)), 2.5);
}

TEST_F(PickleReaderTest, ReadsContainersTheLongWayAndTheShort) {
  EXPECT_EQ(ReadPlain("(I1\nI2\nt."), Json::array({1, 2}));
  EXPECT_EQ(ReadPlain("(lp0\nI1\na."), Json::array({1}));
  EXPECT_EQ(ReadPlain("(S'k'\nI1\nd."), Json({{"k", 1}}));
  EXPECT_EQ(ReadPlain("}V\x6b\nK\x01s."), Json({{"k", 1}}));
  EXPECT_EQ(ReadPlain("K\x01K\x02K\x03\x87."), Json::array({1, 2, 3}));
  EXPECT_EQ(ReadPlain("K\x07q\x05h\x05\x86."), Json::array({7, 7}));
  EXPECT_EQ(ReadPlain(std::string("K\x07\x94h\x00\x86.", 7)),
            Json::array({7, 7}));
}

TEST_F(PickleReaderTest, EveryOtherOpcodeIsRefused) {
  // INST, OBJ, NEWOBJ_EX, PERSID, EXT1 to EXT4, the out-of-band buffers, and
  // whatever is no opcode at all.
  const std::string known =
      "NJKMILFGXUTCBVS()]}tldaesuqrphjg012cRQb.\x80\x81\x85\x86\x87\x88\x89\x8a"
      "\x8b\x8c\x8d\x8e\x8f\x90\x91\x93\x94\x95\x96";
  int refused = 0;
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (known.find(static_cast<char>(opcode)) != std::string::npos) continue;
    // Something on the stack for it to work on.
    std::string bytes = "(]))(";
    bytes.push_back(static_cast<char>(opcode));
    bytes += "a\nb\n.";
    EXPECT_THAT(Read(bytes), StatusIs(kBadPickle, HasSubstr("no opcode")))
        << opcode;
    ++refused;
  }
  EXPECT_EQ(refused, 256 - static_cast<int>(known.size()));
}

TEST_F(PickleReaderTest, ANameThatIsNotAllowedIsRefusedWhereItIsMentioned) {
  EXPECT_THAT(Read(PickleBuilder().Global("os", "system").Build()),
              StatusIs(kBadPickle, AllOf(HasSubstr("asks for os.system"),
                                         HasSubstr("nothing of it was run"),
                                         HasSubstr("at byte 2"))));
  EXPECT_THAT(
      Read(PickleBuilder(4).Text("builtins").Text("eval").Op('\x93').Build()),
      StatusIs(kBadPickle, HasSubstr("builtins.eval")));
  // Not even in a part that nobody would look at.
  EXPECT_THAT(
      Read(PickleBuilder().Global("posix", "system").Op('0').Op('N').Build()),
      StatusIs(kBadPickle, HasSubstr("posix.system")));
  // An allowed module is not enough.
  EXPECT_THAT(Read(PickleBuilder().Global("torch", "load").Build()),
              StatusIs(kBadPickle, HasSubstr("torch.load")));
  EXPECT_THAT(Read(PickleBuilder().Global("_codecs", "decode").Build()),
              StatusIs(kBadPickle));
}

TEST_F(PickleReaderTest, AHostileNameIsShownEscapedAndCut) {
  const auto read =
      Read(PickleBuilder().Global("a\x1b[2J", std::string(5000, 'x')).Build());
  EXPECT_THAT(read, StatusIs(kBadPickle, HasSubstr("\\x1b[2J")));
  EXPECT_LT(read.status().message().size(), 500);
}

TEST_F(PickleReaderTest, WhatIsCalledIsWrittenDownAndNotCalled) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const PickleValue* value,
      Read(PickleBuilder()
               .Global("torch.storage", "_load_from_bytes")
               .Op('(')
               .Bytes("abc")
               .Raw("tR")
               .Build()));
  EXPECT_TRUE(value->IsObject(PickleGlobal::kStorageBytes));
  ASSERT_EQ(value->items.size(), 1);
  EXPECT_EQ(value->items[0]->text, "abc");
  EXPECT_THAT(Read(PickleBuilder().Text("os.system").Raw(")R").Build()),
              StatusIs(kBadPickle, HasSubstr("calls something")));
}

TEST_F(PickleReaderTest, NothingRecursesHoweverDeepItNests) {
  const int depth = 500000;
  const std::string lists =
      std::string(depth, ']') + std::string(depth - 1, 'a') + ".";
  RETORT_ASSERT_OK_AND_ASSIGN(const PickleValue* value, Read(lists));
  EXPECT_EQ(value->items.size(), 1);
  EXPECT_THAT(PlainData(*value), StatusIs(kBadPickle));
  heap_.reset();  // the values go without recursion too
}

TEST_F(PickleReaderTest, AListThatHoldsItselfIsReadButIsNoPlainData) {
  RETORT_ASSERT_OK_AND_ASSIGN(const PickleValue* value,
                              Read("]q\x01h\x01\x61."));
  EXPECT_EQ(value->items[0], value);
  EXPECT_THAT(PlainData(*value), StatusIs(kBadPickle));
}

TEST_F(PickleReaderTest, TheLargestMemoIndexTakesOnePlace) {
  EXPECT_EQ(ReadPlain("Nr\xff\xff\xff\xff"
                      "0j\xff\xff\xff\xff."),
            Json());
  EXPECT_THAT(Read("h\x03."), StatusIs(kBadPickle, HasSubstr("value 3")));
  EXPECT_EQ(ReadPlain("Np18446744073709551615\n."), Json());
  EXPECT_THAT(Read("Np18446744073709551616\n."), StatusIs(kBadPickle));
}

TEST_F(PickleReaderTest, AListDoubledAgainAndAgainRunsIntoALimit) {
  // Each round copies the memo's tuple twice: 2^n items from few bytes.
  std::string bytes = "(NNNNNNNNtq\x01";
  for (int i = 0; i < 64; ++i) {
    bytes += "0(";
    for (int j = 0; j < 200; ++j) bytes += "h\x01";
    bytes += "tq\x01";
  }
  EXPECT_TRUE(Read(bytes + ".").ok());  // by reference: no copies
  std::string sets = "]q\x01";
  for (int i = 0; i < 100000; ++i) sets += "(h\x01h\x01h\x01h\x01h\x01t0";
  EXPECT_TRUE(Read(sets + ".").ok());
  // OrderedDict of one list of pairs, made over and over.
  std::string dicts = "](";
  for (int i = 0; i < 4000; ++i) dicts += "NN\x86";
  dicts += "e\x85q\x01";
  for (int i = 0; i < 3000; ++i) dicts += "ccollections\nOrderedDict\nh\x01R";
  EXPECT_THAT(Read(dicts + "."),
              StatusIs(kBadPickle, HasSubstr("more values")));
}

TEST_F(PickleReaderTest, NoLengthInTheFileIsTrusted) {
  const std::string huge(8, '\x7f');
  for (const char* opcode : {"X", "B", "T", "\x8b"}) {
    EXPECT_THAT(Read(opcode + huge.substr(0, 4) + "abc."),
                StatusIs(kBadPickle, HasSubstr("announced")))
        << opcode;
  }
  for (const char* opcode : {"\x8d", "\x8e", "\x96", "\x95"}) {
    EXPECT_THAT(Read(opcode + huge + "abc."),
                StatusIs(kBadPickle, HasSubstr("cut off")))
        << opcode;
    EXPECT_THAT(Read(opcode + std::string(8, '\xff') + "abc."),
                StatusIs(kBadPickle, HasSubstr("cut off")))
        << opcode;
  }
  EXPECT_THAT(Read("\x8b\xff\xff\xff\xff."),
              StatusIs(kBadPickle, HasSubstr("negative")));
}

TEST_F(PickleReaderTest, MoreValuesThanANetworkHasAreRefused) {
  std::string bytes;
  for (int64_t i = 0; i <= PickleHeap::kMaxValues; ++i) bytes += "N0";
  EXPECT_THAT(Read(bytes + "N."),
              StatusIs(kBadPickle, HasSubstr("more values")));
  EXPECT_THAT(Read("N" + std::string(size_t{3} << 20, '2') + "."),
              StatusIs(kBadPickle, HasSubstr("stacks up")));
}

TEST_F(PickleReaderTest, EveryBeginningOfAPickleIsAnError) {
  const std::string whole =
      PickleBuilder()
          .Value({{"a", {1, 2.5, "text", nullptr}}, {"b", {{"c", true}}}})
          .Build();
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_THAT(Read(whole.substr(0, bytes)), StatusIs(kBadPickle)) << bytes;
  }
}

TEST_F(PickleReaderTest, AnEmptyStackIsAnErrorForEveryOpcodeThatTakesFromIt) {
  for (const char* opcode :
       {"a",    "e",    "s",    "u",    "t",    "l",    "d",     "\x85",
        "\x86", "\x87", "\x90", "\x91", "\x93", "\x94", "q\x01", "0",
        "1",    "2",    "R",    "\x81", "Q",    "b",    "."}) {
    EXPECT_THAT(Read(std::string(opcode) + "."), StatusIs(kBadPickle))
        << opcode;
  }
  // A mark is a floor that nothing takes from below.
  EXPECT_THAT(Read("]N(a."), StatusIs(kBadPickle, HasSubstr("empty stack")));
}

TEST_F(PickleReaderTest, ItemsGoOnlyWhereTheyBelong) {
  EXPECT_THAT(Read("}N\x61."), StatusIs(kBadPickle, HasSubstr("adds items")));
  EXPECT_THAT(Read("]NNs."), StatusIs(kBadPickle, HasSubstr("adds items")));
  EXPECT_THAT(Read("}(Nu."),
              StatusIs(kBadPickle, HasSubstr("key without a value")));
  EXPECT_THAT(Read("NNb."), StatusIs(kBadPickle, HasSubstr("gives a state")));
  EXPECT_THAT(Read("\x80\x06N."), StatusIs(kBadPickle, HasSubstr("protocol")));
}

TEST_F(PickleReaderTest, BytesThatWereWrittenAsTextComeBack) {
  const auto encoded = [](const std::string& text, const char* codec) {
    return PickleBuilder()
        .Global("_codecs", "encode")
        .Op('(')
        .Text(text)
        .Text(codec)
        .Raw("tR")
        .Build();
  };
  RETORT_ASSERT_OK_AND_ASSIGN(const PickleValue* value,
                              Read(encoded("a\xc3\xbf\xc2\x80", "latin1")));
  EXPECT_TRUE(value->Is(PickleKind::kBytes));
  EXPECT_EQ(value->text, "a\xff\x80");
  EXPECT_THAT(Read(encoded("\xe2\x82\xac", "latin1")), StatusIs(kBadPickle));
  EXPECT_THAT(Read(encoded("a", "rot13")), StatusIs(kBadPickle));
}

}  // namespace
}  // namespace retort::io
