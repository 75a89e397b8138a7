// The ranks of one attempt on this node: started here, or by mpirun or srun, and watched through
// their pages. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rank_page.h"
#include "launch/agent/process.h"
#include "launch/agent/report.h"

namespace vesalius::launch {

enum class Starter { kPlain, kMpirun, kSrun };

struct RankCommand {
  std::vector<std::string> words;  // vesalius pretrain ...
  Starter starter = Starter::kPlain;
  bool gpus = true;  // they may use them
};

// The folder in memory of one node's share of a run; outlives ranks, not the agent.
std::string MemoryFolder(const std::string& run, const std::string& node);
std::string PageFolder(const std::string& memory, int attempt);

class RankProcesses {
 public:
  RankProcesses(const std::string& run, const std::string& node, const Order& order);

  void Start(const RankCommand& command);
  std::vector<RankView> Sample();
  // How mpirun or srun failed; code 0 and an empty text when it lives or ended well.
  std::pair<int, std::string> LauncherFailure();
  void AskToSave();                      // once
  bool TakeStacks();                     // false: call again, not every rank has answered yet
  void Stop(bool at_once);               // call again until Gone()
  bool Gone();                           // every process that is known
  std::vector<int> Descriptors() const;  // readable when something ended

 private:
  struct Rank {
    std::unique_ptr<Process> process;
    std::shared_ptr<const page::Page> page;
    std::int64_t ended_at = 0;
    bool by_us = false;
    std::vector<std::string> stack;
  };
  std::map<std::string, std::string> Environment(const std::string& node) const;
  void StartPlain(const RankCommand& command);
  void StartMpirun(const RankCommand& command);
  void StartSrun(const RankCommand& command);
  void Find();  // pages and processes that have come since
  RankView View(int rank, Rank& state);

  const std::string run_, node_;
  const Order order_;
  std::vector<Rank> ranks_;
  std::unique_ptr<Process> launcher_;
  std::int64_t started_at_ = 0;
  bool asked_ = false, launcher_told_ = false;
  std::int64_t stacks_since_ = 0, stopping_since_ = 0;
};

}  // namespace vesalius::launch
