#include "dist/grad_exchange.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "dist/flag_slots.h"
#include "dist/order_rider.h"
#include "dist/same_parameters.h"
#include "dist/tensor.h"
#include "ops/sum_squares.h"
#include "ops/sum_squares_kernel.h"

namespace vesalius::dist {

struct GradExchange::Impl {
  struct Parameter {
    std::string name;
    at::Tensor tensor;
    at::Tensor view;  // its gradient, in the arena
    int bucket = 0;
    bool fresh = false;      // nothing has arrived since Begin: its gradient is undefined
    bool arrived = false;    // in the backward that is exchanged
    bool took_part = false;  // in any backward since gradients were forgotten
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
  std::vector<bool> Frozen() const;
  void LayOut(std::span<const int> order);
  void FindPieces();
  at::Tensor BucketOf(int bucket) const;
  std::string NameOf(int bucket) const;
  void Arrive(int index);
  void LaunchReady();
  void Launch(int bucket);
  static void SettleZero(Parameter& p);
  bool riders_in_tail() const { return buckets.shards() == 1 && !options.bfloat16_wire; }
  at::Tensor Riders(std::span<const double> flags, at::ScalarType as) const;
  std::vector<double> ReadRiders(const at::Tensor& content, std::int64_t flags);
  std::vector<double> ExchangeRiders(std::span<const double> flags);

  Communicator& comm;
  const GradExchangeOptions options;
  BucketExchange buckets;
  std::vector<Parameter> parameters;
  at::ScalarType type = at::kFloat;
  BucketPlan plan;
  std::vector<int> order;    // in which the arena is laid out
  std::vector<bool> frozen;  // when it was
  bool by_arrival = false;   // whether the order was measured
  at::Tensor arena;
  std::vector<ParameterPiece> pieces;
  std::vector<bool> touched;
  at::Tensor squares;  // exact total of the last step (ops::ExactSumSquares); undefined: not asked

  std::mutex mutex;  // hooks run on autograd's thread
  bool armed = false;
  bool last = false;
  bool clean = true;              // the next Begin forgets the gradients
  std::int64_t riders = 0;        // elements that ride in this step
  std::vector<bool> step_frozen;  // parameters, in the last step
  bool stepped = false;
  std::vector<int> arrivals;  // of the backward that is exchanged
  std::vector<int> missing;   // by bucket: trainable members that have not arrived
  std::vector<bool> resting;  // by bucket: nothing in it trains
  int next = 0;               // bucket to launch
  std::vector<std::pair<int, Ticket>> gathers;  // of parameters, by bucket
};

GradExchange::Impl::Impl(Communicator& communicator,
                         std::vector<std::pair<std::string, at::Tensor>> list,
                         const GradExchangeOptions& wanted)
    : comm(communicator),
      options(wanted),
      buckets(communicator, wanted.mode, wanted.bfloat16_wire),
      touched(list.size(), false) {
  Invariant(!list.empty(), "gradient exchange without parameters");
  RequireSameParameters(comm, list);
  type = list[0].second.scalar_type();
  Invariant(type == at::kFloat || (type == at::kDouble && !options.bfloat16_wire), "parameter ",
            list[0].first, ": gradients are exchanged in float32 or float64");
  for (auto& [name, tensor] : list) {
    Invariant(tensor.is_leaf() && tensor.is_contiguous() && tensor.scalar_type() == type,
              "parameter ", name, " must be a contiguous leaf of type ", at::toString(type));
    parameters.push_back({std::move(name), std::move(tensor), {}});
  }
  // About the order in which backward reaches them.
  std::vector<int> reversed(parameters.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  LayOut(reversed);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameters[i].tensor, std::make_unique<Hook>(this, static_cast<int>(i)));
  }
}

std::vector<bool> GradExchange::Impl::Frozen() const {
  std::vector<bool> out;
  for (const Parameter& p : parameters) out.push_back(!p.tensor.requires_grad());
  return out;
}

// What the arena held is lost. Its memory stays the same where it suffices, and there are never
// two.
void GradExchange::Impl::LayOut(std::span<const int> wanted_order) {
  order.assign(wanted_order.begin(), wanted_order.end());
  frozen = Frozen();
  std::vector<std::int64_t> sizes;
  for (const Parameter& p : parameters) sizes.push_back(p.tensor.numel());
  const auto item = static_cast<std::int64_t>(c10::elementSize(type));
  plan = PlanBuckets(sizes, order, frozen, static_cast<std::int64_t>(options.bucket_bytes) / item,
                     buckets.shards());
  std::int64_t end = plan.end;
  if (riders_in_tail())
    end += static_cast<std::int64_t>(parameters.size()) +
           FlagSlots(options.max_flags + kOrderFlags, comm.size(), type);
  if (!arena.defined() || arena.numel() < end) {
    pieces.clear();
    for (Parameter& p : parameters) {
      p.tensor.mutable_grad().reset();
      p.view.reset();
    }
    arena.reset();
    arena = AllocateTensor(comm, {end}, type);
  }
  const at::NoGradGuard no_grad;
  arena.zero_();  // what pads it stays zero
  for (std::size_t b = 0; b < plan.buckets.size(); ++b)
    for (const int i : plan.buckets[b].members) parameters[i].bucket = static_cast<int>(b);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& p = parameters[i];
    p.view = arena.narrow(0, plan.offsets[i], p.tensor.numel()).view(p.tensor.sizes());
    p.tensor.mutable_grad() = p.view;
    p.fresh = false;
  }
  FindPieces();
}

