// NCCL and the CUDA runtime in miniature, for tests without a GPU: "streams" are threads that carry
// out what was put on them, in order; collectives really meet and move data between the ranks'
// threads; communicators are non-blocking. Sums are taken from the last rank to the first, so that
// no test comes to rely on an order that NCCL does not promise.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "dist/nccl/nccl_api.h"

namespace vesalius::dist::nccl {

// One fault in any function of the table, by its name there.
struct Injection {
  std::string call;
  int at = 1;                          // its at-th call, of all ranks together
  int result = 0;                      // what it answers instead of doing its work; 0: does it
  std::chrono::milliseconds delay{0};  // before that
  bool hang = false;                   // never returns, unless some communicator is aborted
};

struct Faults {
  Injection injection;  // set before the table is used
  bool struck() const { return strikes > 0; }
  std::atomic<bool> refuse_init = false;  // comm_init_rank -> ncclInvalidUsage, asynchronously
  std::atomic<bool> report_async_error = false;  // comm_get_async_error -> ncclRemoteError
  std::atomic<bool> fail_launch = false;         // the next collective's call fails
  std::atomic<bool> never_settle = false;        // comm_get_async_error -> ncclInProgress, for ever
  std::atomic<bool> fail_event = false;          // event_query -> a CUDA error
  std::atomic<bool> fail_record = false;         // event_record after a collective -> a CUDA error
  std::atomic<int> strikes = 0;                  // how often the injection struck
  std::atomic<int> aborts = 0;                   // counts comm_abort
  std::atomic<int> destroyed = 0;                // counts comm_destroy
  std::atomic<int> allocations = 0;              // live mem_alloc blocks
  std::atomic<int> runtime_objects = 0;          // live streams and events
  std::atomic<int> injected_calls = 0;           // of the injection's function so far
};

// `faults` must outlive every use of the table.
std::shared_ptr<const Api> MakeStandIn(Faults& faults);

}  // namespace vesalius::dist::nccl
