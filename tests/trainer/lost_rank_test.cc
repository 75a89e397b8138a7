// A rank of a real training is killed inside each collective of some steps in turn, under a
// launcher that does not kill the others (plain processes that meet in a folder): every survivor
// leaves long before the deadline with 80 and names the collective in its log. Some
// collectives are tried, spread over the run; with VESALIUS_EVERY_COLLECTIVE set, every one.
#include <gmock/gmock.h>

#include <cstdlib>
#include <numeric>

#include "tests/trainer/training.h"

namespace vesalius::trainer {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;

constexpr int kRanks = 2;

class LostRank : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Exchange, LostRank, testing::Values("all_reduce", "zero1"),
                         [](const auto& info) { return std::string(info.param); });

// One training of two ranks of which `dies` says which dies where. The survivor's outcome, with its
// log; of a run that nobody left, rank 0's.
Outcome Survivor(const Training& training, const std::string& name, const std::string& dies,
                 const std::string& exchange) {
  const int guilty = dies[0] - '0';
  std::vector<std::unique_ptr<Background>> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    const std::string line = StrCat(
        "env VESALIUS_STORE=", training.folder(), "/store-", name, " VESALIUS_RANK=", rank,
        " VESALIUS_SIZE=", kRanks, " VESALIUS_TEST_DIE_AT=", dies, " ",
        training.Line(name, kAlone,
                      Steps(4) + "--set trainer.eval_every=1000 --set dist.exchange=" + exchange));
    ranks.push_back(std::make_unique<Background>(
        line, StrCat(training.folder(), "/", name, ".", rank, ".log")));
  }
  Outcome outcome = ranks[1 - guilty]->Wait(40);  // the deadline is 60
  const Outcome killed = ranks[guilty]->Wait(40);
  if (outcome.status != 0) {
    EXPECT_EQ(killed.status, 128 + SIGKILL) << killed.output;
  }
  return outcome;
}

TEST_P(LostRank, EverySurvivorLeavesAndNamesTheCollective) {
  const Training training(40);
  const bool all = std::getenv("VESALIUS_EVERY_COLLECTIVE") != nullptr;
  std::vector<int> numbers = {3, 14, 22, 31};
  if (all) {
    numbers.resize(1000);
    std::iota(numbers.begin(), numbers.end(), 0);
  }
  for (const int number : numbers) {
    const bool met = number % 2 == 1;
    const int guilty = number / 2 % kRanks;
    const std::string dies = StrCat(guilty, ":", number, met ? ":met" : "");
    SCOPED_TRACE(dies);
    const Outcome outcome = Survivor(training, StrCat("lost-", number), dies, GetParam());
    if (all && outcome.status == 0) {  // there are no more
      EXPECT_GT(number, 40);
      return;
    }
    EXPECT_EQ(outcome.status, 80) << outcome.output;
    EXPECT_THAT(outcome.output,
                ContainsRegex("(all-reduce|all-gather|reduce-scatter|broadcast|barrier|all-to-all|"
                              "send/receive) '[^']+' \\(call [0-9]+"));
    EXPECT_THAT(outcome.output, HasSubstr(StrCat("rank ", guilty, " (process ")));
    EXPECT_THAT(outcome.output, HasSubstr("died"));
  }
}

}  // namespace
}  // namespace vesalius::trainer
