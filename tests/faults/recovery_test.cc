// How fast: a rank's death to the end of all ranks and to the next step, on the demo preset with
// two ranks; and whether every one of many random hangs is named in time, with the right rank and
// collective. Prints what it measures.
#include <algorithm>
#include <cstdlib>
#include <random>

#include "tests/faults/launched.h"
#include "tests/faults/pages.h"

namespace vesalius::launch {
namespace {

double Now() { return static_cast<double>(page::Now()) * 1e-9; }

int Times(const char* name, int usual) {
  const char* text = std::getenv(name);
  return text == nullptr ? usual : std::atoi(text);
}

// Ended; whether its parent has asked how does not matter.
bool Gone(pid_t pid) {
  const std::string stat = ProcessStat(pid);
  return stat.empty() || stat[0] == 'Z' || stat[0] == 'X';
}

TEST(Recovery, RankDeathToTheEndOfAllAndToTheNextStep) {
  for (const char* flags : {"--ranks 2 --no-mpi", "--ranks 2"}) {
    Launched launched;
    Background agent(launched.Line("run", flags, 100000, "--preset demo"), launched.log("run"));
    const Pages pages(launched.Memory("run"));
    std::vector<double> gone, stepping;
    for (int trial = 0; trial < Times("VESALIUS_DEATHS", 3); ++trial) {
      ASSERT_TRUE(pages.Stepping(7)) << ReadFile(launched.log("run"));
      const pid_t a = pages.Of(0)->pid, b = pages.Of(1)->pid;
      ::kill(b, SIGKILL);
      const double killed = Now();
      ASSERT_TRUE(WaitUntil([&] { return Gone(a) && Gone(b); }));
      gone.push_back(Now() - killed);
      ASSERT_TRUE(WaitUntil([&] {
        const auto page = pages.Of(0);
        return page != nullptr && page->pid != a && page->steps > 0;
      }));
      stepping.push_back(Now() - killed);
    }
    std::ranges::sort(gone);
    std::ranges::sort(stepping);
    std::printf("%s: all ranks gone after %.2f s at most, stepping after %.2f to %.2f s\n", flags,
                gone.back(), stepping.front(), stepping.back());
    // The usual one of several: others may use the machine as well.
    EXPECT_LE(gone[gone.size() / 2], 0.5) << flags;
    EXPECT_LE(stepping[stepping.size() / 2], 3) << flags;
  }
}

TEST(Recovery, RandomHangsAreNamed) {
  Launched launched;
  const std::map<std::string, double> deadlines = {{"step", 4},  {"warm-up", 30}, {"stage", 5},
                                                   {"write", 5}, {"commit", 5},   {"load", 20}};
  std::string flags = "--ranks 2 --no-mpi";
  for (const auto& [section, seconds] : deadlines)
    flags += StrCat(" --deadline ", section, "=", seconds);
  Background agent(launched.Line("run", flags, 1000000), launched.log("run"));
  const Pages pages(launched.Memory("run"));
  std::mt19937 random(7);
  const std::string file = launched.run("run") + "/failure.json";
  double latest = 0;
  pid_t old = 0;
  const int hangs = Times("VESALIUS_HANGS", 5);
  for (int hang = 1; hang <= hangs; ++hang) {
    ASSERT_TRUE(pages.Stepping(7, old)) << ReadFile(launched.log("run"));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 400000));
    const int rank = static_cast<int>(random() % 2);
    const auto page = pages.Of(rank), other = pages.Of(1 - rank);
    ASSERT_TRUE(page && other) << ReadFile(launched.log("run"));
    old = (rank == 0 ? page : other)->pid;
    ::kill(page->pid, SIGSTOP);
    const double stopped = Now();
    // What the other one waits in, as its own page says.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    const std::uint64_t number = other->waiting;
    const std::string name = page::CollectiveName(*other, number);
    ASSERT_TRUE(WaitUntil(
        [&] { return Exists(file) && Json::parse(ReadFile(file)).at("attempt") == hang; }, 30));
    const double took = Now() - stopped;
    const Json cause = Json::parse(ReadFile(file)).at("cause");
    EXPECT_EQ(cause.at("kind"), "hang") << cause;
    EXPECT_EQ(cause.at("rank"), rank) << cause;
    EXPECT_EQ(cause.at("number"), number) << cause;
    EXPECT_EQ(cause.at("collective"), name) << cause;
    double limit = 0;  // of whichever section was overdue first
    for (const auto& [section, seconds] : deadlines)
      if (section == cause.at("section")) limit = std::max(limit, seconds);
    EXPECT_LE(took, std::max(limit, deadlines.at("step")) + 2) << cause;
    latest = std::max(latest, took - std::max(limit, deadlines.at("step")));
  }
  std::printf("%d hangs: named at most %.2f s after the deadline\n", hangs, latest);
}

}  // namespace
}  // namespace vesalius::launch