void GradExchange::Impl::FindPieces() {
  pieces.clear();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    const at::Tensor mine = buckets.Mine(BucketOf(p.bucket));
    const std::int64_t from = std::max<std::int64_t>(mine.storage_offset(), plan.offsets[i]);
    const std::int64_t to = std::min<std::int64_t>(mine.storage_offset() + mine.numel(),
                                                   plan.offsets[i] + p.tensor.numel());
    if (from >= to) continue;
    const std::int64_t begin = from - plan.offsets[i];
    pieces.push_back({static_cast<int>(i), begin,
                      p.tensor.detach().view({-1}).narrow(0, begin, to - from),
                      arena.narrow(0, from, to - from)});
  }
}

at::Tensor GradExchange::Impl::BucketOf(int bucket) const {
  const BucketPlan::Bucket& b = plan.buckets[bucket];
  return arena.narrow(0, b.begin, b.end - b.begin);
}

std::string GradExchange::Impl::NameOf(int bucket) const {
  return StrCat("bucket ", bucket, " of ", plan.buckets.size());
}

void GradExchange::Impl::Arrive(int index) {
  std::lock_guard lock(mutex);
  Parameter& p = parameters[index];
  Invariant(armed, "a gradient arrived at ", p.name, " outside Begin and Finalize");
  if (p.fresh) {
    p.view.copy_(p.tensor.grad());
    p.tensor.mutable_grad() = p.view;
    p.fresh = false;
  }
  Invariant(p.tensor.grad().const_data_ptr() == p.view.const_data_ptr(), "the gradient of ", p.name,
            " is no longer a view of the arena: something replaced or cleared it");
  p.took_part = true;
  if (!last) return;
  Invariant(!p.arrived, "a second backward reached ", p.name,
            " after Begin(true): call Begin(false) before all but the last backward");
  p.arrived = true;
  arrivals.push_back(index);
  --missing[p.bucket];
  LaunchReady();
}

// In order, all but the last bucket: that one waits for its riders.
void GradExchange::Impl::LaunchReady() {
  const int held = static_cast<int>(plan.buckets.size()) - 1;
  while (next < held && missing[next] == 0) Launch(next);
}

// The gradient of what backward did not reach.
void GradExchange::Impl::SettleZero(Parameter& p) {
  if (!p.fresh) return;
  p.view.zero_();
  p.tensor.mutable_grad() = p.view;
  p.fresh = false;
}

void GradExchange::Impl::Launch(int bucket) {
  const BucketPlan::Bucket& b = plan.buckets[bucket];
  next = bucket + 1;
  const std::int64_t begin = resting[bucket] ? b.end : b.begin;
  const std::int64_t end = next == static_cast<int>(plan.buckets.size()) ? b.end + riders : b.end;
  for (const int i : b.members) SettleZero(parameters[i]);
  if (begin == end) return;
  buckets.Launch("gradient " + NameOf(bucket), arena.narrow(0, begin, end - begin));
}

