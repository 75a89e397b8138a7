// Small trainings with the program itself, for the tests of resuming, killing and refusing: a
// phantom set, the tiny preset, what a run folder tells afterwards.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/strings.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::trainer {

using Json = nlohmann::json;

// How a training is started: `mpi` > 0 ranks under mpirun, or `local` > 0 ranks as threads, or
// alone.
struct Launch {
  int mpi = 0, local = 0;
};

inline const Launch kAlone{}, kTwoLocal{0, 2}, kThreeLocal{0, 3}, kTwoMpi{2, 0};

// A folder with a phantom set in it, and runs beside it.
class Training {
 public:
  explicit Training(int samples = 80) {
    const Outcome made =
        Program(StrCat("phantom --out ", data(), " --samples ", samples, " --seed 1 --size 96"));
    EXPECT_EQ(made.status, 0) << made.output;
  }

  const std::string& folder() const { return dir_.path(); }
  std::string data() const { return dir_.path() + "/data"; }
  std::string run(const std::string& name) const { return dir_.path() + "/" + name; }

  // The shell line that trains `name`. Stages change at the steps 30 % and 50 % along.
  std::string Line(const std::string& name, const Launch& launch,
                   const std::string& more = "") const {
    return ProgramLine(
        StrCat("pretrain --preset tiny --data ", data(), " --run ", run(name),
               " --set trainer.threads=1 --set trainer.stage1=0.3 --set trainer.stage2=0.2 "
               "--set trainer.checkpoint_every=6 --set dist.deadline=60",
               launch.local > 0 ? StrCat(" --local-ranks ", launch.local) : "", " ", more),
        launch.mpi);
  }
  Outcome Run(const std::string& name, const Launch& launch, const std::string& more = "") const {
    return Shell(Line(name, launch, more));
  }

 private:
  TempDir dir_;
};

inline std::string Steps(int steps) { return StrCat("--set trainer.steps=", steps, " "); }

// The complete lines of RUN/metrics.jsonl; none when there is no such file yet.
inline std::vector<Json> Metrics(const std::string& run) {
  std::vector<Json> lines;
  if (!Exists(run + "/metrics.jsonl")) return lines;
  const std::vector<std::string> texts = Split(ReadFile(run + "/metrics.jsonl"), '\n');
  for (std::size_t i = 0; i + 1 < texts.size(); ++i) lines.push_back(Json::parse(texts[i]));
  return lines;
}

// The lines without what tells of time and of the disk, as text: floats to the last bit.
inline std::vector<std::string> TimelessMetrics(const std::string& run) {
  std::vector<std::string> lines;
  for (Json line : Metrics(run)) {
    line.erase("seconds");
    line.erase("comm");
    line.erase("samples_per_s");
    line.erase("saves_abandoned");
    lines.push_back(line.dump());
  }
  return lines;
}

// The same lines; shows the first that differs.
inline void ExpectSameMetrics(const std::string& run, const std::string& expected) {
  const std::vector<std::string> mine = TimelessMetrics(run), theirs = TimelessMetrics(expected);
  ASSERT_FALSE(theirs.empty());
  for (std::size_t i = 0; i < std::min(mine.size(), theirs.size()); ++i)
    ASSERT_EQ(mine[i], theirs[i]) << run << " differs from line " << i + 1 << " on";
  EXPECT_EQ(mine.size(), theirs.size()) << run;
}

// Same steps and samples, and every loss within `tolerance` relative.
inline void ExpectNearMetrics(const std::string& run, const std::string& expected,
                              double tolerance) {
  const std::vector<Json> mine = Metrics(run), theirs = Metrics(expected);
  ASSERT_EQ(mine.size(), theirs.size());
  const std::vector<std::string> exact = {"step", "samples", "stage", "unreadable"};
  const std::vector<std::string> near = {"loss", "anatomy", "presence", "global",
                                         "fine", "pair",    "iou"};
  for (std::size_t i = 0; i < mine.size(); ++i) {
    for (const std::string& key : exact) EXPECT_EQ(mine[i].at(key), theirs[i].at(key)) << key;
    for (const std::string& key : near) {
      ASSERT_EQ(mine[i].contains(key), theirs[i].contains(key)) << key;
      if (!theirs[i].contains(key)) continue;
      const double value = theirs[i].at(key);
      EXPECT_NEAR(mine[i].at(key).get<double>(), value, tolerance * std::abs(value))
          << key << " of step " << i + 1;
    }
  }
}

// What `vesalius inspect` says of a run or a step folder; every byte verified.
inline Json Inspect(const std::string& path) {
  const TempDir dir;
  const Outcome outcome = Program(StrCat("inspect ", path, " --json ", dir.path(), "/found.json"));
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  return outcome.status == 0 ? Json::parse(ReadFile(dir.path() + "/found.json")) : Json::object();
}

inline std::string ParametersDigest(const std::string& path) {
  return Inspect(path).value("parameters_digest", "none: " + path);
}

// Committed steps of a run, by folder name, in order.
inline std::vector<std::string> Committed(const std::string& run) {
  std::vector<std::string> names;
  if (!Exists(run + "/ckpt")) return names;
  for (const std::string& name : ListDir(run + "/ckpt"))
    if (name.starts_with("step-")) names.push_back(name);
  return names;
}

inline std::string NewestCheckpoint(const std::string& run) {
  const std::vector<std::string> names = Committed(run);
  return names.empty() ? "" : run + "/ckpt/" + names.back();
}

// The process of a rank, as the newest attempt that got so far wrote it; 0 before the first.
inline pid_t PidOfRank(const std::string& run, int rank) {
  if (!Exists(run + "/ranks")) return 0;
  int newest = 0;
  for (const std::string& attempt : ListDir(run + "/ranks"))
    newest = std::max(newest, std::atoi(attempt.c_str()));
  const std::string path = StrCat(run, "/ranks/", newest, "/rank-", rank, ".pid");
  return Exists(path) ? std::atoi(ReadFile(path).c_str()) : 0;
}

// Starts `run` and sends `signal` to `rank` once `step` steps are in the metrics: it must commit
// and leave with 75. A step takes 50 ms at least, so that it does not end before.
inline void StopTraining(const Training& training, const std::string& run, const Launch& launch,
                         const std::string& more, int step, int rank, int signal) {
  const std::string folder = training.run(run);
  Background job(training.Line(run, launch, more + " --fault slow@1:0:always"), folder + ".log");
  ASSERT_TRUE(WaitUntil(
      [&] { return !job.Running() || static_cast<int>(Metrics(folder).size()) >= step; }));
  ::kill(PidOfRank(folder, rank), signal);
  const Outcome outcome = job.Wait();
  ASSERT_EQ(outcome.status, 75) << outcome.output;
  EXPECT_NE(outcome.output.find("stopped on request"), std::string::npos) << outcome.output;
  const Json found = Inspect(folder);
  EXPECT_EQ(found["step"], Metrics(folder).back()["step"]) << "not saved where it stopped";
  EXPECT_EQ(found["samples"], Metrics(folder).back()["samples"]);
}

// Inverts the byte at `position` of a file, counted from its end when negative.
inline void FlipByte(const std::string& path, std::int64_t position) {
  std::string content = ReadFile(path);
  const auto size = static_cast<std::int64_t>(content.size());
  auto& byte = content.at(static_cast<std::size_t>(position < 0 ? size + position : position));
  byte = static_cast<char>(~byte);
  WriteFileAtomic(path, content);
}

}  // namespace vesalius::trainer
