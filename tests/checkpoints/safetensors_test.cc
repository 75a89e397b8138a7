// The safetensors format: a file of another program, our own round trip, and headers that lie.
#include "checkpoints/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::HasSubstr;

std::string Frame(const std::string& header, const std::string& data) {
  std::string content(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(content.data(), &length, 8);
  return content + header + data;
}

// Parses a file made of `header` and `size` data bytes; the message of the refusal, or "".
std::string Refusal(const std::string& header, std::size_t size) {
  const TempDir dir;
  WriteFileAtomic(dir.path() + "/x", Frame(header, std::string(size, 'd')));
  const Thrown thrown = Caught([&] { SafeTensorsFile file(dir.path() + "/x"); });
  if (!thrown.message.empty()) {
    EXPECT_EQ(thrown.code, ExitCode::kInvalidData);
    EXPECT_THAT(thrown.message, HasSubstr(dir.path() + "/x"));
  }
  return thrown.message;
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST(SafeTensors, ReadsAFileOfTheReferenceImplementation) {
  const char* given = std::getenv("VESALIUS_SHARED");
  const char* source = std::getenv("VESALIUS_SOURCE");
  if (given == nullptr && source == nullptr) GTEST_SKIP() << "VESALIUS_SOURCE is not set";
  const std::string path = (given ? std::string(given) : std::string(source) + "/../shared") +
                           "/data/formats/jfk-codes.safetensors";
  if (!Exists(path)) GTEST_SKIP() << path << " is not there";
  const SafeTensorsFile file(path);
  ASSERT_EQ(file.tensors().size(), 1u);
  const SafeTensor& codes = file.tensors()[0];
  EXPECT_EQ(codes.name, "codes");
  EXPECT_EQ(codes.dtype, "I64");
  EXPECT_EQ(codes.shape, (std::vector<std::int64_t>{1, 2, 828}));
  ASSERT_EQ(codes.bytes, 13248u);
  // Code-book indices of a tokenizer with 1024 entries a book: the sum was taken independently.
  const auto* values = static_cast<const std::int64_t*>(codes.data);
  std::int64_t sum = 0;
  for (int i = 0; i < 1656; ++i) {
    EXPECT_GE(values[i], 0);
    EXPECT_LT(values[i], 1024);
    sum += values[i];
  }
  EXPECT_EQ(sum, 960640);
  EXPECT_EQ(values[0], 865);
  EXPECT_EQ(values[1655], 889);
}

TEST(SafeTensors, RoundTrip) {
  const TempDir dir;
  const float a[6] = {1, 2, 3, 4, 5, 6};
  const std::uint8_t b[3] = {7, 8, 9};
  const double c = 2.5;
  const std::vector<SafeTensor> tensors = {{"z", "F32", {2, 3}, a, 24},
                                           {"a.b", "U8", {3}, b, 3},
                                           {"empty", "BF16", {0, 4}, nullptr, 0},
                                           {"scalar", "F64", {}, &c, 8}};
  const std::string path = dir.path() + "/model.safetensors";
  WriteSafeTensors(path, tensors, {{"format", "pt"}, {"note", "Käse \"quoted\"\n"}});
  const std::string content = ReadFile(path);
  std::uint64_t length = 0;
  std::memcpy(&length, content.data(), 8);
  EXPECT_EQ((8 + length) % 64, 0u);
  EXPECT_EQ(content.size(), 8 + length + 35);
  const SafeTensorsFile file(path);
  ASSERT_EQ(file.tensors().size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const SafeTensor& read = file.tensors()[i];
    EXPECT_EQ(read.name, tensors[i].name);
    EXPECT_EQ(read.dtype, tensors[i].dtype);
    EXPECT_EQ(read.shape, tensors[i].shape);
    ASSERT_EQ(read.bytes, tensors[i].bytes);
    if (read.bytes > 0) {
      EXPECT_EQ(std::memcmp(read.data, tensors[i].data, read.bytes), 0);
    }
  }
  EXPECT_EQ(file.metadata().at("note"), "Käse \"quoted\"\n");
  EXPECT_EQ(ListDir(dir.path()).size(), 1u);
}

TEST(SafeTensors, HeadersThatLieAreRefused) {
  const std::string a = Entry("a", "F32", "[2]", "[0,8]");
  EXPECT_EQ(Refusal("{" + a + "}", 8), "");
  EXPECT_EQ(Refusal("{}", 0), "");
  EXPECT_THAT(Refusal("{" + a + "," + Entry("b", "U8", "[4]", "[4,8]") + "}", 8),
              HasSubstr("overlaps"));
  EXPECT_THAT(Refusal("{" + a + "," + Entry("b", "U8", "[4]", "[12,16]") + "}", 16),
              HasSubstr("gap"));
  EXPECT_THAT(Refusal("{" + a + "}", 12), HasSubstr("belong to nothing"));
  EXPECT_THAT(Refusal("{" + a + "}", 7), HasSubstr("truncated"));
  EXPECT_THAT(Refusal("{" + Entry("a", "F32", "[3]", "[0,8]") + "}", 8), HasSubstr("'a'"));
  EXPECT_THAT(Refusal("{" + Entry("a", "F32", "[2]", "[8,0]") + "}", 8), HasSubstr("'a'"));
  EXPECT_THAT(Refusal("{" + Entry("a", "F32", "[-2]", "[0,8]") + "}", 8), HasSubstr("shape"));
  EXPECT_THAT(Refusal("{" + Entry("a", "F32", "[2.0]", "[0,8]") + "}", 8), HasSubstr("shape"));
  EXPECT_THAT(Refusal("{" + Entry("a", "Q7", "[2]", "[0,8]") + "}", 8), HasSubstr("Q7"));
  EXPECT_THAT(Refusal("{" + Entry("a", "U8", "[4294967296,4294967296]", "[0,0]") + "}", 0),
              HasSubstr("'a'"));
  EXPECT_THAT(Refusal("{" + a + "," + a + "}", 8), HasSubstr("twice"));
  EXPECT_THAT(Refusal("{\"a\":{\"dtype\":\"F32\"}}", 0), HasSubstr("lacks"));
  EXPECT_THAT(Refusal("{\"a\":3}", 0), HasSubstr("'a'"));
  EXPECT_THAT(Refusal("[1]", 0), HasSubstr("object"));
  EXPECT_THAT(Refusal("{\"a\"", 0), HasSubstr("JSON"));
  EXPECT_THAT(Refusal("{\"__metadata__\":{\"a\":1}}", 0), HasSubstr("__metadata__"));
}

TEST(SafeTensors, ShortFilesAndHugeHeaders) {
  const TempDir dir;
  const std::string path = dir.path() + "/x";
  for (const std::string& content : {std::string(), std::string("1234567"), std::string(8, '\xff'),
                                     std::string("\x10\0\0\0\0\0\0\0{}", 10)}) {
    WriteFileAtomic(path, content);
    EXPECT_EQ(Caught([&] { SafeTensorsFile file(path); }).code, ExitCode::kInvalidData);
  }
  EXPECT_EQ(Caught([&] { SafeTensorsFile file(path + "none"); }).code, ExitCode::kInputMissing);
}

TEST(SafeTensors, AFailedWriteLeavesTheOldFile) {
  const TempDir dir;
  const std::string path = dir.path() + "/x.safetensors";
  const float a[2] = {1, 2};
  WriteSafeTensors(path, {{"a", "F32", {2}, a, 8}}, {});
  const std::string before = ReadFile(path);
  for (const FileOp failing :
       {FileOp::kOpen, FileOp::kWrite, FileOp::kSync, FileOp::kClose, FileOp::kRename}) {
    SetFileFault([&](FileOp op, const std::string&) { return op == failing ? ENOSPC : 0; });
    const Thrown thrown = Caught([&] { WriteSafeTensors(path, {{"b", "F32", {2}, a, 8}}, {}); });
    SetFileFault(nullptr);
    EXPECT_EQ(thrown.code, ExitCode::kCannotCreate);
    EXPECT_THAT(thrown.message, HasSubstr(path));
    EXPECT_EQ(ReadFile(path), before);
    EXPECT_EQ(ListDir(dir.path()).size(), 1u);
  }
  EXPECT_EQ(Caught([&] {
              WriteSafeTensors(path, {{"\xff", "F32", {2}, a, 8}}, {});
            }).code,
            ExitCode::kInvalidData);
}

}  // namespace
}  // namespace vesalius::checkpoints
