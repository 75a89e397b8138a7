#include "dist/grad_exchange.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <cmath>
#include <mutex>

#include "base/error.h"
#include "base/hash.h"
#include "dist/flag_slots.h"
#include "dist/order_rider.h"
#include "dist/tensor.h"
#include "ops/sum_squares.h"

namespace vesalius::dist {
namespace {

constexpr std::int64_t kAlignBytes = 64;

// Throws Error(kConfig) that names a rank and the first parameter where its list differs from rank
// 0's.
void RequireSameParameters(Communicator& comm,
                           const std::vector<std::pair<std::string, at::Tensor>>& parameters) {
  std::vector<std::string> mine;
  for (const auto& [name, tensor] : parameters) {
    mine.push_back(StrCat(name, " ", tensor.sizes(), " ", at::toString(tensor.scalar_type())));
  }
  const std::string text = Join(mine, "\n");
  const auto hashes = AllGatherBytes(comm, "hash of the parameter list", Hex64(Hash64(text)));
  bool same = true;
  for (const std::string& hash : hashes) same = same && hash == hashes[0];
  if (same) return;
  const auto lists = AllGatherBytes(comm, "parameter list", text);
  const std::vector<std::string> first = Split(lists[0], '\n');
  for (int r = 1; r < comm.size(); ++r) {
    if (lists[r] == lists[0]) continue;
    const std::vector<std::string> other = Split(lists[r], '\n');
    std::size_t i = 0;
    while (i < first.size() && i < other.size() && first[i] == other[i]) ++i;
    Fail(ExitCode::kConfig, "ranks hold different models: parameter ", i, " is ",
         i < first.size() ? first[i] : "absent", " on rank 0 and ",
         i < other.size() ? other[i] : "absent", " on rank ", r,
         "; start every rank with the same program and configuration");
  }
}

}  // namespace

struct GradExchange::Impl {
  struct Parameter {
    std::string name;
    at::Tensor tensor;
    at::Tensor view;  // its gradient, in the arena
    int bucket = 0;
    bool arrived = false;    // in the backward that is exchanged
    bool took_part = false;  // in any backward since the arena was zeroed
  };
  struct Bucket {
    std::int64_t begin = 0;  // elements of the arena
    std::int64_t end = 0;
    std::vector<int> members;
    int missing = 0;  // trainable members that have not arrived
    bool frozen = false;
  };
  class Hook : public torch::autograd::PostAccumulateGradHook {
   public:
    Hook(Impl* impl, int index) : impl_(impl), index_(index) {}
    void operator()(const torch::autograd::Variable&) override { impl_->Arrive(index_); }

   private:
    Impl* impl_;
    int index_;
  };

  Impl(Communicator& communicator, std::vector<std::pair<std::string, at::Tensor>> list,
       const GradExchangeOptions& wanted);
  void LayOut();
  void Arrive(int index);
  void LaunchReady();
  void Launch(int bucket);
  void WriteTail(std::span<const double> flags);
  std::vector<double> ReadTail(std::int64_t flags);

  Communicator& comm;
  const GradExchangeOptions options;
  std::vector<Parameter> parameters;
  at::ScalarType type = at::kFloat;
  std::vector<Bucket> buckets;
  std::int64_t tail = 0;    // element where the gradients end and the riders begin
  std::int64_t riders = 0;  // elements that ride in this step
  at::Tensor arena;
  std::vector<bool> touched;

  std::mutex mutex;  // hooks run on autograd's thread
  bool armed = false;
  bool last = false;
  bool clean = true;  // the arena is zeroed by the next Begin
  int next = 0;       // bucket to launch
  std::vector<Ticket> tickets;
};

GradExchange::Impl::Impl(Communicator& communicator,
                         std::vector<std::pair<std::string, at::Tensor>> list,
                         const GradExchangeOptions& wanted)
    : comm(communicator), options(wanted), touched(list.size(), false) {
  Invariant(!list.empty(), "gradient exchange without parameters");
  RequireSameParameters(comm, list);
  type = list[0].second.scalar_type();
  Invariant(type == at::kFloat || type == at::kDouble, "parameter ", list[0].first,
            ": gradients are exchanged in float32 or float64");
  for (auto& [name, tensor] : list) {
    Invariant(tensor.is_leaf() && tensor.is_contiguous() && tensor.scalar_type() == type,
              "parameter ", name, " must be a contiguous leaf of type ", at::toString(type));
    parameters.push_back({std::move(name), std::move(tensor), {}});
  }
  LayOut();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    parameters[i].tensor.mutable_grad() = parameters[i].view;
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameters[i].tensor, std::make_unique<Hook>(this, static_cast<int>(i)));
  }
}

// Reverse order of registration, which is about the order in which backward reaches the parameters.
// Offsets do not depend on the bucket size.
void GradExchange::Impl::LayOut() {
  const std::int64_t size = static_cast<std::int64_t>(c10::elementSize(type));
  const std::int64_t align = kAlignBytes / size;
  std::vector<std::int64_t> offsets(parameters.size());
  std::int64_t end = 0;
  for (int i = static_cast<int>(parameters.size()) - 1; i >= 0; --i) {
    const bool full = !buckets.empty() && (buckets.back().end - buckets.back().begin) * size >=
                                              static_cast<std::int64_t>(options.bucket_bytes);
    if (buckets.empty() || full) buckets.push_back({end, end, {}});
    offsets[i] = end;
    end += (parameters[i].tensor.numel() + align - 1) / align * align;
    buckets.back().end = end;
    buckets.back().members.push_back(i);
    parameters[i].bucket = static_cast<int>(buckets.size()) - 1;
  }
  tail = end;
  end += static_cast<std::int64_t>(parameters.size()) +
         FlagSlots(options.max_flags + kOrderFlags, comm.size(), type);
  arena = AllocateTensor(comm, {end}, type);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& p = parameters[i];
    p.view = arena.narrow(0, offsets[i], p.tensor.numel()).view(p.tensor.sizes());
  }
}