// Which parameters took part, then the flags, as a tensor that is to be summed over ranks.
at::Tensor GradExchange::Impl::Riders(std::span<const double> flags, at::ScalarType as) const {
  at::Tensor bitmap = at::empty({static_cast<std::int64_t>(parameters.size())}, at::kFloat);
  float* bits = bitmap.mutable_data_ptr<float>();
  for (std::size_t i = 0; i < parameters.size(); ++i) bits[i] = parameters[i].took_part ? 1 : 0;
  return at::cat({bitmap.to(as), PackFlags(WithOrder(flags, comm), comm.rank(), comm.size(), as)});
}

std::vector<double> GradExchange::Impl::ReadRiders(const at::Tensor& content, std::int64_t flags) {
  const auto count = static_cast<std::int64_t>(parameters.size());
  const at::Tensor bitmap = content.narrow(0, 0, count).to(at::kDouble);
  for (std::int64_t i = 0; i < count; ++i) touched[i] = bitmap.const_data_ptr<double>()[i] > 0;
  return CheckOrder(comm, content.narrow(0, count, content.numel() - count), flags);
}

// In an all-reduce of their own, with the shards' sums of squares: halves of 32 bits, which add up
// exactly in float64.
std::vector<double> GradExchange::Impl::ExchangeRiders(std::span<const double> flags) {
  squares = at::zeros({ops::kSquareSlots}, at::dtype(at::kLong).device(arena.device()));
  for (std::size_t b = 0; b < plan.buckets.size(); ++b)
    if (!resting[b] && buckets.first_holder())
      squares += ops::ExactSumSquares(buckets.Mine(BucketOf(static_cast<int>(b))));
  const at::Tensor rest = Riders(flags, at::kDouble).to(arena.device());
  const at::Tensor content = at::cat({squares.bitwise_and(0xFFFFFFFF).to(at::kDouble),
                                      squares.bitwise_right_shift(32).to(at::kDouble), rest});
  const at::Tensor sums = AllocateTensor(comm, content.sizes(), at::kDouble);
  sums.copy_(content);
  comm.AllReduceNow("gradient riders", sums.mutable_data_ptr(), sums.numel(), DType::kFloat64);
  if (buckets.sharded())
    squares = sums.narrow(0, 0, ops::kSquareSlots).to(at::kLong) +
              sums.narrow(0, ops::kSquareSlots, ops::kSquareSlots).to(at::kLong) * (1LL << 32);
  return ReadRiders(sums.narrow(0, 2 * ops::kSquareSlots, rest.numel()).cpu(),
                    static_cast<std::int64_t>(flags.size()));
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

bool GradExchange::Rebuild() {
  Impl& impl = *impl_;
  Invariant(!impl.armed && impl.gathers.empty(), "Rebuild within a step");
  const bool measured = impl.stepped && impl.step_frozen == impl.Frozen();
  if (!measured || (impl.by_arrival && impl.frozen == impl.step_frozen)) return false;
  // Rank 0's order: what arrived, then the others as they were.
  std::vector<int> order = impl.arrivals;
  std::ranges::copy_if(impl.order, std::back_inserter(order),
                       [&](int i) { return std::ranges::count(impl.arrivals, i) == 0; });
  const std::string bytes =
      BroadcastBytes(impl.comm, "order of arrival",
                     {reinterpret_cast<const char*>(order.data()), order.size() * sizeof(int)});
  Invariant(bytes.size() == order.size() * sizeof(int), "order of arrival");
  std::copy_n(bytes.data(), bytes.size(), reinterpret_cast<char*>(order.data()));
  impl.LayOut(order);
  impl.by_arrival = true;
  return true;
}

void GradExchange::Begin(bool last) {
  Impl& impl = *impl_;
  std::lock_guard lock(impl.mutex);
  Invariant(impl.gathers.empty(), "Begin before WaitParameters");
  if (impl.clean) {
    for (auto& p : impl.parameters) {
      p.took_part = false;
      p.fresh = true;
      p.tensor.mutable_grad().reset();
    }
  }
  impl.clean = false;
  impl.armed = true;
  impl.last = last;
  impl.next = 0;
  impl.riders = 0;
  impl.step_frozen = impl.Frozen();
  impl.arrivals.clear();
  for (auto& p : impl.parameters) p.arrived = false;
  impl.missing.assign(impl.plan.buckets.size(), 0);
  for (auto& p : impl.parameters) impl.missing[p.bucket] += p.tensor.requires_grad();
  impl.resting.clear();
  for (const int count : impl.missing) impl.resting.push_back(count == 0);
}

std::vector<double> GradExchange::Finalize(std::span<const double> flags) {
  Impl& impl = *impl_;
  Invariant(impl.armed && impl.last, "Finalize without Begin(true)");
  Invariant(static_cast<int>(flags.size()) <= impl.options.max_flags, flags.size(),
            " flags, but room for ", impl.options.max_flags);
  const at::NoGradGuard no_grad;
  std::unique_lock lock(impl.mutex);
  const int held = static_cast<int>(impl.plan.buckets.size()) - 1;
  while (impl.next < held) impl.Launch(impl.next);
  if (impl.riders_in_tail()) {  // now all ranks have made the same calls
    const at::Tensor content = impl.Riders(flags, impl.type);
    impl.riders = content.numel();
    impl.arena.narrow(0, impl.plan.end, impl.riders).copy_(content);
  }
  impl.Launch(held);
  impl.armed = false;
  impl.clean = true;
  impl.stepped = true;
  lock.unlock();
  impl.buckets.Finish();
  if (!impl.riders_in_tail()) return impl.ExchangeRiders(flags);
  impl.squares.reset();
  return impl.ReadRiders(impl.arena.narrow(0, impl.plan.end, impl.riders).cpu(),
                         static_cast<std::int64_t>(flags.size()));
}

std::vector<double> GradExchange::Take(const std::vector<at::Tensor>& sums,
                                       std::span<const double> flags) {
  Impl& impl = *impl_;
  Invariant(sums.size() == impl.parameters.size(), sums.size(), " gradients for ",
            impl.parameters.size(), " parameters");
  Begin();
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(impl.mutex);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    Impl::Parameter& p = impl.parameters[i];
    Impl::SettleZero(p);
    p.took_part = sums[i].defined();
    if (p.took_part) p.view.copy_(sums[i].view(p.view.sizes()));
  }
  impl.armed = false;
  impl.clean = true;
  return impl.ExchangeRiders(flags);
}

