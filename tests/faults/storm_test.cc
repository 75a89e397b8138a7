// A storm: faults at random moments of one run, which must end with the parameters and the metrics
// of the run that nobody disturbed. Most of the time it is under `vesalius launch`; now and then it
// moves to a Slurm cluster, for the faults that only a batch system knows (with VESALIUS_SLURM,
// where Slurm is at hand). What a batch system does, and no more, is done here: an agent that was
// killed or left with 75 is started again, with as many ranks as there are then.
// VESALIUS_STORM_FAULTS sets how many (20), VESALIUS_STORM_SEED which. A line a fault: what it was,
// what was lost, how long until the next step.
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/random.h"
#include "base/rank_page.h"
#include "launch/agent/rank_processes.h"
#include "tests/faults/launched.h"
#include "tests/faults/pages.h"
#include "tests/faults/storm_slurm.h"

namespace vesalius::launch {
namespace {

// Steps between two faults at most; what a stay on the cluster may take; one fault of so many is
// one of the cluster.
constexpr int kStepsAFault = 12, kStepsAStay = 300, kStayEvery = 14, kMostRanks = 4;
const std::string kFixed = "--set trainer.slices=4 --set trainer.keep=4 ";

long Given(const char* name, long usual) {
  const char* text = std::getenv(name);
  return text == nullptr ? usual : std::atol(text);
}

double Now() { return static_cast<double>(page::Now()) * 1e-9; }

struct Rank {
  pid_t pid = 0;
  std::int64_t step = -1;  // done, of the run
  std::int64_t steps = 0;  // of this process
};

class Storm {
 public:
  Storm(long faults, long seed)
      : faults_(faults),
        slurm_(std::getenv("VESALIUS_SLURM") != nullptr),
        steps_(static_cast<int>((faults + 2) * kStepsAFault * 3 / 2 +
                                (slurm_ ? faults / kStayEvery * kStepsAStay : 0))),
        random_(static_cast<std::uint64_t>(seed), Purpose::kTest) {
    if (slurm_) cluster_ = std::make_unique<StormCluster>();
    for (int fault = 0; fault < kSlurmFaults; ++fault)
      to_come_.push_back(static_cast<SlurmFault>(fault));
    for (std::size_t i = to_come_.size(); i > 1; --i)
      std::swap(to_come_[i - 1], to_come_[random_.Below(i)]);
  }

  void Run() {
    const Outcome calm = launched_.Run("calm", "--ranks 2 --no-mpi", steps_, kFixed);
    ASSERT_EQ(calm.status, 0) << calm.output;
    Launch();
    for (long fault = 1; fault <= faults_; ++fault) {
      ASSERT_TRUE(Pass(static_cast<int>(random_.Below(kStepsAFault)))) << Log();
      if (slurm_ && fault % kStayEvery == kStayEvery / 2)
        StayOnTheCluster(fault);
      else
        Strike(fault);
      if (testing::Test::HasFailure()) FAIL() << Log();
    }
    ASSERT_TRUE(WaitUntil([&] { return !agent_->Running(); }, 120 + 0.2 * steps_)) << Log();
    const Outcome end = agent_->Wait();
    ASSERT_EQ(end.status, 0) << end.output;
    trainer::ExpectSameMetrics(launched_.run("storm"), launched_.run("calm"));
    EXPECT_EQ(launched_.Digest("storm"), launched_.Digest("calm"));
    EXPECT_TRUE(launched_.Ranks("storm").empty());
    std::printf(
        "%ld faults, %lld steps redone, %.1f s without a step in all, %.1f s the longest; "
        "the parameters are the reference's\n",
        faults_, static_cast<long long>(redone_), waited_, longest_);
  }

 private:
  // Loses state on disk and in memory alike: needs an older checkpoint to fall back to.
  enum Kind {
    kKill,
    kSegv,
    kAbort,
    kInSave,
    kHang,
    kAgent,
    kStop,
    kDamage,
    kDiskFull,
    kSecondStart,
    kKinds
  };

