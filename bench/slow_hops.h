// A communicator whose hops (SendReceive) arrive later than those of the one it wraps: a slow link
// to hide behind work. All else passes through. Counts how much of the added delay a waiting caller
// saw: the part of it after Wait() began. A step's time would say the same, but its noise on a
// shared machine is several delays.
#pragma once

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>

#include "dist/communicator.h"

namespace vesalius::bench {

class SlowHops : public dist::Communicator {
 public:
  explicit SlowHops(dist::Communicator& inner) : inner_(inner) {}
  void SetDelay(std::chrono::milliseconds delay) { delay_ = delay; }
  int hops() const { return hops_; }                   // so far
  double seconds_exposed() const { return exposed_; }  // so far

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  dist::Device device() const override { return inner_.device(); }
  const char* backend() const override { return inner_.backend(); }
  const dist::Topology& topology() const override { return inner_.topology(); }
  dist::Ticket AllReduce(std::string_view name, void* data, std::int64_t count, dist::DType type,
                         dist::CallSite site) override {
    return inner_.AllReduce(name, data, count, type, site);
  }
  dist::Ticket AllGather(std::string_view name, const void* in, void* out,
                         std::span<const std::int64_t> counts, dist::DType type,
                         dist::CallSite site) override {
    return inner_.AllGather(name, in, out, counts, type, site);
  }
  dist::Ticket ReduceScatter(std::string_view name, const void* in, void* out,
                             std::span<const std::int64_t> counts, dist::DType type,
                             dist::CallSite site) override {
    return inner_.ReduceScatter(name, in, out, counts, type, site);
  }
  dist::Ticket Broadcast(std::string_view name, void* data, std::int64_t count, dist::DType type,
                         int root, dist::CallSite site) override {
    return inner_.Broadcast(name, data, count, type, root, site);
  }
  dist::Ticket AllToAll(std::string_view name, const void* in,
                        std::span<const std::int64_t> send_counts, void* out,
                        std::span<const std::int64_t> receive_counts, dist::DType type,
                        dist::CallSite site) override {
    return inner_.AllToAll(name, in, send_counts, out, receive_counts, type, site);
  }
  // What arrives does so `delay` after it would have.
  dist::Ticket SendReceive(std::string_view name, const void* in, std::int64_t send_count, int to,
                           void* out, std::int64_t receive_count, int from, dist::DType type,
                           dist::CallSite site) override {
    ++hops_;
    dist::Ticket ticket =
        inner_.SendReceive(name, in, send_count, to, out, receive_count, from, type, site);
    if (delay_.count() == 0) return ticket;
    return dist::Ticket(std::make_shared<Late>(std::async(std::launch::async,
                                                          [ticket, delay = delay_]() mutable {
                                                            ticket.Wait();
                                                            const Clock::time_point due =
                                                                Clock::now() + delay;
                                                            std::this_thread::sleep_until(due);
                                                            return due;
                                                          }),
                                               delay_, &exposed_));
  }
  dist::Ticket Barrier(std::string_view name, dist::CallSite site) override {
    return inner_.Barrier(name, site);
  }
  std::unique_ptr<dist::Communicator> Split(std::string_view name, int color,
                                            dist::CallSite site) override {
    return inner_.Split(name, color, site);
  }
  void Abort(const std::string& reason) override { inner_.Abort(reason); }
  std::shared_ptr<void> Allocate(std::size_t bytes) override { return inner_.Allocate(bytes); }
  dist::Traffic traffic() const override { return inner_.traffic(); }

 private:
  using Clock = std::chrono::steady_clock;
  class Late : public dist::Ticket::Work {
   public:
    Late(std::future<Clock::time_point> due, std::chrono::milliseconds delay, double* exposed)
        : due_(std::move(due)), delay_(delay), exposed_(exposed) {}
    void Wait() override {
      if (!due_.valid()) return;
      const Clock::time_point begin = Clock::now(), due = due_.get();
      const std::chrono::duration<double> seen = due - std::max(begin, due - delay_);
      *exposed_ += std::max(seen.count(), 0.0);
    }

   private:
    std::future<Clock::time_point> due_;
    std::chrono::milliseconds delay_;
    double* exposed_;
  };

  dist::Communicator& inner_;
  std::chrono::milliseconds delay_{0};
  int hops_ = 0;
  double exposed_ = 0;
};

}  // namespace vesalius::bench
