// The harness measures fairly and reports what it could not measure.
#include "bench/harness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "tests/util/temp_dir.h"

namespace vesalius::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(HarnessTest, SidesTakeTurnsAndTheFirstRoundIsDropped) {
  std::string order;
  double a = 0, b = 100;
  const auto figures = Interleave(
      {{"a", [&] { return order += 'a', ++a; }}, {"b", [&] { return order += 'b', ++b; }}}, 3);
  EXPECT_EQ(order, "abbaabba");
  EXPECT_THAT(figures.at("a"), ElementsAre(2, 3, 4));
  EXPECT_THAT(figures.at("b"), ElementsAre(102, 103, 104));
}

TEST(HarnessTest, MediansAndRatios) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_THAT(Ratios({2, 9}, {1, 3}), ElementsAre(2, 3));
  EXPECT_THROW(Median({}), Error);
  EXPECT_THROW(Ratios({1}, {1, 2}), Error);
}

TEST(HarnessTest, NumbersFromOtherPrograms) {
  EXPECT_EQ(NumberFrom("echo words; echo ' 12.5 '"), 12.5);
  EXPECT_THROW(NumberFrom("echo 12.5; exit 3"), Error);
  EXPECT_THROW(NumberFrom("echo 12.5x"), Error);
  EXPECT_THROW(NumberFrom("true"), Error);
}

TEST(HarnessTest, ReportsFiguresAndGaps) {
  const TempDir dir;
  const std::string path = dir.path() + "/figures.json";
  std::string program = "bench", flag = "--json", file = path;
  char* argv[] = {program.data(), flag.data(), file.data()};
  EXPECT_EQ(Main(3, argv,
                 [](Report& report) {
                   report.Add("step.ours", "samples/s", {1, 5, 3});
                   report.Compare("step.ratio", "s", {1, 2, 4}, {4, 4, 4});
                   report.Compare("step.share", "s", {1, 2, 4}, {4, 4, 4}, Value::kOursByPeer);
                   report.LeaveOut("step.peer", "samples/s", "no interpreter");
                 }),
            0);
  const auto json = nlohmann::json::parse(ReadFile(path));
  EXPECT_EQ(json[0]["value"], 3);
  EXPECT_EQ(json[0]["unit"], "samples/s");
  EXPECT_EQ(json[0]["rounds"].size(), 3u);
  EXPECT_EQ(json[1]["value"], 2);
  EXPECT_EQ(json[1]["ours"], 2);
  EXPECT_EQ(json[1]["peer"], 4);
  EXPECT_EQ(json[2]["value"], 0.5);
  EXPECT_TRUE(json[3]["value"].is_null());
  EXPECT_EQ(json[3]["reason"], "no interpreter");
  EXPECT_EQ(Main(2, argv, [](Report&) {}), 64);
}

}  // namespace
}  // namespace vesalius::bench
