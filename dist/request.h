// One collective as plain data, and the base of the backends: they receive every call of the
// interface as a Request. Its fingerprint travels before the data, so that ranks which call
// different things learn it, with both sides named, before any byte is used.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

enum class Kind : std::uint8_t { kAllReduce, kAllGather, kReduceScatter, kBroadcast, kBarrier };

struct Request {
  Kind kind = Kind::kBarrier;
  std::string name;
  const void* in = nullptr;
  void* out = nullptr;
  std::int64_t count = 0;            // elements in all: of `out` when gathering, else of `in`
  std::vector<std::int64_t> counts;  // by rank: all-gather and reduce-scatter
  DType type = DType::kUInt8;
  int root = 0;
  std::uint64_t sequence = 0;  // number of the call on its communicator

  std::size_t bytes() const { return static_cast<std::size_t>(count) * SizeOf(type); }
  // Where rank r's part begins, in elements.
  std::int64_t offset(int r) const;
};

const char* Name(DType type);

// "all-reduce 'bucket 3' (call 57, 1024 float32)": how errors name a collective.
std::string Describe(const Request& request);

// Fixed size, so that it can be exchanged without knowing what the other side calls.
struct Header {
  std::uint64_t hash = 0;
  char text[184] = {};
};
Header HeaderOf(const Request& request);

// Throws Error(kBug) naming both sides unless the headers agree.
void RequireSame(const Header& mine, int my_rank, const Header& theirs, int their_rank);

// `count` elements split over `size` ranks as evenly as can be; the first ranks take the remainder.
std::vector<std::int64_t> EvenCounts(std::int64_t count, int size);

// Names of ranks for messages: "rank 2" or "ranks 1, 2".
std::string RankList(const std::vector<int>& ranks);

// Turns the interface's calls into requests (numbered, counted, checked).
class RequestCommunicator : public Communicator {
 public:
  Ticket AllReduce(std::string_view name, void* data, std::int64_t count, DType type) final;
  Ticket AllGather(std::string_view name, const void* in, void* out,
                   std::span<const std::int64_t> counts, DType type) final;
  Ticket ReduceScatter(std::string_view name, const void* in, void* out,
                       std::span<const std::int64_t> counts, DType type) final;
  Ticket Broadcast(std::string_view name, void* data, std::int64_t count, DType type,
                   int root) final;
  Ticket Barrier(std::string_view name) final;
  Traffic traffic() const final { return traffic_; }

 protected:
  virtual Ticket Submit(Request request) = 0;

 private:
  Ticket Count(Request request, std::int64_t bytes_sent);
  Traffic traffic_;
  std::uint64_t next_ = 0;
};

}  // namespace vesalius::dist
