// Export by streaming: values, casts, shards with their index, and damage on the way out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "checkpoints/safetensors.h"
#include "checkpoints/tensor_export.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using testing::ElementsAre;

class TensorExport : public testing::Test {
 protected:
  TensorExport() {
    const auto attempt = Attempt::Acquire(dir_.path() + "/run");
    ExpectAll(SaveStep(dir_.path() + "/run", attempt.get(), 5, 3), ExitCode::kFinished);
    reader_ = std::make_unique<Reader>(dir_.path() + "/run/ckpt/" + StepName(5));
  }
  // block.2.weight cut in two by rows, the table, and rows of it after a row of zeros.
  std::vector<ExportTensor> Tensors() const {
    return {{"first", {20, 25}, {{"block.2.weight", {{0, 0}, {20, 25}}}}},
            {"rest", {20, 25}, {{"block.2.weight", {{20, 0}, {20, 25}}}}},
            {"table", {60, 25}, {{"table", Whole({60, 25})}}},
            {"rows", {2, 25}, {{"", {{0, 0}, {1, 25}}}, {"table", {{7, 0}, {1, 25}}}}}};
  }
  static float Table(std::int64_t row, std::int64_t column) {
    return ValueAt(5, 9, row * 25 + column);
  }
  std::string out() const { return dir_.path() + "/out"; }

  TempDir dir_;
  std::unique_ptr<Reader> reader_;
};

TEST_F(TensorExport, ValuesOfBoxesOneAfterTheOther) {
  ExportTensors(*reader_, Tensors(), out(), "model", {});
  EXPECT_THAT(ListDir(out()), ElementsAre("model.safetensors"));
  const SafeTensorsFile file(out() + "/model.safetensors");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.tensors()[1].name, "rest");
  EXPECT_EQ(static_cast<const float*>(file.tensors()[1].data)[3], ValueAt(5, 2, 20 * 25 + 3));
  const auto* rows = static_cast<const float*>(file.tensors()[3].data);
  EXPECT_EQ(rows[24], 0.f);
  EXPECT_EQ(rows[25], Table(7, 0));
}

TEST_F(TensorExport, Bfloat16IsRoundedToTheNearest) {
  ExportTensors(*reader_, Tensors(), out(), "model", {.bfloat16 = true});
  const SafeTensorsFile file(out() + "/model.safetensors");
  EXPECT_EQ(file.tensors()[2].dtype, "BF16");
  const auto* values = static_cast<const std::uint16_t*>(file.tensors()[2].data);
  bool cut = false;
  for (std::int64_t i = 0; i < 60 * 25; ++i) {
    const float exact = Table(i / 25, i % 25);
    const auto near = std::bit_cast<float>(static_cast<std::uint32_t>(values[i]) << 16);
    const float step = std::bit_cast<float>(std::bit_cast<std::uint32_t>(exact) + 0x10000) - exact;
    EXPECT_LE(std::abs(near - exact), step / 2) << i;
    cut = cut || near != exact;
  }
  EXPECT_TRUE(cut);
}

TEST_F(TensorExport, LargeSetsAreCutWithAnIndex) {
  ExportTensors(*reader_, Tensors(), out(), "model", {.max_shard_bytes = 5000});
  EXPECT_THAT(ListDir(out()),
              ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                          "model-00003-of-00003.safetensors", "model.safetensors.index.json"));
  const auto index = nlohmann::json::parse(ReadFile(out() + "/model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], (500 + 500 + 1500 + 50) * 4);
  for (const auto& [name, file] : index["weight_map"].items()) {
    const SafeTensorsFile shard(out() + "/" + file.get<std::string>());
    EXPECT_TRUE(std::any_of(shard.tensors().begin(), shard.tensors().end(),
                            [&](const SafeTensor& tensor) { return tensor.name == name; }))
        << name;
  }
  EXPECT_EQ(index["weight_map"]["rest"], "model-00001-of-00003.safetensors");
  // The next export with one file leaves none of these behind.
  ExportTensors(*reader_, Tensors(), out(), "model", {});
  EXPECT_THAT(ListDir(out()), ElementsAre("model.safetensors"));
}

TEST_F(TensorExport, FilesOfOthersStay) {
  MakeDirs(out());
  for (const char* name :
       {"model-best.safetensors", "model-1-of-2.safetensors", "model-0000x-of-00002.safetensors"})
    WriteFileAtomic(out() + "/" + name, "mine");
  WriteFileAtomic(out() + "/model-00001-of-00002.safetensors", "of an earlier export");
  ExportTensors(*reader_, Tensors(), out(), "model", {});
  EXPECT_THAT(ListDir(out()),
              ElementsAre("model-0000x-of-00002.safetensors", "model-1-of-2.safetensors",
                          "model-best.safetensors", "model.safetensors"));
}

TEST_F(TensorExport, AFullDiskLeavesNothingHalf) {
  MakeDirs(out());
  SetFileFault([](FileOp op, const std::string& path) {
    return op == FileOp::kSync && path.find("model.safetensors") != std::string::npos ? ENOSPC : 0;
  });
  const Thrown thrown = Caught([&] { ExportTensors(*reader_, Tensors(), out(), "model", {}); });
  SetFileFault(nullptr);
  EXPECT_EQ(thrown.code, ExitCode::kCannotCreate);
  EXPECT_THAT(ListDir(out()), ElementsAre());
}

TEST(Sizes, AreReadAsHuggingFaceWritesThem) {
  EXPECT_EQ(ParseSize("5GB"), 5'000'000'000u);
  EXPECT_EQ(ParseSize("500 MB"), 500'000'000u);
  EXPECT_EQ(ParseSize("1000"), 1000u);
  for (const char* bad : {"", "GB", "5TBs", "-1MB", "0"})
    EXPECT_EQ(Caught([&] { ParseSize(bad); }).code, ExitCode::kUsage) << bad;
}

}  // namespace
}  // namespace vesalius::checkpoints
