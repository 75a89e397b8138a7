// One node's hands: carries out the coordinator's orders on the processes and the memory of this
// node, and says what it sees. Not thread-safe, but RequestSave() may be called in a signal
// handler.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include "launch/agent/partners.h"
#include "launch/agent/rank_processes.h"
#include "launch/agent/report.h"

namespace vesalius::launch {

struct WorkerOptions {
  int number = 0;
  std::string node, run;
  RankCommand command;
};

class Worker {
 public:
  // Makes the node's memory folder, which is this agent's alone as long as it lives, and clears
  // what another agent's attempts left there, but not the state that ranks kept. Error(kFenced)
  // while another agent has it.
  explicit Worker(WorkerOptions options);
  ~Worker();  // removes the folder
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // From here on this node's state in memory is shared with the others'.
  void Join(const std::string& address, const std::string& token);
  Report Tick(const Order& order);
  void RequestSave() { save_ = true; }
  // Until something of this node's ranks may have ended, or for `seconds`.
  void Wait(double seconds) const;

 private:
  void Prepare(const Order& order);
  bool Checked();  // whether this node's health is known by now

  const WorkerOptions options_;
  const std::string memory_;
  const int lock_;  // on the folder; ends with the process
  Report report_;
  std::unique_ptr<RankProcesses> ranks_;
  std::future<std::string> health_;  // while it is looked at
  std::int64_t checking_since_ = 0;
  std::unique_ptr<Partners> partners_;  // of a launch of several nodes
  volatile bool save_ = false;
};

}  // namespace vesalius::launch
