// How agents of several nodes talk: gRPC, without encryption, each call with the launch's random
// token. The first node's agent serves and leaves its address and the token in RUN/agents.address,
// which only the user can read (0600) and which is renamed into place. A caller with another token
// (an agent of an older launch, a stranger) is refused.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "launch/agent/report.h"

namespace vesalius::launch {

class Meeting {
 public:
  // `answer` is called by several threads. Error(kCannotCreate).
  static std::unique_ptr<Meeting> Open(const std::string& run, const std::string& key,
                                       std::function<Order(const Report&)> answer);
  virtual ~Meeting() = default;
  virtual const std::string& address() const = 0;
};

class Invitation {
 public:
  Invitation(std::string run, std::string key);
  ~Invitation();

  // Blocks for at most a second; nothing when there is no file of this launch yet, or no answer.
  std::optional<Order> Tell(const Report& report);

 private:
  struct Line;
  const std::string run_, key_;
  std::unique_ptr<Line> line_;
};

}  // namespace vesalius::launch
