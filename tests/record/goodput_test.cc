// Goodput of hand-made records whose truth is known, and of real runs with faults at known times;
// stragglers.
#include "record/goodput.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "record/stragglers.h"
#include "record/trace.h"
#include "tests/record/events_of.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::record {
namespace {

using testing::HasSubstr;

void ExpectParts(const Goodput& goodput, const std::map<std::string, double>& truth) {
  double sum = 0;
  for (const auto& [name, seconds] : goodput.parts) {
    EXPECT_NEAR(seconds, truth.contains(name) ? truth.at(name) : 0, 1e-5) << name;
    sum += seconds;
  }
  EXPECT_NEAR(sum, goodput.wall(), 1e-5);
}

// Queued 20 s, launched 1 s, started 2 s (init), loaded 1 s, steps 1 to 10 of 1 s, a save of 0.5 s
// after step 6; rank dies after 10.3; known 0.7 s later, restarted in 3 s; resumes at 6; goes on to
// 12 with an evaluation; then a chain: waits 30 s; finishes 13 and 14.
TEST(Goodput, EveryPartOfAScriptedRun) {
  const TempDir dir;
  {
    Script script(dir.path());
    const std::string a = "r/000001/000001", b = "r/000001/000002", c = "r/000002/000003";
    script.Add(0, -1, a, "span", "queue", {{"dur", 20}});
    script.Add(20, -1, a, "instant", "generation.start");
    script.Start(21, 22.5, a);
    script.Load(23, 1, a, 0);
    double t = script.Steps(24, 1, a, 1, 6);  // 30
    script.Add(t, 0, a, "span", "save", {{"dur", 0.5}, {"step", 6}});
    t = script.Steps(t + 0.5, 1, a, 7, 10);  // 34.5
    script.Add(34.8, 1, a, "span", "forward", {{"dur", 0.1}, {"step", 11}});
    script.Add(35.2, -1, a, "failure", "detect", {{"cause", "rank 1 killed"}});
    script.Start(38.2, 39, b);
    script.Load(40.2, 0.8, b, 6);
    t = script.Steps(41, 1, b, 7, 12);  // 47
    script.Add(t, 0, b, "span", "eval", {{"dur", 2}, {"step", 12}});
    script.Add(t + 2.5, 0, b, "instant", "rank.end");
    script.Add(t + 3, -1, b, "instant", "generation.end");  // 50
    script.Add(80, -1, c, "instant", "generation.start");
    script.Start(80.5, 81, c);
    script.Load(82, 1, c, 12);
    t = script.Steps(83, 1, c, 13, 14);  // 85
    script.Add(t + 0.25, 0, c, "instant", "rank.end");
    script.Raw("{\"t\":1.7e9,\"na");
  }
  const Events events = ReadEvents(dir.path());
  EXPECT_EQ(events.torn, 1);
  const Goodput goodput = AccountFor(events);
  EXPECT_EQ(goodput.attempts, 3);
  EXPECT_EQ(goodput.steps, 14);
  EXPECT_EQ(goodput.redone_steps, 4);
  EXPECT_NEAR(goodput.wall(), 85.25, 1e-5);
  ExpectParts(goodput, {{"queue", 50},
                        {"init", 3 + 2 + 2},  // of the first also 1 s of launching
                        {"load", 1 + 0.8 + 1},
                        {"productive", 14},
                        {"redone", 4},
                        {"stall", 0.5},
                        {"eval", 2},
                        {"detect", 0.7},
                        {"restart", 3},
                        {"other", 0.5 + 0.25},
                        {"idle", 0.5}});
}

TEST(Goodput, ARollBackUndoesSteps) {
  const TempDir dir;
  {
    Script script(dir.path());
    const std::string a = "r/1/1";
    script.Start(0, 0, a);
    script.Load(1, 1, a, 0);
    const double t = script.Steps(2, 1, a, 1, 8);
    script.Add(t, 0, a, "instant", "rollback", {{"to", 5}, {"step", 8}});
    script.Steps(t, 1, a, 6, 10);
  }
  const Goodput goodput = AccountFor(ReadEvents(dir.path()));
  EXPECT_EQ(goodput.steps, 10);
  EXPECT_EQ(goodput.redone_steps, 3);
  ExpectParts(goodput, {{"init", 1}, {"load", 1}, {"productive", 10}, {"redone", 3}});
}

TEST(Goodput, WhatCannotBeAccountedForIsRefused) {
  const TempDir dir;
  EXPECT_THAT(MessageOf(ExitCode::kInputMissing, [&] { ReadEvents(dir.path()); }),
              HasSubstr("holds no events"));
  Script(dir.path()).Add(1, 0, "r/1/1", "instant", "resume");
  EXPECT_THAT(MessageOf(ExitCode::kInvalidData, [&] { AccountFor(ReadEvents(dir.path())); }),
              HasSubstr("no attempt"));
}

// What an agent tells of a rank and of the attempt before is no sign of life of that attempt, and
// what it detects in the next generation is nothing of the one that left.
TEST(Goodput, AgentsSpeakForThemselves) {
  const TempDir dir;
  {
    Script script(dir.path());
    const std::string a = "r/1/1", b = "r/2/2";
    script.Add(0, -1, "", "instant", "generation.start");
    script.Start(0, 0, a);
    script.Load(1, 1, a, 0);
    script.Steps(2, 1, a, 1, 2);  // 4
    script.Add(4, 0, a, "instant", "rank.end");
    script.Add(4, -1, a, "instant", "generation.end");
    script.Add(14, -1, a, "instant", "generation.start");
    script.Add(15, -1, a, "failure", "detect", {{"cause", "a launch"}, {"of_rank", 1}});
    script.Start(16, 16, b);
    script.Load(17, 1, b, 2);
    script.Steps(18, 1, b, 3, 4);  // 20
  }
  ExpectParts(AccountFor(ReadEvents(dir.path())),
              {{"queue", 10}, {"init", 1 + 2 + 1}, {"load", 2}, {"productive", 4}});
}

TEST(Goodput, ALaunchWhoseRanksAreStillToComeIsAccountedFor) {
  const TempDir dir;
  {
    Script script(dir.path());
    script.Add(0, -1, "", "instant", "generation.start");
    script.Add(3, -1, "", "instant", "attempt.start");
  }
  EXPECT_DOUBLE_EQ(AccountFor(ReadEvents(dir.path())).wall(), 3);
}

TEST(Goodput, FieldsOfAnotherTypeAreNone) {
  const TempDir dir;
  {
    Script script(dir.path());
    script.Add(0, 0, "r/1/1", "instant", "rank.start", {{"since", "x"}});
    script.Add(1, 0, "r/1/1", "instant", "rollback", {{"to", "x"}});
    script.Steps(1, 1, "r/1/1", 1, 2);
  }
  EXPECT_DOUBLE_EQ(AccountFor(ReadEvents(dir.path())).wall(), 3);
}

TEST(Goodput, DroppedEventsAreToldOf) {
  const TempDir dir;
  {
    Script script(dir.path());
    script.Start(0, 0, "r/1/1");
    script.Add(1, 0, "r/1/1", "failure", "events.dropped", {{"value", 5}});
    script.Add(2, 0, "r/1/1", "failure", "events.dropped", {{"value", 7}});
    script.Add(3, 0, "r/1/2", "failure", "events.dropped", {{"value", 2}});
  }
  EXPECT_EQ(ReadEvents(dir.path()).dropped, 9);
}

TEST(Stragglers, ASlowRankIsFoundByPhase) {
  const TempDir dir;
  {
    Script script(dir.path());
    for (int rank = 0; rank < 4; ++rank)
      for (int step = 10; step <= 60; step += 10) {
        const double forward = rank == 2 ? 0.2 : 0.1;
        const double t = step;
        script.Add(t, rank, "r/1/1", "span", "data", {{"dur", 0.01}, {"step", step}});
        script.Add(t, rank, "r/1/1", "span", "forward", {{"dur", forward}, {"step", step}});
        script.Add(t, rank, "r/1/1", "span", "exchange", {{"dur", 0.3 - forward}, {"step", step}});
      }
    script.Add(61, 1, "r/1/1", "span", "forward", {{"dur", 9}, {"step", 60}});  // once is no sign
  }
  const std::vector<PhaseScore> scores = PhaseScores(ReadEvents(dir.path()));
  ASSERT_EQ(scores.size(), 8u);
  for (const PhaseScore& score : scores) {
    const bool slow = score.rank == 2 && score.phase == "forward";
    EXPECT_EQ(score.score < kSlowScore, slow) << score.phase << " of rank " << score.rank;
    if (!slow) continue;
    EXPECT_EQ(score.host, "node1");
    EXPECT_NEAR(score.score, 0.5, 1e-9);
  }
}

TEST(Trace, EveryEventWithItsRankAndTime) {
  const TempDir dir;
  {
    Script script(dir.path());
    script.Start(0, 0, "r/1/1");
    script.Add(1.5, 1, "r/1/1", "span", "forward", {{"dur", 0.25}, {"step", 7}});
    script.Add(2, -1, "r/1/1", "failure", "detect", {{"cause", "x"}});
    script.Steps(2, 1, "r/1/2", 1, 1);
  }
  const auto trace = nlohmann::json::parse(TraceOf(ReadEvents(dir.path())));
  std::map<std::string, nlohmann::json> by_name;
  for (const auto& entry : trace.at("traceEvents")) by_name[entry.at("name")] = entry;
  EXPECT_EQ(by_name.at("forward").at("ph"), "X");
  EXPECT_EQ(by_name.at("forward").at("ts"), 1500000);
  EXPECT_EQ(by_name.at("forward").at("dur"), 250000);
  EXPECT_EQ(by_name.at("forward").at("args").at("step"), 7);
  EXPECT_EQ(by_name.at("detect").at("ph"), "i");
  EXPECT_EQ(by_name.at("step").at("args").at("value"), 1);
  EXPECT_NE(by_name.at("step").at("tid"), by_name.at("detect").at("tid"));
  EXPECT_NE(by_name.at("forward").at("pid"), by_name.at("rank.start").at("pid"));
}

}  // namespace
}  // namespace vesalius::record