  void Launch() {
    ranks_ = 1 + static_cast<int>(random_.Below(kMostRanks));
    const std::string log = StrCat(launched_.log("storm"), "-", ++launches_);
    agent_ = std::make_unique<Background>(
        launched_.Line("storm",
                       StrCat("--ranks ", ranks_,
                              " --no-mpi --deadline step=3 --deadline warm-up=15 --deadline "
                              "stage=5 --deadline write=5 --deadline commit=5"),
                       steps_, kFixed),
        log);
    logs_ = log;
  }
  std::string Log() const { return ReadFile(logs_); }

  // The live ranks of the newest attempt, by rank; empty before all have opened their pages.
  std::vector<Rank> Ranks() const {
    const Pages pages(launched_.Memory("storm"));
    std::vector<Rank> ranks;
    for (int rank = 0; rank < ranks_; ++rank) {
      const auto page = pages.Of(rank);
      if (page == nullptr || ::kill(page->pid, 0) != 0) return {};
      ranks.push_back({page->pid, page->step, page->steps});
    }
    return ranks;
  }

  // The run makes `steps` steps more.
  bool Pass(std::int64_t steps) {
    std::int64_t until = -1;
    return WaitUntil(
        [&] {
          const auto ranks = Ranks();
          if (ranks.empty() || ranks[0].steps == 0) return false;
          if (until < 0) until = ranks[0].step + steps;
          return ranks[0].step >= until;
        },
        120);
  }

  // Rank 0 on whichever node of the cluster it lives.
  Rank RankZeroOnTheCluster() const {
    for (const char* node : {"n1", "n2", "n3", "n4"}) {
      const std::string memory = MemoryFolder(launched_.run("storm"), node);
      for (const std::string& name : Exists(memory) ? ListDir(memory) : std::vector<std::string>())
        if (const auto page =
                name.starts_with("pages-") ? page::Read(memory + "/" + name, 0) : nullptr;
            page != nullptr && ::kill(page->pid, 0) == 0)
          return {page->pid, page->step, page->steps};
    }
    return {};
  }

  // Leaves the machine for the cluster, lets something happen there, and comes back.
  void StayOnTheCluster(long number) {
    const SlurmFault fault = to_come_[static_cast<std::size_t>(stays_++) % to_come_.size()];
    EndAgent(SIGTERM, 75);
    // A step takes 50 ms at least: the stay is to use up no more steps than were planned for.
    cluster_->Submit(fault, launched_.run("storm"),
                     launched_.Words("storm", steps_, kFixed + "--fault slow@1:0:always"));
    Rank before;
    const auto stepping = [&] {
      before = RankZeroOnTheCluster();
      return before.steps >= 8;
    };
    ASSERT_TRUE(WaitUntil(stepping, 90)) << cluster_->Told();
    if (fault == SlurmFault::kController) {  // what it knows of the job reaches the disk by then
      std::this_thread::sleep_for(std::chrono::seconds(7));
      ASSERT_TRUE(stepping());
    }
    const double struck = Now();
    const std::string what = cluster_->Strike(fault);
    Rank after;
    const auto again = [&] {
      after = RankZeroOnTheCluster();
      if (fault == SlurmFault::kController) return after.step >= before.step + 40;
      return after.pid != before.pid && after.steps > 0;
    };
    ASSERT_TRUE(WaitUntil(again, 150)) << what << ": no step since\n" << cluster_->Told();
    Tell(number, what, before, after, struck);
    ASSERT_TRUE(cluster_->End(fault)) << what << ": not over\n" << cluster_->Told();
    Launch();
  }

  // Counts and prints what a fault cost: rank 0 as it was then, and once it made a step again.
  void Tell(long number, const std::string& what, const Rank& before, const Rank& after,
            double struck) {
    const double took = Now() - struck;
    const std::int64_t from = after.pid == before.pid ? before.step : after.step - after.steps;
    const std::int64_t lost = std::max<std::int64_t>(before.step - from, 0);
    redone_ += lost;
    waited_ += took;
    longest_ = std::max(longest_, took);
    std::printf("%4ld  %s at step %lld: %lld step(s) redone, stepping again after %.1f s\n", number,
                what.c_str(), static_cast<long long>(before.step), static_cast<long long>(lost),
                took);
    std::fflush(stdout);
  }

