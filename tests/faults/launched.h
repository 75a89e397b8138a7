// Trainings under `vesalius launch`, for the tests of what agents do about faults.
#pragma once

#include <gmock/gmock.h>

#include "base/host.h"
#include "launch/agent/rank_processes.h"
#include "tests/trainer/training.h"

namespace vesalius::launch {

using trainer::Json;
using trainer::Training;

class Launched {
 public:
  // A killed agent leaves its node's memory to the next one; here there is none.
  ~Launched() {
    for (const std::string& name : ListDir(training_.folder()))
      for (const std::string& node :
           {std::string("node0"), std::string("node1"), std::string("node2"), std::string("n1"),
            std::string("n2"), std::string("n3"), std::string("n4"), HostName()})
        RemoveTree(MemoryFolder(run(name), node));
  }

  // The shell line that trains `name` for `steps` steps under an agent.
  std::string Line(const std::string& name, const std::string& flags, int steps,
                   const std::string& more = "") const {
    return ProgramLine(StrCat("launch ", flags, " -- ", Words(name, steps, more)));
  }
  std::string Words(const std::string& name, int steps, const std::string& more = "") const {
    return StrCat("pretrain --preset tiny --data ", training_.data(), " --run ", run(name),
                  " --set trainer.threads=1 --set trainer.checkpoint_every=3 "
                  "--set trainer.eval_every=1000 --set dist.deadline=60 --set trainer.steps=",
                  steps, " ", more);
  }
  Outcome Run(const std::string& name, const std::string& flags, int steps,
              const std::string& more = "") const {
    return Shell(Line(name, flags, steps, more));
  }
  std::string data() const { return training_.data(); }
  std::string run(const std::string& name) const { return training_.run(name); }
  std::string log(const std::string& name) const {
    return training_.folder() + "/" + name + ".log";
  }

  // Parameters of a run of `steps` steps that nothing disturbed.
  std::string Undisturbed(int steps) {
    if (digest_.empty()) {
      const Outcome outcome = Run("undisturbed", "--ranks 2 --no-mpi", steps);
      EXPECT_EQ(outcome.status, 0) << outcome.output;
      digest_ = Digest("undisturbed");
    }
    return digest_;
  }
  std::string Digest(const std::string& name) const {
    return trainer::ParametersDigest(trainer::NewestCheckpoint(run(name)));
  }
  Json Failure(const std::string& name) const {
    const std::string path = run(name) + "/failure.json";
    EXPECT_TRUE(Exists(path)) << path;
    return Exists(path) ? Json::parse(ReadFile(path)) : Json::object();
  }
  std::int64_t StepOf(const std::string& name) const {
    const auto lines = trainer::Metrics(run(name));
    return lines.empty() ? 0 : lines.back().at("step").get<std::int64_t>();
  }
  // What the agent of a run on this node keeps in memory.
  std::string Memory(const std::string& name) const { return MemoryFolder(run(name), HostName()); }
  // The ranks of this run that live, in any attempt.
  std::vector<pid_t> Ranks(const std::string& name) const {
    std::vector<pid_t> found;
    for (const std::string& pid : ListDir("/proc")) {
      if (std::atoi(pid.c_str()) <= 0 || !Exists("/proc/" + pid + "/cmdline")) continue;
      std::FILE* file = std::fopen(("/proc/" + pid + "/cmdline").c_str(), "r");
      if (file == nullptr) continue;
      char text[8192];
      const std::size_t n = std::fread(text, 1, sizeof(text), file);
      std::fclose(file);
      const std::vector<std::string> words = Split({text, n}, '\0');
      if (words.size() > 1 && words[1] == "pretrain" &&
          std::find(words.begin(), words.end(), run(name)) != words.end())
        found.push_back(std::atoi(pid.c_str()));
    }
    return found;
  }

 private:
  Training training_{40};
  std::string digest_;
};

}  // namespace vesalius::launch
