// Where the time of a run under an agent went, against a clock beside it: a rank hangs, is found,
// new processes start and train on.
#include <chrono>

#include "base/event_log.h"
#include "record/goodput.h"
#include "tests/faults/launched.h"
#include "tests/faults/pages.h"

namespace vesalius::launch {
namespace {

TEST(F38, GoodputOfAHangAgreesWithTheClock) {
  constexpr double kTolerance = 0.5;
  Launched launched;
  const std::string run = launched.run("run"), failure = run + "/failure.json";
  const double before = events::Now();
  ASSERT_EQ(Program("version").status, 0);
  const double begin = events::Now();
  const double program = begin - before;  // starting and ending one is in no event
  Background agent(
      launched.Line("run", "--ranks 2 --no-mpi --deadline step=3", 60, "--fault slow@1:0:always"),
      launched.log("run"));
  const Pages pages(launched.Memory("run"));
  ASSERT_TRUE(pages.Stepping(20)) << ReadFile(launched.log("run"));
  const std::vector<pid_t> old = launched.Ranks("run");
  ::kill(pages.Of(1)->pid, SIGSTOP);
  const double hung = events::Now();
  ASSERT_TRUE(WaitUntil([&] { return Exists(failure); }, 30)) << ReadFile(launched.log("run"));
  const double known = events::Now();
  ASSERT_TRUE(WaitUntil([&] {
    return std::ranges::any_of(launched.Ranks("run"),
                               [&](pid_t pid) { return std::ranges::find(old, pid) == old.end(); });
  })) << ReadFile(launched.log("run"));
  const double started = events::Now();
  const Outcome outcome = agent.Wait();
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  const double end = events::Now();

  const record::Goodput goodput = record::AccountFor(record::ReadEvents(run));
  EXPECT_NEAR(goodput.wall(), end - begin, kTolerance + program);
  EXPECT_GT(known - hung, 2.5);  // the deadline, so that the part is one to be measured
  EXPECT_NEAR(goodput.part("detect"), known - hung, kTolerance);
  EXPECT_NEAR(goodput.part("restart"), started - known, kTolerance);
  double seconds = 0;
  for (const auto& line : trainer::Metrics(run))
    for (const char* phase : {"data", "forward", "loss", "backward", "exchange", "optimiser"})
      seconds += line.at("seconds").value(phase, 0.0);
  EXPECT_NEAR(goodput.part("productive"), seconds, kTolerance);
  EXPECT_EQ(goodput.steps, 60);
  EXPECT_EQ(goodput.attempts, 2);
  double sum = 0;
  for (const auto& [name, part] : goodput.parts) sum += part;
  EXPECT_NEAR(sum, goodput.wall(), 1e-3 * goodput.wall());
}

}  // namespace
}  // namespace vesalius::launch
