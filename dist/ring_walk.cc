#include "dist/ring_walk.h"

#include <ATen/ATen.h>

#include <numeric>

#include "dist/tensor.h"

namespace vesalius::dist {

RingWalk::RingWalk(Communicator& comm, std::string name, at::Tensor y,
                   std::vector<std::int64_t> columns, bool hold, std::int64_t tile)
    : comm_(comm),
      name_(std::move(name)),
      y_(std::move(y)),
      columns_(std::move(columns)),
      first_(columns_.size()),
      hold_(hold && comm.size() > 1),
      tile_(tile) {
  std::exclusive_scan(columns_.begin(), columns_.end(), first_.begin(), std::int64_t{0});
}

int RingWalk::Before(int steps) const {
  return ((comm_.rank() - steps) % comm_.size() + comm_.size()) % comm_.size();
}

at::Tensor RingWalk::Block(int owner) const {
  if (owner == comm_.rank()) return y_;
  if (hold_) return whole_.narrow(0, first_[owner], columns_[owner]);
  const int step = (comm_.rank() - owner + comm_.size()) % comm_.size();
  return buffers_[step % 2].narrow(0, 0, columns_[owner]);
}

void RingWalk::BeginLap() {
  if (hold_ && !whole_.defined()) {
    // Other ranks' blocks; this rank's own place stays unused.
    whole_ = at::empty({first_.back() + columns_.back(), y_.size(1)}, y_.options());
  } else if (!hold_ && comm_.size() > 1 && !buffers_[0].defined()) {
    const std::int64_t most = *std::max_element(columns_.begin(), columns_.end());
    for (at::Tensor& buffer : buffers_) buffer = at::empty({most, y_.size(1)}, y_.options());
  }
}

void RingWalk::Post(int step) {
  if (step >= comm_.size() || complete_) return;
  const at::Tensor out = Block(Before(step - 1)), in = Block(Before(step));
  text_ =
      comm_.SendReceive(name_ + ".text", out.const_data_ptr(), out.numel(), Before(-1),
                        in.mutable_data_ptr(), in.numel(), Before(1), DTypeOf(y_.scalar_type()));
}

void RingWalk::Lap(const Work& work) {
  BeginLap();
  Post(1);
  work(comm_.rank(), 0, columns_[comm_.rank()], y_, {});
  for (int k = 1; k < comm_.size(); ++k) {
    text_.Wait();
    Post(k + 1);
    const int owner = Before(k);
    work(owner, 0, columns_[owner], Block(owner), {});
  }
  complete_ = hold_;
}

at::Tensor RingWalk::LapWithGradient(const Work& work) {
  const int rank = comm_.rank(), size = comm_.size();
  const std::int64_t half = columns_[rank] / tile_ / 2 * tile_;
  BeginLap();
  Post(1);
  at::Tensor home = at::zeros_like(y_);
  work(rank, 0, half, y_, home);
  at::Tensor sent, arriving;
  Ticket partial;
  for (int k = 1; k < size; ++k) {
    const int owner = Before(k);
    if (!complete_) text_.Wait();
    Post(k + 1);
    at::Tensor mine = at::zeros({columns_[owner], y_.size(1)}, y_.options());
    work(owner, 0, columns_[owner], Block(owner), mine);
    partial.Wait();
    if (k > 1) mine.add_(arriving);
    sent = mine;
    arriving = at::empty({columns_[Before(k + 1)], y_.size(1)}, y_.options());
    partial = comm_.SendReceive(name_ + ".gradient", sent.const_data_ptr(), sent.numel(),
                                Before(-1), arriving.mutable_data_ptr(), arriving.numel(),
                                Before(1), DTypeOf(y_.scalar_type()));
  }
  work(rank, half, columns_[rank], y_, home);
  partial.Wait();
  complete_ = hold_;
  return size > 1 ? home.add_(arriving) : home;
}

at::Tensor RingWalk::LapAndReduce(const Work& work) {
  at::Tensor all = at::zeros({first_.back() + columns_.back(), y_.size(1)}, y_.options());
  Lap([&](int owner, std::int64_t begin, std::int64_t end, const at::Tensor& text,
          const at::Tensor&) {
    work(owner, begin, end, text, all.narrow(0, first_[owner], columns_[owner]));
  });
  if (comm_.size() == 1) return all;
  std::vector<std::int64_t> elements = columns_;
  for (std::int64_t& count : elements) count *= y_.size(1);
  at::Tensor home = at::empty_like(y_);
  comm_
      .ReduceScatter(name_ + ".gradient", all.const_data_ptr(), home.mutable_data_ptr(), elements,
                     DTypeOf(y_.scalar_type()))
      .Wait();
  return home;
}

}  // namespace vesalius::dist