  // Whether any rank is in a phase of a save, now or soon.
  std::optional<int> RankInSave() const {
    std::optional<int> found;
    const std::string memory = launched_.Memory("storm");
    WaitUntil(
        [&] {
          for (int rank = 0; rank < ranks_ && !found; ++rank) {
            for (const std::string& name :
                 Exists(memory) ? ListDir(memory) : std::vector<std::string>())
              if (const auto page =
                      name.starts_with("pages-") ? page::Read(memory + "/" + name, rank) : nullptr;
                  page != nullptr && ::kill(page->pid, 0) == 0)
                for (const page::Section section :
                     {page::Section::kStage, page::Section::kWrite, page::Section::kCommit})
                  if (page->sections[static_cast<std::size_t>(section)].entered_at != 0)
                    found = rank;
          }
          return found.has_value();
        },
        5);
    return found;
  }

  void Strike(long number) {
    auto kind = static_cast<Kind>(random_.Below(kKinds));
    if (kind == kDamage && trainer::Committed(launched_.run("storm")).size() < 2) kind = kAgent;
    int victim = static_cast<int>(random_.Below(static_cast<std::uint64_t>(ranks_)));
    if (kind == kInSave) victim = RankInSave().value_or(victim);
    if (kind == kDiskFull && ranks_ == 1) kind = kKill;
    if (kind == kDiskFull) return FillTheDisk(number);
    const std::vector<Rank> before = Ranks();
    if (before.empty()) return Strike(number);  // an attempt was just ending
    const auto v = static_cast<std::size_t>(victim);
    std::string what = StrCat(" of rank ", victim, " of ", ranks_);
    const double struck = Now();
    switch (kind) {
      case kKill:
        ::kill(before[v].pid, SIGKILL), what = "kill" + what;
        break;
      case kSegv:
        ::kill(before[v].pid, SIGSEGV), what = "segmentation fault" + what;
        break;
      case kAbort:
        ::kill(before[v].pid, SIGABRT), what = "abort" + what;
        break;
      case kInSave:
        ::kill(before[v].pid, SIGKILL), what = "kill in a save" + what;
        break;
      case kHang:
        ::kill(before[v].pid, SIGSTOP), what = "hang" + what;
        break;
      case kAgent:
        EndAgent(SIGKILL, 137), what = "kill of the agent";
        break;
      case kStop:
        EndAgent(SIGTERM, 75), what = "stop on request";
        break;
      case kDamage:
        Damage(), what = "damage of the newest checkpoint, kill of the agent";
        break;
      default:
        SecondStart(), what = "a second start by hand";
    }
    if (testing::Test::HasFailure()) return;
    if (kind == kSecondStart) {
      std::printf("%4ld  %s at step %lld: refused, nothing lost\n", number, what.c_str(),
                  static_cast<long long>(before[0].step));
      return;
    }
    if (!agent_->Running()) {
      Launch();
      what += StrCat(", on with ", ranks_, " rank(s)");
    }
    std::vector<Rank> after;
    ASSERT_TRUE(WaitUntil(
        [&] {
          after = Ranks();
          return !after.empty() && after[0].pid != before[0].pid && after[0].steps > 0;
        },
        90))
        << what << ": no step since";
    Tell(number, what, before[0], after[0], struck);
  }

