// The NCCL and CUDA runtime calls that the nccl backend makes, as a table of functions: the plug-in
// fills it from nccl.h and cudart, tests from a stand-in that moves data between threads. Results
// are the libraries' own numbers.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "dist/communicator.h"

namespace vesalius::dist::nccl {

inline constexpr int kSuccess = 0;       // ncclSuccess, cudaSuccess
inline constexpr int kInProgress = 7;    // ncclInProgress
inline constexpr int kNotReady = 600;    // cudaErrorNotReady
inline constexpr int kInvalidUsage = 5;  // ncclInvalidUsage

struct UniqueId {
  char bytes[128];
};
using Comm = void*;
using Stream = void*;
using Event = void*;

struct Api {
  // NCCL. Communicators are non-blocking: any call may answer kInProgress.
  std::function<int(UniqueId*)> get_unique_id;
  std::function<int(Comm*, int ranks, const UniqueId&, int rank)> comm_init_rank;
  // A communicator of the ranks with the same color >= 0; null for the others.
  std::function<int(Comm, int color, int key, Comm*)> comm_split;
  std::function<int(Comm, int* result)> comm_get_async_error;
  std::function<int(Comm)> comm_finalize;
  std::function<int(Comm)> comm_destroy;
  std::function<int(Comm)> comm_abort;
  std::function<int()> group_start;
  std::function<int()> group_end;
  using Move = int(const void* in, void* out, std::size_t count, DType, Comm, Stream);
  using RootedMove = int(const void* in, void* out, std::size_t count, DType, int root, Comm,
                         Stream);
  std::function<Move> all_reduce;      // count elements of in and out
  std::function<Move> all_gather;      // count elements of in
  std::function<Move> reduce_scatter;  // count elements of out
  std::function<RootedMove> broadcast;
  std::function<RootedMove> reduce;
  // Within a group only.
  std::function<int(const void* in, std::size_t count, DType, int peer, Comm, Stream)> send;
  std::function<int(void* out, std::size_t count, DType, int peer, Comm, Stream)> receive;
  std::function<int(void**, std::size_t)> mem_alloc;
  std::function<int(void*)> mem_free;
  std::function<std::string(int result, Comm)> error_text;  // Comm may be null

  // CUDA runtime; `device` is the one that the communicator lives on.
  std::function<int(int device)> set_device;
  std::function<Stream()> current_stream;  // the stream that computes, of the calling thread
  std::function<int(Stream*)> stream_create;
  std::function<int(Stream)> stream_destroy;
  std::function<int(Stream, Event)> stream_wait_event;
  std::function<int(Event*)> event_create;
  std::function<int(Event)> event_destroy;
  std::function<int(Event, Stream)> event_record;
  std::function<int(Event)> event_query;
  std::function<int(float* milliseconds, Event begin, Event end)>
      event_elapsed;                                                 // both are through
  std::function<int(void* to, const void* from, std::size_t)> copy;  // any direction; blocking
  std::function<int(void*, std::size_t)> zero;                       // blocking
  std::function<std::string(int result)> cuda_error_text;
};

}  // namespace vesalius::dist::nccl
