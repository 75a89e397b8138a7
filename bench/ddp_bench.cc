// `./run bench ddp`: a data-parallel step of a transformer (6 layers of width 256, 2 x 64 tokens a
// rank, 4.7 million parameters) on two ranks of one pinned core: the gradient exchange with 4 MB
// buckets against MPI_Allreduce after backward, of one buffer or of each gradient, whichever is
// faster. All run the same forward, backward and AdamW; seconds are rank 0's, the mean over some
// steps from a common start. PyTorch DDP with Gloo on the same model: bench/ddp_pytorch.sh.
//
// Beside it: what of the communication is exposed (from the end of backward on), memory for
// gradients beyond one gradient a parameter, the hooks' share of backward; and that the gradients
// are the same bits for buckets from 64 KB to 64 MB.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <mpi.h>

#include <chrono>
#include <cstdio>

#include "base/error.h"
#include "base/hash.h"
#include "bench/harness.h"
#include "bench/under_mpi.h"
#include "dist/grad_exchange.h"
#include "model/layers.h"
#include "ops/cpu_memory.h"
#include "trainer/adamw.h"

namespace vesalius::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Named = std::vector<std::pair<std::string, at::Tensor>>;

constexpr int kRounds = 11, kStepsARound = 4, kLayers = 6;
constexpr std::int64_t kWidth = 256, kSequences = 2, kTokens = 64;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The transformer and this rank's data.
struct Net {
  std::vector<std::shared_ptr<model::Block>> blocks;
  Named parameters;
  at::Tensor input;

  explicit Net(int rank) {
    model::Initialiser init(1);
    for (int layer = 0; layer < kLayers; ++layer) {
      blocks.push_back(std::make_shared<model::Block>(init, kWidth, 4, 4 * kWidth, 1e-5,
                                                      model::Block::Order::kPreNorm));
      for (const auto& item : blocks.back()->named_parameters())
        parameters.emplace_back(StrCat(layer, ".", item.key()), item.value());
    }
    const at::Tensor ramp = at::arange(kSequences * kTokens * kWidth, at::kDouble);
    input = at::sin(ramp * 0.37 + rank).to(at::kFloat).view({kSequences, kTokens, kWidth});
  }
  at::Tensor Loss() const {
    at::Tensor x = input;
    for (const auto& block : blocks) x = block->Forward(x, {});
    return x.pow(2).mean();
  }
  std::int64_t Bytes() const {
    std::int64_t bytes = 0;
    for (const auto& [name, tensor] : parameters) bytes += tensor.numel() * 4;
    return bytes;
  }
};

std::vector<model::ParameterInfo> Infos(const Net& net) {
  std::vector<model::ParameterInfo> infos;
  for (const auto& [name, tensor] : net.parameters)
    infos.push_back({name, tensor, tensor.dim() > 1});
  return infos;
}

// Seconds of one step, of its backward alone and of what follows backward until sums are there.
struct Times {
  double step = 0, backward = 0, exposed = 0;
};

class Ours {
 public:
  Ours(dist::Communicator& comm, std::size_t bucket_bytes)
      : net_(comm.rank()),
        exchange_(comm, net_.parameters, {.bucket_bytes = bucket_bytes}),
        optimiser_(Infos(net_), exchange_.pieces(), {}) {}

  Times Step() {
    Times times;
    const auto start = Clock::now();
    if (exchange_.Rebuild()) optimiser_.Repartition(exchange_);
    exchange_.Begin();
    const at::Tensor loss = net_.Loss();
    const auto forward = Clock::now();
    loss.backward();
    times.backward = Since(forward);
    const auto backward = Clock::now();
    exchange_.Finalize({});
    times.exposed = Since(backward);
    optimiser_.Step(exchange_.touched(), 1e-4, at::ones({}, at::kDouble));
    times.step = Since(start);
    return times;
  }
  std::int64_t arena_bytes() const { return static_cast<std::int64_t>(exchange_.arena_bytes()); }
  // Of all gradients, after a step.
  std::string Digest() const {
    vesalius::Digest digest;
    for (const auto& [name, tensor] : net_.parameters) {
      const at::Tensor gradient = tensor.grad();
      digest.Add(gradient.const_data_ptr(), gradient.nbytes());
    }
    return digest.Hex();
  }

