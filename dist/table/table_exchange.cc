#include "dist/table/table_exchange.h"

#include <ATen/ATen.h>

#include <numeric>

#include "base/error.h"
#include "dist/gather.h"
#include "dist/tensor.h"

namespace vesalius::dist {
namespace {

using Counts = std::vector<std::int64_t>;

std::int64_t Sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

Counts Times(Counts counts, std::int64_t factor) {
  for (std::int64_t& count : counts) count *= factor;
  return counts;
}

// A tensor over the vector's memory.
at::Tensor View(const Counts& values) {
  return at::from_blob(const_cast<std::int64_t*>(values.data()),
                       {static_cast<std::int64_t>(values.size())}, at::kLong);
}

Counts ToVector(const at::Tensor& values) {
  const std::int64_t* data = values.const_data_ptr<std::int64_t>();
  return {data, data + values.numel()};
}

}  // namespace

TableExchange::TableExchange(Communicator& comm, std::string name, const TableLayout& layout)
    : comm_(comm), name_(std::move(name)), layout_(layout), own_(layout.Block(comm.rank())) {}

at::Tensor TableExchange::AllToAll(const char* what, const at::Tensor& in, const Counts& send,
                                   const Counts& receive, at::IntArrayRef shape) {
  const at::Tensor there = in.contiguous().to(DeviceOf(comm_));
  at::Tensor out = at::empty(shape, there.options());
  comm_
      .AllToAll(StrCat(name_, " ", what), there.const_data_ptr(), send, out.mutable_data_ptr(),
                receive, DTypeOf(in.scalar_type()))
      .Wait();
  return out.cpu();
}

at::Tensor TableExchange::AllGather(const char* what, const at::Tensor& in, const Counts& counts,
                                    at::IntArrayRef shape) {
  const at::Tensor there = in.contiguous().to(DeviceOf(comm_));
  at::Tensor out = at::empty(shape, there.options());
  comm_
      .AllGather(StrCat(name_, " ", what), there.const_data_ptr(), out.mutable_data_ptr(), counts,
                 DTypeOf(in.scalar_type()))
      .Wait();
  return out.cpu();
}

Counts TableExchange::ExchangeCounts(const Counts& to) {
  const Counts ones(to.size(), 1);
  return ToVector(AllToAll("counts", View(to), ones, ones, {static_cast<std::int64_t>(to.size())}));
}

// Every rank's ids, by rank; `counts` says how many each.
Counts TableExchange::GatherIds(const Counts& ids, Counts* counts) {
  const at::Tensor mine = at::full({1}, static_cast<std::int64_t>(ids.size()), at::kLong);
  *counts = ToVector(
      AllGather("counts", mine, Counts(static_cast<std::size_t>(comm_.size()), 1), {comm_.size()}));
  return ToVector(AllGather("ids", View(ids), *counts, {Sum(*counts)}));
}

TableRoute TableExchange::Route(const std::vector<std::int64_t>& ids,
                                std::vector<std::int32_t>* position) {
  const auto ranks = static_cast<std::size_t>(comm_.size());
  const auto n = static_cast<std::int64_t>(ids.size());
  TableRoute route;
  position->resize(ids.size());
  std::iota(position->begin(), position->end(), 0);
  if (layout_.strategy != TableStrategy::kRows || ranks == 1) {
    route.ids = ids;
    if (layout_.strategy == TableStrategy::kColumns && ranks > 1) {
      route.to.assign(ranks, n);  // everyone serves its columns of each
      route.requests = GatherIds(ids, &route.from);
    } else {
      route.requests = ids;  // served at home
    }
    return route;
  }
  route.to.assign(ranks, 0);
  for (const std::int64_t id : ids) ++route.to[layout_.OwnerOfRow(id)];
  Counts next(ranks, 0);
  for (std::size_t r = 1; r < ranks; ++r) next[r] = next[r - 1] + route.to[r - 1];
  route.ids.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t at = next[layout_.OwnerOfRow(ids[i])]++;
    route.ids[at] = ids[i];
    (*position)[i] = static_cast<std::int32_t>(at);
  }
  route.from = ExchangeCounts(route.to);
  route.requests =
      ToVector(AllToAll("ids", View(route.ids), route.to, route.from, {Sum(route.from)}));
  return route;
}