  // A rank but rank 0, which writes the metrics, cannot let its files grow: the next save is given
  // up by all, and the one after the disk has room again is good.
  void FillTheDisk(long number) {
    const std::vector<Rank> ranks = Ranks();
    if (ranks.empty()) return Strike(number);
    const auto victim = 1 + random_.Below(static_cast<std::uint64_t>(ranks_ - 1));
    const auto allow = [&](rlim_t bytes) {
      const rlimit limit{bytes, RLIM_INFINITY};
      return ::prlimit(ranks[victim].pid, RLIMIT_FSIZE, &limit, nullptr) == 0;
    };
    const double given_up = SavesGivenUp();
    ASSERT_TRUE(allow(4096));
    ASSERT_TRUE(WaitUntil([&] { return SavesGivenUp() > given_up; }, 60)) << "no save was given up";
    ASSERT_TRUE(allow(RLIM_INFINITY));
    const std::vector<std::string> then = trainer::Committed(launched_.run("storm"));
    ASSERT_TRUE(WaitUntil([&] { return trainer::Committed(launched_.run("storm")) != then; }, 60))
        << "no save since";
    ASSERT_EQ(Ranks().at(0).pid, ranks[0].pid) << "the ranks were started again";
    std::printf("%4ld  full disk of rank %d of %d at step %lld: a save given up, nothing lost\n",
                number, static_cast<int>(victim), ranks_, static_cast<long long>(ranks[0].step));
    std::fflush(stdout);
  }

  // What the newest line of the metrics says.
  double SavesGivenUp() const {
    const std::string path = launched_.run("storm") + "/metrics.jsonl";
    const std::string text = Shell("tail -n 1 " + path).output;
    const auto line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    return line.is_object() ? line.value("saves_abandoned", 0.0) : 0;
  }

  void EndAgent(int signal, int status) {
    ::kill(agent_->pid(), signal);
    ASSERT_TRUE(WaitUntil([&] { return !agent_->Running(); }, 30)) << "the agent did not end";
    const Outcome outcome = agent_->Wait();
    EXPECT_EQ(outcome.status, status) << outcome.output;
    ASSERT_TRUE(WaitUntil([&] { return launched_.Ranks("storm").empty(); }, 10))
        << "ranks outlived their agent";
  }

  // What is in memory goes with the agent's folder, as when a node is lost.
  void Damage() {
    EndAgent(SIGKILL, 137);
    RemoveTree(launched_.Memory("storm"));
    const std::string newest = trainer::NewestCheckpoint(launched_.run("storm"));
    std::vector<std::string> files = ListDir(newest);
    const std::string path = newest + "/" + files[random_.Below(files.size())];
    std::string bytes = ReadFile(path);
    const std::size_t at = random_.Below(bytes.size());
    switch (random_.Below(3)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << random_.Below(8));
        break;
      case 1:
        bytes.resize(at);
        break;
      default:
        bytes.clear();
    }
    WriteFileAtomic(path, bytes);
  }

  void SecondStart() {
    const Outcome outcome = Program(StrCat(
        "pretrain --preset tiny --data ", launched_.data(), " --run ", launched_.run("storm"),
        " --set trainer.checkpoint_every=3 --set trainer.eval_every=1000 --set "
        "dist.deadline=60 --set trainer.steps=",
        steps_, " --set trainer.threads=1 ", kFixed));
    EXPECT_EQ(outcome.status, 76) << outcome.output;
  }

  const long faults_;
  const bool slurm_;
  const int steps_;
  Random random_;
  Launched launched_;
  std::unique_ptr<StormCluster> cluster_;
  std::vector<SlurmFault> to_come_;  // in turn
  int stays_ = 0;
  std::unique_ptr<Background> agent_;
  std::string logs_;
  int ranks_ = 1, launches_ = 0;
  std::int64_t redone_ = 0;
  double waited_ = 0, longest_ = 0;
};

TEST(Storm, EndsWithTheReferenceParameters) {
  const long seed = Given("VESALIUS_STORM_SEED", 1), faults = Given("VESALIUS_STORM_FAULTS", 20);
  std::printf("seed %ld, %ld faults%s\n", seed, faults,
              std::getenv("VESALIUS_SLURM") == nullptr ? ", none of a batch system" : "");
  Storm(faults, seed).Run();
}

}  // namespace
}  // namespace vesalius::launch