 private:
  Net net_;
  dist::GradExchange exchange_;
  trainer::AdamW optimiser_;
};

// MPI_Allreduce after backward: of all gradients at once, views of one buffer, into which backward
// adds; or of each as backward made it.
class MpiAfterBackward {
 public:
  MpiAfterBackward(int rank, bool joined)
      : net_(rank),
        gradients_(at::zeros({joined ? net_.Bytes() / 4 : 0})),
        optimiser_(Infos(net_), Pieces(), {}) {}

  Times Step() {
    Times times;
    const auto start = Clock::now();
    if (joined()) {
      gradients_.zero_();
    } else {
      for (const auto& [name, tensor] : net_.parameters) at::Tensor(tensor).mutable_grad().reset();
    }
    const at::Tensor loss = net_.Loss();
    const auto forward = Clock::now();
    loss.backward();
    times.backward = Since(forward);
    const auto backward = Clock::now();
    if (joined()) {
      Reduce(gradients_);
    } else {
      for (auto& state : optimiser_.states()) {
        const at::Tensor gradient = net_.parameters[state.piece.parameter].second.grad();
        Reduce(gradient);
        state.piece.gradient = gradient.view({-1});
      }
    }
    times.exposed = Since(backward);
    optimiser_.Step(std::vector<bool>(net_.parameters.size(), true), 1e-4,
                    at::ones({}, at::kDouble));
    times.step = Since(start);
    return times;
  }