const std::vector<bool>& GradExchange::touched() const { return impl_->touched; }

bool GradExchange::sharded() const { return impl_->buckets.sharded(); }

const std::vector<ParameterPiece>& GradExchange::pieces() const { return impl_->pieces; }

void GradExchange::PublishParameters() {
  Impl& impl = *impl_;
  if (!impl.buckets.sharded()) return;
  const at::NoGradGuard no_grad;
  for (const ParameterPiece& piece : impl.pieces)
    if (!impl.resting[impl.parameters[piece.parameter].bucket]) piece.gradient.copy_(piece.value);
  for (std::size_t b = 0; b < impl.plan.buckets.size(); ++b) {
    if (impl.resting[b]) continue;
    const int bucket = static_cast<int>(b);
    impl.gathers.emplace_back(
        bucket, impl.buckets.Gather("parameters, " + impl.NameOf(bucket), impl.BucketOf(bucket)));
  }
}

void GradExchange::WaitParameters() {
  Impl& impl = *impl_;
  const at::NoGradGuard no_grad;
  for (auto& [bucket, ticket] : impl.gathers) {
    ticket.Wait();
    for (const int i : impl.plan.buckets[bucket].members)
      impl.parameters[i].tensor.copy_(impl.parameters[i].view);
  }
  impl.gathers.clear();
}

at::Tensor GradExchange::Assemble(int parameter, std::int64_t begin, const at::Tensor& mine) {
  Impl& impl = *impl_;
  const at::Tensor whole =
      at::zeros({impl.parameters[parameter].tensor.numel()}, impl.arena.options());
  if (mine.defined()) whole.narrow(0, begin, mine.numel()).copy_(mine);
  if (impl.buckets.sharded()) impl.buckets.SumOverShards("state by piece", whole);
  return whole;
}

at::Tensor GradExchange::GradNorm() const {
  Impl& impl = *impl_;
  if (!impl.squares.defined())  // every rank holds all sums
    impl.squares = ops::ExactSumSquares(impl.arena.narrow(0, 0, impl.plan.end));
  return ops::ValueOfSum(impl.squares).sqrt();
}

std::size_t GradExchange::arena_bytes() const { return impl_->arena.nbytes(); }

}  // namespace vesalius::dist
