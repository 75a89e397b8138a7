// The exchanges behind ShardedTable, by strategy: where the ids of a rank are served, how rows come
// back, how gradients reach who updates them. Everything is for distinct ids; host tensors in and
// out, staged through the device where the communicator wants device memory. All functions are
// collective.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "dist/communicator.h"
#include "dist/table/layout.h"

namespace vesalius::dist {

// One rank's ids of one lookup and the requests that it serves.
struct TableRoute {
  std::vector<std::int64_t> ids;       // distinct, grouped by owner where rows have one
  std::vector<std::int64_t> to;        // [ranks] how many of them each rank serves
  std::vector<std::int64_t> requests;  // ids that this rank serves, by asking rank
  std::vector<std::int64_t> from;      // [ranks] how many of them each rank asked for
};

class TableExchange {
 public:
  TableExchange(Communicator& comm, std::string name, const TableLayout& layout);

  // Sends the distinct `ids` to who serves them. `position` [ids]: where each went in route.ids.
  TableRoute Route(const std::vector<std::int64_t>& ids, std::vector<std::int32_t>* position);

  // served [requests, own columns] -> rows [route.ids, width].
  at::Tensor ReturnRows(const TableRoute& route, const at::Tensor& served);

  // Gradient rows that this rank applies: of the ids in `ids` (with repeats, in rank order of their
  // origin), [ids, own columns].
  struct Gradients {
    std::vector<std::int64_t> ids;
    at::Tensor rows;
  };
  // gradients [route.ids, width].
  Gradients SendGradients(const TableRoute& route, const at::Tensor& gradients);

  // Every rank gives rows [begin, begin + n) of the whole table, ranges that tile it in rank order;
  // returns this rank's block.
  at::Tensor Distribute(const at::Tensor& rows);

 private:
  using Counts = std::vector<std::int64_t>;
  at::Tensor AllToAll(const char* what, const at::Tensor& in, const Counts& send,
                      const Counts& receive, at::IntArrayRef shape);
  at::Tensor AllGather(const char* what, const at::Tensor& in, const Counts& counts,
                       at::IntArrayRef shape);
  Counts ExchangeCounts(const Counts& to);
  Counts GatherIds(const Counts& ids, Counts* counts);
  at::Tensor PackColumns(const at::Tensor& rows) const;

  Communicator& comm_;
  std::string name_;
  TableLayout layout_;
  TableBlock own_;
};

}  // namespace vesalius::dist
