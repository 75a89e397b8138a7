// kill -9 of a random rank at random instants, many times in a row: the others leave, nothing that
// was committed is lost, the next start resumes, and in the end the run is bit for bit the one that
// nobody disturbed. VESALIUS_KILLS sets how often (5).
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

#include "base/random.h"
#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::ElementsAreArray;
using Clock = std::chrono::steady_clock;

constexpr int kSteps = 36;
// Every checkpoint is kept, so that a lost one is missed.
const std::string kMore = Steps(kSteps) + "--set trainer.keep=1000";

int Kills() {
  const char* given = std::getenv("VESALIUS_KILLS");
  return given != nullptr ? std::atoi(given) : 5;
}

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The run that nobody disturbed: what every checkpoint of the others must hold.
class Undisturbed {
 public:
  Undisturbed(const Training& training, const Launch& launch) : run_(training.run("undisturbed")) {
    const auto start = Clock::now();
    Background job(training.Line("undisturbed", launch, kMore), run_ + ".log");
    WaitUntil([&] { return !Committed(run_).empty() || !job.Running(); });
    to_commit_ = Since(start);
    const Outcome outcome = job.Wait(120);
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    for (const std::string& step : Committed(run_)) digests_[step] = Digest(run_, step);
    EXPECT_EQ(digests_.size(), std::size_t{kSteps / 6});
  }

  double seconds_to_commit() const { return to_commit_; }

  // Checks the named steps of `run` against its own.
  void ExpectSame(const std::string& run, const std::vector<std::string>& steps) const {
    for (const std::string& step : steps) EXPECT_EQ(Digest(run, step), digests_.at(step)) << step;
  }

  // The whole run, ended in peace.
  void ExpectSameEnd(const std::string& run) const {
    std::vector<std::string> steps;
    for (const auto& [step, digest] : digests_) steps.push_back(step);
    EXPECT_THAT(Committed(run), ElementsAreArray(steps));
    ExpectSame(run, {steps.back()});
    ExpectSameMetrics(run, run_);  // each step exactly once
  }

 private:
  static std::string Digest(const std::string& run, const std::string& step) {
    return ParametersDigest(run + "/ckpt/" + step);
  }

  std::string run_;
  double to_commit_ = 0;
  std::map<std::string, std::string> digests_;
};

bool Alive(pid_t pid) { return ::kill(pid, 0) == 0; }

// One start of `run`, one of its ranks killed at an instant uniform in 0 to 1.5 times
// `*to_commit`, the seconds from a start to the next commit, which what is seen here corrects.
// False when the run had ended by then.
bool StartAndKill(const Training& training, const std::string& run, const Launch& launch,
                  double* to_commit, Random& random) {
  const double seconds = random.Uniform(0, 1.5 * *to_commit);
  const std::string folder = training.run(run);
  const auto start = Clock::now();
  Background job(training.Line(run, launch, kMore), folder + ".log");
  const auto ranks = [&] {
    return launch.mpi > 0 ? ChildrenOf(job.pid()) : std::vector<pid_t>{job.pid()};
  };
  const auto expected = static_cast<std::size_t>(std::max(launch.mpi, 1));
  const std::size_t known = Committed(folder).size();
  double first_commit = 0;
  std::vector<pid_t> pids;
  const bool started = WaitUntil([&] {
    if (first_commit == 0 && Committed(folder).size() > known) first_commit = Since(start);
    pids = ranks();
    return !job.Running() || (pids.size() == expected && Since(start) >= seconds);
  });
  EXPECT_TRUE(started) << "the ranks did not start";
  if (!job.Running()) {
    const Outcome outcome = job.Wait();
    EXPECT_EQ(outcome.status, 0) << outcome.output;
    return false;
  }
  *to_commit = first_commit > 0 ? first_commit : std::max(*to_commit, Since(start));
  const std::vector<std::string> before = Committed(folder);
  ::kill(pids[random.Below(pids.size())], SIGKILL);
  const Outcome outcome = job.Wait(60);
  if (outcome.status == 0) return false;  // it was leaving already: the caller looks at its end
  EXPECT_GT(outcome.status, 0) << "the job did not end:\n" << outcome.output;
  EXPECT_TRUE(WaitUntil([&] { return std::none_of(pids.begin(), pids.end(), Alive); }, 30))
      << "a rank outlived the killed one:\n"
      << outcome.output;
  const std::vector<std::string> after = Committed(folder);
  EXPECT_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()))
      << "a committed checkpoint is gone:\n"
      << outcome.output;
  return true;
}

void ExpectKillsChangeNothing(const Launch& launch, int kills) {
  const Training training;
  const Undisturbed undisturbed(training, launch);
  if (testing::Test::HasFailure()) return;
  const auto seed = static_cast<std::uint64_t>(::getpid());
  Random random(seed, Purpose::kTest);
  double to_commit = undisturbed.seconds_to_commit();
  int runs = 1, resumed = 0;
  for (int done = 0; done < kills && !testing::Test::HasFailure();) {
    const std::string run = StrCat("run-", runs);
    const std::vector<std::string> known = Committed(training.run(run));
    if (StartAndKill(training, run, launch, &to_commit, random)) {
      ++done;
      const std::vector<std::string> steps = Committed(training.run(run));
      undisturbed.ExpectSame(training.run(run), {steps.begin() + known.size(), steps.end()});
      resumed += !known.empty();
    } else {  // it got to its end before the blow: the next one starts afresh
      undisturbed.ExpectSameEnd(training.run(run));
      ++runs;
    }
  }
  const std::string run = StrCat("run-", runs);
  const Outcome outcome = training.Run(run, launch, kMore);
  ASSERT_EQ(outcome.status, 0) << "seed " << seed << ":\n" << outcome.output;
  undisturbed.ExpectSameEnd(training.run(run));
  std::printf("seed %llu: %d kills, %d runs, %d kills of a resumed run, %.1f s to a commit\n",
              static_cast<unsigned long long>(seed), kills, runs, resumed, to_commit);
}

TEST(KillResumeTest, UnderMpiTheRunIsTheUndisturbedOne) {
  ExpectKillsChangeNothing(kTwoMpi, Kills());
}

TEST(KillResumeTest, OfOneProcessTheRunIsTheUndisturbedOne) {
  ExpectKillsChangeNothing(kTwoLocal, std::max(2, Kills() / 2));
}

}  // namespace
}  // namespace vesalius::trainer
