// What is told of a run's checkpoints: how two steps differ, and which there are while a run lives.
#include "checkpoints/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "checkpoints/attempt.h"
#include "checkpoints/manifest.h"
#include "tests/checkpoints/fixture.h"
#include "tests/util/temp_dir.h"

namespace vesalius::checkpoints {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;

class Catalogue : public testing::Test {
 protected:
  void Save(const State& state, const StepInfo& info) {
    Writer writer({.run_folder = run(), .rank = 0, .ranks = 1, .keep = {.newest = 9}},
                  attempt_.get(), Alone());
    writer.Save(info, state.views);
  }
  static State Values(const std::vector<float>& values) {
    State state;
    const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(values.size())};
    const TensorView& view = state.Add("w", "F32", shape, Role::kParameter, Whole(shape));
    std::memcpy(view.data, values.data(), view.bytes);
    return state;
  }
  std::string run() const { return dir_.path(); }

  const TempDir dir_;
  const std::unique_ptr<Attempt> attempt_ = Attempt::Acquire(dir_.path());
};

TEST_F(Catalogue, WhatIsNotFiniteIsCountedApart) {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  Save(Values({1, 2, 3, 4, 5}), MakeInfo(1));
  Save(Values({1, 2.5, nan, infinity, 5}), MakeInfo(2));
  Save(Values({1, 2, nan, 4, 5}), MakeInfo(3));
  Json found = DiffCheckpoints(run(), "1", "2");
  EXPECT_EQ(found["tensors"][0]["elements"], 3);
  EXPECT_EQ(found["tensors"][0]["largest"], 0.5);
  EXPECT_EQ(found["tensors"][0]["not_finite"], 2);
  found = DiffCheckpoints(run(), "1", "3");
  EXPECT_EQ(found["equal"], false);
  EXPECT_EQ(found["tensors"][0]["elements"], 1);
  EXPECT_TRUE(found["tensors"][0]["largest"].is_null());
  EXPECT_EQ(found["tensors"][0]["not_finite"], 1);
}

TEST_F(Catalogue, AnotherShapeIsToldWithBoth) {
  Save(Values({1, 2, 3}), MakeInfo(1));
  Save(Values({1, 2}), MakeInfo(2));
  const Json found = DiffCheckpoints(run(), "1", "2");
  EXPECT_EQ(found["equal"], false);
  EXPECT_TRUE(found["only_a"].empty() && found["only_b"].empty());
  EXPECT_EQ(found["reshaped"][0],
            Json({{"name", "w"}, {"role", "parameter"}, {"a", "F32 [3]"}, {"b", "F32 [2]"}}));
}

TEST_F(Catalogue, WhatIsNoTensorIsComparedToo) {
  StepInfo info = MakeInfo(2);
  info.blobs["loader"] += "x";
  info.blobs["more"] = "";
  Save(Values({1}), MakeInfo(1));
  Save(Values({1}), info);
  const Json found = DiffCheckpoints(run(), "1", "2");
  EXPECT_EQ(found["equal"], false);
  EXPECT_THAT(found["blobs"], ElementsAre("loader", "more"));
}

TEST_F(Catalogue, AStepThatIsRemovedMeanwhileIsLeftOut) {
  for (const std::int64_t step : {1, 2, 3}) Save(Values({1}), MakeInfo(step));
  const std::string gone = CheckpointFolder(run()) + "/" + StepName(1);
  SetFileFault([&](FileOp op, const std::string& path) {
    if (op != FileOp::kRead || !path.starts_with(gone)) return 0;
    std::filesystem::remove_all(gone);
    return ENOENT;
  });
  const Json found = ListCheckpoints(run(), /*every_byte=*/true);
  SetFileFault(nullptr);
  ASSERT_EQ(found["checkpoints"].size(), 2u);
  EXPECT_EQ(found["checkpoints"][1]["good"], true);
}

}  // namespace
}  // namespace vesalius::checkpoints
