// A killed training goes on from the node's memory where the disk has nothing newer, and ends with
// the parameters of the run that nobody disturbed; a state in memory that is damaged is not used by
// any rank.
#include <gmock/gmock.h>

#include <csignal>
#include <filesystem>

#include "checkpoints/memory_tier.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::string kMore = Steps(40) + "--set trainer.keep=1000";

class MemoryResume : public testing::Test {
 protected:
  static const Training& Data() {
    static const Training training;
    return training;
  }
  static std::string Undisturbed() {
    static const std::string digest = [] {
      const Outcome outcome = Data().Run("undisturbed", kTwoLocal, kMore);
      EXPECT_EQ(outcome.status, 0) << outcome.output;
      return ParametersDigest(Data().run("undisturbed"));
    }();
    return digest;
  }
  std::string Line(const std::string& run) const {
    return "env VESALIUS_MEMORY=" + Memory(run) + " " + Data().Line(run, kTwoLocal, kMore);
  }
  static std::string Memory(const std::string& run) { return Data().folder() + "/memory-" + run; }

  // Killed once a step is committed.
  void StartAndKill(const std::string& run) {
    MakeDirs(Memory(run));
    Background job(Line(run), Data().run(run) + ".log");
    ASSERT_TRUE(WaitUntil([&] { return !Committed(Data().run(run)).empty() || !job.Running(); }));
    // `env` has become the program.
    ::kill(job.pid(), SIGKILL);
    EXPECT_EQ(job.Wait().status, 128 + SIGKILL);
    ASSERT_FALSE(checkpoints::ListMemory(Memory(run)).empty());
  }
};

TEST_F(MemoryResume, GoesOnFromMemoryWithTheSameBits) {
  StartAndKill("killed");
  // The disk has it too, and is not needed.
  std::filesystem::remove_all(Data().run("killed") + "/ckpt");
  const Outcome outcome = Shell(Line("killed"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("resumed from memory:"));
  EXPECT_EQ(ParametersDigest(Data().run("killed")), Undisturbed());
}

TEST_F(MemoryResume, DamageInMemoryMeansTheDisk) {
  StartAndKill("damaged");
  for (int slot = 0; slot < checkpoints::kMemorySlots; ++slot) {
    const std::string shard = checkpoints::MemoryShard(Memory("damaged"), 1, slot);
    if (Exists(shard) && FileSize(shard) > 0)
      FlipByte(shard, 0);  // of its first chunk
    else
      WriteFileAtomic(shard, "");  // as of a rank that was killed while it made the slot
  }
  const Outcome outcome = Shell(Line("damaged"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("the state in memory is not used: rank 0: "));
  EXPECT_THAT(outcome.output, HasSubstr("/ckpt/step-"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("resumed from memory:")));
  EXPECT_EQ(ParametersDigest(Data().run("damaged")), Undisturbed());
}

}  // namespace
}  // namespace vesalius::trainer