 private:
  bool joined() const { return gradients_.numel() > 0; }
  static void Reduce(const at::Tensor& gradient) {
    MPI_Allreduce(MPI_IN_PLACE, gradient.mutable_data_ptr(), static_cast<int>(gradient.numel()),
                  MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  }
  std::vector<dist::ParameterPiece> Pieces() {
    std::vector<dist::ParameterPiece> pieces;
    std::int64_t begin = 0;
    for (const auto& [name, tensor] : net_.parameters) {
      at::Tensor part;
      if (joined()) {
        part = gradients_.narrow(0, begin, tensor.numel());
        at::Tensor(tensor).mutable_grad() = part.view(tensor.sizes());
      }
      pieces.push_back({static_cast<int>(pieces.size()), 0, tensor.detach().view({-1}), part});
      begin += tensor.numel();
    }
    return pieces;
  }

  Net net_;
  at::Tensor gradients_;
  trainer::AdamW optimiser_;
};

void CompareSteps(dist::Communicator& comm, Report* report) {
  Ours ours(comm, 4 << 20);
  MpiAfterBackward joined(comm.rank(), true), each(comm.rank(), false);
  std::map<std::string, std::vector<double>> exposed, backward;
  const auto measure = [&](const std::string& name, const std::function<Times()>& step) {
    MPI_Barrier(MPI_COMM_WORLD);
    Times sum;
    for (int i = 0; i < kStepsARound; ++i) {
      const Times times = step();
      sum.step += times.step / kStepsARound;
      sum.backward += times.backward / kStepsARound;
      sum.exposed += times.exposed / kStepsARound;
    }
    exposed[name].push_back(sum.exposed);
    backward[name].push_back(sum.backward);
    return sum.step;
  };
  const auto steps =
      Interleave({{"ours", [&] { return measure("ours", [&] { return ours.Step(); }); }},
                  {"joined", [&] { return measure("joined", [&] { return joined.Step(); }); }},
                  {"each", [&] { return measure("each", [&] { return each.Step(); }); }}},
                 kRounds);
  if (report == nullptr) return;
  for (auto* by_side : {&exposed, &backward})
    for (auto& [name, rounds] : *by_side) rounds.erase(rounds.begin());  // warmed up
  for (const char* side : {"ours", "joined", "each"}) {
    report->Add(StrCat("ddp.step.", side), "s", steps.at(side));
    report->Add(StrCat("ddp.communication_share.", side), "of step",
                Ratios(exposed[side], steps.at(side)));
    report->Add(StrCat("ddp.backward.", side), "s", backward[side]);
  }
  // The peer is the faster of the two.
  const std::string peer =
      Median(steps.at("joined")) < Median(steps.at("each")) ? "joined" : "each";
  report->Compare("ddp.step", "s", steps.at("ours"), steps.at(peer));
  report->Compare("ddp.exposed_share", "s", exposed["ours"], exposed[peer], Value::kOursByPeer);
}

// Peak of a step above its start beyond one gradient a parameter: the arena's padding and riders
// and whatever the exchange allocates, beside a backward into gradients that stay.
void CompareMemory(dist::Communicator& comm, Report* report) {
  const auto plain = [&] {
    const Net net(comm.rank());
    const ops::CpuMemoryMeter meter;
    for (const auto& [name, tensor] : net.parameters)
      at::Tensor(tensor).mutable_grad() = at::zeros_like(tensor);
    net.Loss().backward();
    return meter.peak();
  };
  const auto exchanged = [&] {
    const Net net(comm.rank());
    const ops::CpuMemoryMeter meter;
    dist::GradExchange exchange(comm, net.parameters, {});
    exchange.Begin();
    net.Loss().backward();
    exchange.Finalize({});
    return meter.peak() + static_cast<std::int64_t>(exchange.arena_bytes());
  };
  const ops::CpuMemoryMeter first;  // counts from here on
  const std::int64_t without = plain(), with = exchanged();
  if (report == nullptr) return;
  const auto parameters = static_cast<double>(Net(comm.rank()).Bytes());
  std::printf("  a step with the exchange %.2f MB, without %.2f MB, parameters %.2f MB\n",
              with / 1e6, without / 1e6, parameters / 1e6);
  report->Add("ddp.extra_memory", "of parameters",
              {static_cast<double>(with - without) / parameters});
}

// The cost of a hook: as many parameters of one element as the transformer has tensors, whose
// backward is nothing else, with the exchange and without; as a share of the transformer's
// backward.
void CompareHooks(dist::Communicator& comm, Report* report) {
  constexpr int kBackwards = 50;
  const Net net(comm.rank());
  const auto scalars = [&] {
    Named list;
    for (const auto& [name, tensor] : net.parameters)
      list.emplace_back(name, at::ones({1}).requires_grad_(true));
    return list;
  };
  const auto backward = [](const Named& list) {
    std::vector<at::Tensor> tensors;
    for (const auto& [name, tensor] : list) tensors.push_back(tensor);
    const at::Tensor loss = at::cat(tensors).sum();
    const auto start = Clock::now();
    loss.backward();
    return Since(start);
  };
  const Named hooked = scalars(), bare = scalars();
  dist::GradExchange exchange(comm, hooked, {});
  for (const auto& [name, tensor] : bare) at::Tensor(tensor).mutable_grad() = at::zeros({1});
  const auto with = [&] {
    double seconds = 0;
    for (int i = 0; i < kBackwards; ++i) {
      exchange.Begin();
      seconds += backward(hooked);
      exchange.Finalize({});
    }
    return seconds / kBackwards;
  };
  const auto without = [&] {
    double seconds = 0;
    for (int i = 0; i < kBackwards; ++i) seconds += backward(bare);
    return seconds / kBackwards;
  };
  const auto whole = [&] {
    const at::Tensor loss = net.Loss();
    const auto start = Clock::now();
    loss.backward();
    return Since(start);
  };
  const auto figures =
      Interleave({{"with", with}, {"without", without}, {"backward", whole}}, kRounds);
  if (report == nullptr) return;
  std::vector<double> hooks;
  for (int i = 0; i < kRounds; ++i)
    hooks.push_back(figures.at("with")[i] - figures.at("without")[i]);
  report->Compare("ddp.hook_share", "s", hooks, figures.at("backward"), Value::kOursByPeer);
}

void RequireSameBits(dist::Communicator& comm) {
  std::string first;
  for (int shift = 16; shift <= 26; shift += 2) {
    Ours ours(comm, std::size_t{1} << shift);
    for (int step = 0; step < 3; ++step) ours.Step();
    if (first.empty()) first = ours.Digest();
    Invariant(ours.Digest() == first, "gradients differ between buckets of 64 KB and of ",
              1 << shift, " bytes");
  }
  if (comm.rank() == 0) std::printf("gradients are the same bits for buckets of 64 KB to 64 MB\n");
}

void Body(dist::Bootstrap& bootstrap, Report* report) {
  at::set_num_threads(1);
  const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
  CompareSteps(*comm, report);
  CompareHooks(*comm, report);
  RequireSameBits(*comm);
  CompareMemory(*comm, report);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) {
  return vesalius::bench::MainUnderMpi(argc, argv, 2, vesalius::bench::Body);
}
