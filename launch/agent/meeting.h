// How agents of several nodes talk: gRPC, without encryption, each call with the launch's random
// token. The first node's agent leaves its address and the token in RUN/agents.address, which only
// the user can read (0600) and which is renamed into place. A caller with another token (an agent
// of an older launch, a stranger) is refused. Every agent serves the slots of its node's memory.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "launch/agent/report.h"
#include "launch/agent/slots.h"

namespace vesalius::launch {

std::string NewToken();

// An agent's server. Its functions are called by several threads.
class Service {
 public:
  // `answer` is empty on all nodes but the first. Error(kCannotCreate).
  static std::unique_ptr<Service> Open(const std::string& token, const std::string& memory,
                                       std::function<Order(const Report&)> answer);
  virtual ~Service() = default;
  virtual const std::string& address() const = 0;  // host:port
};

// RUN/agents.address; `key` names the launch, so that its agents know their own.
struct Invitation {
  std::string address, token, key;
};
void Publish(const std::string& run, const Invitation& invitation);
void Withdraw(const std::string& run);
// Nothing while there is none, or only that of another launch.
std::optional<Invitation> FindInvitation(const std::string& run, const std::string& key);

// A line to another agent. Thread-safe.
class Line {
 public:
  Line(const std::string& address, const std::string& token);
  ~Line();

  // Waits for at most a second; nothing without an answer. Error(kFenced) when the other side does
  // not know the token.
  std::optional<Order> Tell(const Report& report);
  // Copies slots that are newer there than in `folder`, or missing. Stops where no answer comes.
  void FetchNewer(const std::string& folder);
  bool Send(const std::string& folder, const Slot& slot);

 private:
  struct Stub;
  const std::string token_;
  const std::unique_ptr<Stub> stub_;
};

}  // namespace vesalius::launch
