// NCCL and the CUDA runtime in miniature, for tests without a GPU: "streams" are threads that carry
// out what was put on them, in order; collectives really meet and move data between the ranks'
// threads; communicators are non-blocking. Sums are taken from the last rank to the first, so that
// no test comes to rely on an order that NCCL does not promise.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "dist/nccl/nccl_api.h"

namespace vesalius::dist::nccl {

struct Faults {
  std::atomic<bool> refuse_init = false;  // comm_init_rank -> ncclInvalidUsage, asynchronously
  std::atomic<bool> report_async_error = false;  // comm_get_async_error -> ncclRemoteError
  std::atomic<bool> fail_launch = false;         // the next collective's call fails
  std::atomic<bool> never_settle = false;        // comm_get_async_error -> ncclInProgress, for ever
  std::atomic<bool> fail_event = false;          // event_query -> a CUDA error
  std::atomic<bool> fail_record = false;         // event_record after a collective -> a CUDA error
  std::atomic<int> aborts = 0;                   // counts comm_abort
  std::atomic<int> destroyed = 0;                // counts comm_destroy
  std::atomic<int> allocations = 0;              // live mem_alloc blocks
  std::atomic<int> runtime_objects = 0;          // live streams and events
};

// `faults` must outlive every use of the table.
std::shared_ptr<const Api> MakeStandIn(Faults& faults);

}  // namespace vesalius::dist::nccl
