// F5 in a training: a rank is killed at a named point of a save, the agent starts the ranks again,
// and the run ends with the parameters of the one that nobody disturbed.
#include "tests/faults/launched.h"

namespace vesalius::launch {
namespace {

constexpr int kSteps = 12;

TEST(F05_KilledSaving, NothingIsLost) {
  Launched launched;
  for (const char* fault : {"kill-stage@6:1", "kill-write@6:0", "kill-write@6:1",
                            "kill-written@6:1", "kill-manifest@6:0", "kill-rename@6:0"}) {
    const std::string run = Replace(Replace(fault, "@", "-"), ":", "-");
    const Outcome outcome =
        launched.Run(run, "--ranks 2 --no-mpi", kSteps, StrCat("--fault ", fault));
    ASSERT_EQ(outcome.status, 0) << fault << "\n" << outcome.output;
    const Json cause = launched.Failure(run).at("cause");
    EXPECT_EQ(cause.at("signal"), SIGKILL) << fault;
    EXPECT_EQ(cause.at("rank"), fault[std::string(fault).size() - 1] - '0') << fault;
    EXPECT_EQ(launched.Digest(run), launched.Undisturbed(kSteps)) << fault;
    for (const std::string& name : ListDir(launched.run(run) + "/ckpt"))
      EXPECT_FALSE(name.starts_with(".")) << fault << " left " << name;
  }
}

}  // namespace
}  // namespace vesalius::launch
