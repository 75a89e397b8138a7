// `vesalius plan` against real processes, under mpirun with 2 and 4 ranks: memory and bytes.
#include <gtest/gtest.h>

#include "tests/trainer/real_step.h"

namespace vesalius::trainer {
namespace {

TEST(PlanMpi, MemoryAndBytesOfAStep) {
  const auto bootstrap = dist::MakeBootstrap();
  ASSERT_GT(bootstrap->size(), 1) << "run under mpirun";
  const std::vector<std::string> pairs = {"loss.fine=0", "loss.pair=1", "data.report_length=32"};
  for (const char* exchange : {"all_reduce", "zero1"}) {
    SCOPED_TRACE(exchange);
    std::vector<std::string> set = {StrCat("dist.exchange=", exchange), "trainer.global_batch=32"};
    set.insert(set.end(), pairs.begin(), pairs.end());
    const auto plan = MakePlan(Options(bootstrap->size(), set));
    const Counted counted = Count(*bootstrap, set);
    const double planned = plan.at("memory").at("step");
    EXPECT_NEAR(static_cast<double>(counted.step_bytes), planned, 0.05 * planned);
    EXPECT_EQ(plan.at("bytes_sent"), counted.traffic.bytes_sent);
  }
}

}  // namespace
}  // namespace vesalius::trainer
