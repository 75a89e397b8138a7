// What a collective announces before any of its data is used: a hash of all that ranks must agree
// on, and what a message needs to name the collective and its call site. Fixed size and no text is
// formatted unless something is wrong, so that it costs well below a microsecond.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dist/communicator.h"

namespace vesalius::dist {

struct Request;

struct Header {
  // Over sequence, name, kind, type, count, counts by rank, root and call site. Counts that ranks
  // need to agree on pair by pair only (all-to-all, send/receive) are compared apart.
  std::uint64_t hash = 0;
  std::uint64_t sequence = 0;
  std::int64_t count = 0;
  std::int32_t root = 0;
  std::uint32_t line = 0;
  Kind kind = Kind::kBarrier;
  DType type = DType::kUInt8;
  char name[64] = {};  // cut off where longer
  char file[64] = {};  // its end where longer
};

Header HeaderOf(const Request& request);

const char* Name(DType type);

// "all-reduce 'bucket 3' (call 57, 1024 float32)": how errors name a collective.
std::string Describe(const Header& header);
// The same with where it was called: "... at trainer/train.cc:120".
std::string DescribeWithSite(const Header& header);

// "; the last call of rank 2 was ...", of a rank that did not arrive; `last` is what it announced
// last on this communicator.
std::string DescribeLast(int rank, const std::optional<Header>& last);

// Throws Error(kBug) naming both sides unless the headers agree. Ranks as messages call them.
void RequireSame(const Header& mine, int my_rank, const Header& theirs, int their_rank);

// Throws Error(kBug) unless what the sender gives is what the receiver expects, in elements.
void RequireSamePair(const Header& sender, int sending_rank, std::int64_t sent,
                     const Header& receiver, int receiving_rank, std::int64_t expected);

}  // namespace vesalius::dist
