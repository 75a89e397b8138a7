#include "launch/agent/partners.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/log.h"
#include "launch/agent/meeting.h"

namespace vesalius::launch {
namespace {

constexpr auto kLook = std::chrono::milliseconds(200);

}  // namespace

Partners::Partners(std::string memory, std::string address, std::string token)
    : memory_(std::move(memory)),
      address_(std::move(address)),
      token_(std::move(token)),
      thread_([this] { Work(); }) {}

Partners::~Partners() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Partners::Follow(const Order& order) {
  const std::lock_guard lock(mutex_);
  if (order.attempt == order_.attempt) return;
  order_ = order;
  complete_ = false;
  changed_.notify_all();
}

void Partners::Work() {
  int attempt = 0;
  std::unique_lock lock(mutex_);
  while (!ends_) {
    const Order order = order_;
    lock.unlock();
    try {
      if (order.attempt != attempt) Fetch(order);
      if (order.attempt > 0) Send(order);
    } catch (const Error& error) {  // the memory is full, say: the disk has the state as well
      log::Warning("a copy of the state in memory failed: ", error.what());
    }
    lock.lock();
    if (order.attempt == order_.attempt) {
      attempt = order.attempt;
      complete_ = true;
      changed_.wait_for(lock, kLook);
    }
  }
}

void Partners::Fetch(const Order& order) {
  sent_.clear();
  for (const std::string& address : order.partners)
    if (address != address_ && !address.empty()) Line(address, token_).FetchNewer(memory_);
}

void Partners::Send(const Order& order) {
  const auto me = std::ranges::find(order.partners, address_);
  if (me == order.partners.end() || order.partners.size() < 2) return;
  const auto next = std::next(me) == order.partners.end() ? order.partners.begin() : std::next(me);
  for (const Slot& slot : ListSlots(memory_)) {
    const int rank = slot.Rank() - order.first_rank;
    if (rank < 0 || rank >= order.ranks || sent_[slot.stem] >= slot.time) continue;
    if (Line(*next, token_).Send(memory_, slot)) sent_[slot.stem] = slot.time;
  }
}

}  // namespace vesalius::launch
