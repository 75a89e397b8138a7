// One lap of the text blocks around the ranks, with transfers posted before the work that hides
// them. A block is known by its owner; what is done with it is the caller's.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "dist/communicator.h"

namespace vesalius::dist {

class RingWalk {
 public:
  // Work on columns [begin, end) of the block of `owner`; `text` [block, d] is the whole block.
  // Adds to `gradient` [block, d] where that is defined.
  using Work = std::function<void(int owner, std::int64_t begin, std::int64_t end,
                                  const at::Tensor& text, const at::Tensor& gradient)>;

  // y [columns[rank], d], contiguous. `hold`: the first lap keeps all blocks, later laps move none.
  // `tile`: blocks are split at multiples of it only.
  RingWalk(Communicator& comm, std::string name, at::Tensor y, std::vector<std::int64_t> columns,
           bool hold, std::int64_t tile);

  // Texts only.
  void Lap(const Work& work);
  // The gradients of a block are gathered as it passes, in ring order, and returned at home: its
  // owner works on its first half before the lap and on the rest while the last partial comes home.
  at::Tensor LapWithGradient(const Work& work);
  // The gradients of all blocks are kept and summed over the ranks at the end.
  at::Tensor LapAndReduce(const Work& work);

 private:
  int Before(int steps) const;  // the rank `steps` before this one
  at::Tensor Block(int owner) const;
  void Post(int step);  // sends the block of step - 1 on, receives the block of `step`
  void BeginLap();

  Communicator& comm_;
  std::string name_;
  at::Tensor y_;
  std::vector<std::int64_t> columns_, first_;
  bool hold_;
  std::int64_t tile_;
  at::Tensor whole_;       // all blocks, with hold
  bool complete_ = false;  // whole_ is filled
  at::Tensor buffers_[2];  // without
  Ticket text_;
};

}  // namespace vesalius::dist
