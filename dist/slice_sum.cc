#include "dist/slice_sum.h"

#include <ATen/ATen.h>

#include <bit>
#include <map>
#include <numeric>

#include "base/error.h"
#include "dist/tensor.h"

namespace vesalius::dist {
namespace {

using Counts = std::vector<std::int64_t>;

int Middle(const SliceRange& node) {
  return node.begin + static_cast<int>(std::bit_floor(static_cast<unsigned>(node.size() - 1)));
}

// The largest subtrees of `node` that lie wholly in `own`, from left to right.
void Cover(const SliceRange& node, const SliceRange& own, std::vector<SliceRange>& out) {
  if (node.end <= own.begin || own.end <= node.begin) return;
  if (own.begin <= node.begin && node.end <= own.end) {
    out.push_back(node);
    return;
  }
  Cover({node.begin, Middle(node)}, own, out);
  Cover({Middle(node), node.end}, own, out);
}

std::vector<SliceRange> SubtreesOf(int rank, int ranks, int slices) {
  std::vector<SliceRange> out;
  Cover({0, slices}, SlicesOf(rank, ranks, slices), out);
  return out;
}

// The sum below `node` of what `given` holds, subtrees by their first slice; adds in place.
using Sums = std::map<int, std::pair<int, at::Tensor>>;  // begin -> end, sum
at::Tensor SumBelow(const SliceRange& node, const Sums& given) {
  const auto found = given.find(node.begin);
  if (found != given.end() && found->second.first == node.end) return found->second.second;
  Invariant(node.size() > 1, "slice ", node.begin, " is missing from a sum");
  const at::Tensor left = SumBelow({node.begin, Middle(node)}, given);
  return left.add_(SumBelow({Middle(node), node.end}, given));
}

}  // namespace

SliceRange SlicesOf(int rank, int ranks, int slices) {
  return {rank * slices / ranks, (rank + 1) * slices / ranks};
}

at::Tensor SumSlices(Communicator& comm, std::vector<at::Tensor> own, int slices) {
  const at::NoGradGuard no_grad;
  const int ranks = comm.size();
  const SliceRange mine = SlicesOf(comm.rank(), ranks, slices);
  Invariant(static_cast<int>(own.size()) == mine.size() && mine.size() > 0, "rank ", comm.rank(),
            " has ", own.size(), " slices instead of ", mine.size());
  Sums sums;
  for (int s = mine.begin; s < mine.end; ++s)
    sums[s] = {s + 1, std::move(own[static_cast<std::size_t>(s - mine.begin)])};
  if (ranks == 1) return SumBelow({0, slices}, sums);

  // Each rank finishes the tree for its part of the elements.
  const std::int64_t length = sums.begin()->second.second.numel();
  const auto first = [&](int rank) { return length * rank / ranks; };
  const auto part = [&](int rank) { return first(rank + 1) - first(rank); };
  std::vector<at::Tensor> subtrees;
  for (const SliceRange& node : SubtreesOf(comm.rank(), ranks, slices))
    subtrees.push_back(SumBelow(node, sums));
  std::vector<at::Tensor> pieces;
  Counts send, receive, parts;
  for (int rank = 0; rank < ranks; ++rank) {
    for (const at::Tensor& sum : subtrees)
      pieces.push_back(sum.slice(0, first(rank), first(rank + 1)));
    send.push_back(part(rank) * std::ssize(subtrees));
    receive.push_back(part(comm.rank()) * std::ssize(SubtreesOf(rank, ranks, slices)));
    parts.push_back(part(rank));
  }
  const at::Tensor out = at::cat(pieces);
  const at::Tensor in =
      at::empty({std::accumulate(receive.begin(), receive.end(), std::int64_t{0})}, out.options());
  const DType type = DTypeOf(out.scalar_type());
  comm.AllToAll("slices.subtrees", out.const_data_ptr(), send, in.mutable_data_ptr(), receive, type)
      .Wait();
  Sums received;
  std::int64_t at = 0;
  for (int rank = 0; rank < ranks; ++rank)
    for (const SliceRange& node : SubtreesOf(rank, ranks, slices)) {
      received[node.begin] = {node.end, in.slice(0, at, at + part(comm.rank()))};
      at += part(comm.rank());
    }
  const at::Tensor sum = SumBelow({0, slices}, received);
  at::Tensor whole = at::empty({length}, out.options());
  comm.AllGather("slices.sum", sum.const_data_ptr(), whole.mutable_data_ptr(), parts, type).Wait();
  return whole;
}

}  // namespace vesalius::dist