at::Tensor TableExchange::ReturnRows(const TableRoute& route, const at::Tensor& served) {
  if (comm_.size() == 1 || layout_.strategy == TableStrategy::kReplicated) return served;
  const auto n = static_cast<std::int64_t>(route.ids.size());
  if (layout_.strategy == TableStrategy::kRows)
    return AllToAll("rows", served, Times(route.from, layout_.width),
                    Times(route.to, layout_.width), {n, layout_.width});
  Counts receive;
  for (int rank = 0; rank < comm_.size(); ++rank)
    receive.push_back(n * layout_.Block(rank).columns);
  const at::Tensor parts =
      AllToAll("rows", served, Times(route.from, own_.columns), receive, {n * layout_.width});
  at::Tensor rows = at::empty({n, layout_.width}, parts.options());
  std::int64_t done = 0;
  for (int rank = 0; rank < comm_.size(); ++rank) {
    const TableBlock block = layout_.Block(rank);
    rows.narrow(1, block.column, block.columns)
        .copy_(parts.narrow(0, done, receive[rank]).view({n, block.columns}));
    done += receive[rank];
  }
  return rows;
}

// [n, width] -> the ranks' columns one after the other, flat.
at::Tensor TableExchange::PackColumns(const at::Tensor& rows) const {
  std::vector<at::Tensor> parts;
  for (int rank = 0; rank < comm_.size(); ++rank) {
    const TableBlock block = layout_.Block(rank);
    parts.push_back(rows.narrow(1, block.column, block.columns).reshape({-1}));
  }
  return at::cat(parts);
}

TableExchange::Gradients TableExchange::SendGradients(const TableRoute& route,
                                                      const at::Tensor& gradients) {
  if (comm_.size() == 1) return {route.ids, gradients};
  if (layout_.strategy == TableStrategy::kReplicated) {
    Counts counts;
    Gradients out;
    out.ids = GatherIds(route.ids, &counts);
    out.rows = AllGather("gradients", gradients, Times(counts, layout_.width),
                         {Sum(counts), layout_.width});
    return out;
  }
  const std::int64_t asked = Sum(route.from);
  if (layout_.strategy == TableStrategy::kRows)
    return {route.requests, AllToAll("gradients", gradients, Times(route.to, layout_.width),
                                     Times(route.from, layout_.width), {asked, layout_.width})};
  Counts send;
  for (int rank = 0; rank < comm_.size(); ++rank)
    send.push_back(gradients.size(0) * layout_.Block(rank).columns);
  return {route.requests, AllToAll("gradients", PackColumns(gradients), send,
                                   Times(route.from, own_.columns), {asked, own_.columns})};
}

at::Tensor TableExchange::Distribute(const at::Tensor& rows) {
  if (comm_.size() == 1) return rows;
  const Counts counts = GatherCounts(comm_, StrCat(name_, " filling"), rows.size(0));
  Invariant(Sum(counts) == layout_.rows, "table ", name_, " of ", layout_.rows,
            " rows filled with ", Sum(counts));
  if (layout_.strategy == TableStrategy::kReplicated)
    return AllGather("filling", rows, Times(counts, layout_.width), {layout_.rows, layout_.width});
  if (layout_.strategy == TableStrategy::kColumns) {
    Counts send;
    for (int rank = 0; rank < comm_.size(); ++rank)
      send.push_back(rows.size(0) * layout_.Block(rank).columns);
    return AllToAll("filling", PackColumns(rows), send, Times(counts, own_.columns),
                    {layout_.rows, own_.columns});
  }
  // Rows: what overlaps with each rank's range.
  const auto overlap = [&](std::int64_t begin, std::int64_t count, const TableBlock& block) {
    return std::max<std::int64_t>(
        0, std::min(begin + count, block.row + block.rows) - std::max(begin, block.row));
  };
  Counts send, receive;
  const std::int64_t mine =
      std::accumulate(counts.begin(), counts.begin() + comm_.rank(), std::int64_t{0});
  std::int64_t begin = 0;
  for (int rank = 0; rank < comm_.size(); ++rank) {
    send.push_back(overlap(mine, rows.size(0), layout_.Block(rank)) * layout_.width);
    receive.push_back(overlap(begin, counts[rank], own_) * layout_.width);
    begin += counts[rank];
  }
  return AllToAll("filling", rows, send, receive, {own_.rows, layout_.width});
}

}  // namespace vesalius::dist