void GradExchange::Impl::Arrive(int index) {
  std::lock_guard lock(mutex);
  Parameter& p = parameters[index];
  Invariant(armed, "a gradient arrived at ", p.name, " outside Begin and Finalize");
  const at::Tensor& grad = p.tensor.grad();
  Invariant(grad.defined() && grad.const_data_ptr() == p.view.const_data_ptr(), "the gradient of ",
            p.name, " is no longer a view of the arena: something replaced or cleared it");
  p.took_part = true;
  if (!last) return;
  Invariant(!p.arrived, "a second backward reached ", p.name,
            " after Begin(true): call Begin(false) before all but the last backward");
  p.arrived = true;
  --buckets[p.bucket].missing;
  LaunchReady();
}

// In order, all but the last bucket: that one waits for its riders.
void GradExchange::Impl::LaunchReady() {
  const int held = static_cast<int>(buckets.size()) - 1;
  while (next < held && buckets[next].missing == 0) Launch(next);
}

void GradExchange::Impl::Launch(int bucket) {
  const Bucket& b = buckets[bucket];
  next = bucket + 1;
  const std::int64_t begin = b.frozen ? b.end : b.begin;
  const std::int64_t end = next == static_cast<int>(buckets.size()) ? b.end + riders : b.end;
  if (begin == end) return;
  auto* data = static_cast<char*>(arena.mutable_data_ptr()) + begin * arena.itemsize();
  tickets.push_back(comm.AllReduce(StrCat("gradient bucket ", bucket, " of ", buckets.size()), data,
                                   end - begin, DTypeOf(type)));
}

void GradExchange::Impl::WriteTail(std::span<const double> flags) {
  at::Tensor bitmap = at::empty({static_cast<std::int64_t>(parameters.size())}, at::kFloat);
  float* bits = bitmap.mutable_data_ptr<float>();
  for (std::size_t i = 0; i < parameters.size(); ++i) bits[i] = parameters[i].took_part ? 1 : 0;
  const at::Tensor content =
      at::cat({bitmap.to(type), PackFlags(WithOrder(flags, comm), comm.rank(), comm.size(), type)});
  riders = content.numel();
  arena.narrow(0, tail, riders).copy_(content);
}

std::vector<double> GradExchange::Impl::ReadTail(std::int64_t flags) {
  const auto count = static_cast<std::int64_t>(parameters.size());
  const at::Tensor content = arena.narrow(0, tail, riders).cpu();
  const at::Tensor bitmap = content.narrow(0, 0, count).to(at::kDouble);
  for (std::int64_t i = 0; i < count; ++i) touched[i] = bitmap.const_data_ptr<double>()[i] > 0;
  return CheckOrder(comm, content.narrow(0, count, riders - count), flags);
}

GradExchange::GradExchange(Communicator& comm,
                           std::vector<std::pair<std::string, at::Tensor>> parameters,
                           const GradExchangeOptions& options)
    : impl_(std::make_unique<Impl>(comm, std::move(parameters), options)) {}

GradExchange::~GradExchange() {
  for (auto& p : impl_->parameters) {
    torch::autograd::impl::set_post_acc_grad_hooks(p.tensor, nullptr);
  }
}

void GradExchange::Begin(bool last) {
  Impl& impl = *impl_;
  std::lock_guard lock(impl.mutex);
  if (impl.clean) {
    const at::NoGradGuard no_grad;
    impl.arena.zero_();
    for (auto& p : impl.parameters) p.took_part = false;
  }
  impl.clean = false;
  impl.armed = true;
  impl.last = last;
  impl.next = 0;
  for (auto& p : impl.parameters) p.arrived = false;
  for (auto& bucket : impl.buckets) {
    bucket.missing = 0;
    for (int i : bucket.members) bucket.missing += impl.parameters[i].tensor.requires_grad();
    bucket.frozen = bucket.missing == 0;
  }
}

std::vector<double> GradExchange::Finalize(std::span<const double> flags) {
  Impl& impl = *impl_;
  Invariant(impl.armed && impl.last, "Finalize without Begin(true)");
  Invariant(static_cast<int>(flags.size()) <= impl.options.max_flags, flags.size(),
            " flags, but room for ", impl.options.max_flags);
  const at::NoGradGuard no_grad;
  std::unique_lock lock(impl.mutex);
  const int held = static_cast<int>(impl.buckets.size()) - 1;
  while (impl.next < held) impl.Launch(impl.next);
  impl.WriteTail(flags);  // now all ranks have made the same calls
  impl.Launch(held);
  impl.armed = false;
  impl.clean = true;
  lock.unlock();
  for (Ticket& ticket : impl.tickets) ticket.Wait();
  impl.tickets.clear();
  return impl.ReadTail(static_cast<std::int64_t>(flags.size()));
}

const std::vector<bool>& GradExchange::touched() const { return impl_->touched; }

double GradExchange::GradNorm() const {
  return std::sqrt(ops::SumSquares(impl_->arena.narrow(0, 0, impl_->tail)).item<double>());
}

}  // namespace vesalius::dist
