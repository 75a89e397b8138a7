// The state that ranks keep in memory, on a second node: whole slots go to the next node of the
// attempt as they are staged, and before an attempt each node gets from the others what it lacks. A
// thread of its own; everything is done at its leisure, and a partner that does not answer costs
// only the copy.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "launch/agent/report.h"

namespace vesalius::launch {

class Partners {
 public:
  Partners(std::string memory, std::string address, std::string token);
  ~Partners();

  // Gets what this node lacks from the nodes of `order`, then begins to send. Returns at once.
  void Follow(const Order& order);
  bool Complete() const { return complete_; }  // what was lacking has been asked for

 private:
  void Work();
  void Fetch(const Order& order);
  void Send(const Order& order);

  const std::string memory_, address_, token_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Order order_;
  bool ends_ = false;
  std::atomic<bool> complete_ = true;
  std::map<std::string, std::int64_t> sent_;  // times by stem, of the attempt
  std::thread thread_;
};

}  // namespace vesalius::launch
