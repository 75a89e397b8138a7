#include "dist/order_ring.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/error.h"
#include "base/hash.h"

namespace vesalius::dist {
namespace {

using Calls = std::map<std::uint64_t, Header>;  // by sequence

Calls Decode(const std::string& ring) {
  Calls calls;
  for (std::size_t at = 0; at + sizeof(Header) <= ring.size(); at += sizeof(Header)) {
    Header header;
    std::memcpy(&header, ring.data() + at, sizeof(Header));
    calls[header.sequence] = header;
  }
  return calls;
}

std::string DescribeCall(const Calls& calls, std::uint64_t sequence) {
  const auto found = calls.find(sequence);
  return found == calls.end() ? StrCat("no call ", sequence) : DescribeWithSite(found->second);
}

}  // namespace

void OrderRing::Add(const Header& header) {
  kept_[calls_++ % kKept] = header;
  hash_ = Mix64(hash_ ^ header.hash);
}

std::string OrderRing::Encode() const {
  std::string text;
  for (std::uint64_t i = calls_ > kKept ? calls_ - kKept : 0; i < calls_; ++i) {
    text.append(reinterpret_cast<const char*>(&kept_[i % kKept]), sizeof(Header));
  }
  return text;
}

void RequireSameOrder(const std::vector<std::string>& rings, const std::vector<int>& names) {
  std::vector<Calls> calls;
  std::uint64_t begin = 0, end = 0;  // of the sequences that all keep, and that any has
  for (const std::string& ring : rings) {
    calls.push_back(Decode(ring));
    if (calls.back().empty()) continue;
    begin = std::max(begin, calls.back().begin()->first);
    end = std::max(end, calls.back().rbegin()->first + 1);
  }
  for (std::uint64_t sequence = begin; sequence < end; ++sequence) {
    const auto first = calls[0].find(sequence);
    for (std::size_t r = 1; r < calls.size(); ++r) {
      const auto other = calls[r].find(sequence);
      const bool both = first != calls[0].end() && other != calls[r].end();
      if (both && first->second.hash == other->second.hash) continue;
      Fail(ExitCode::kBug, "internal error: ranks disagree: rank ", names[0], " called ",
           DescribeCall(calls[0], sequence), ", rank ", names[r], " called ",
           DescribeCall(calls[r], sequence),
           sequence == begin && begin > 0 ? "; they may have differed before" : "");
    }
  }
  Fail(ExitCode::kBug,
       "internal error: ranks have called different collectives, longer ago than the "
       "last ",
       OrderRing::kKept, " calls");
}

}  // namespace vesalius::dist
