#include "trainer/comm_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "dist/bootstrap.h"

namespace vesalius::trainer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<double> Find(const FiguresByRank& figures, const std::string& name) {
  for (const auto& [key, values] : figures)
    if (key == name) return values;
  return {};
}

// Unequal all-gather and an all-reduce on two ranks, against what they send by hand.
TEST(CommTrace, CountsEveryRanksBytesOfOneStep) {
  dist::RunLocalRanks(2, [](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    CommTrace trace(*comm);
    const int rank = comm->rank();
    const std::vector<std::int64_t> counts = {3, 5};
    std::vector<float> in(counts[rank], 1), out(8), sum(10, 1);
    comm->AllGather("rows", in.data(), out.data(), counts, dist::DType::kFloat32).Wait();
    comm->AllReduce("sum", sum.data(), 10, dist::DType::kFloat32).Wait();
    const FiguresByRank first = trace.EndStep();
    EXPECT_THAT(Find(first, "bytes.all-gather"), ElementsAre(12, 20));
    EXPECT_THAT(Find(first, "bytes.all-reduce"), ElementsAre(40, 40));
    EXPECT_THAT(Find(first, "bytes"), ElementsAre(52, 60));
    EXPECT_THAT(Find(first, "bytes.broadcast"), ElementsAre());
    for (const char* name : {"seconds", "exposed", "waiting"})
      EXPECT_EQ(Find(first, name).size(), 2u) << name;

    // The next step holds only the trace's own exchange.
    const FiguresByRank second = trace.EndStep();
    EXPECT_THAT(Find(second, "bytes.all-reduce"), ElementsAre());
    EXPECT_EQ(Find(second, "bytes"), Find(second, "bytes.all-gather"));
    EXPECT_GT(Find(second, "bytes")[0], 0);
    EXPECT_THAT(trace.Summary(), HasSubstr(StrCat("communication of rank ", rank)));
    EXPECT_THAT(trace.Summary(), HasSubstr("all-gather"));
  });
}

}  // namespace
}  // namespace vesalius::trainer
