// `./run bench table`: the sharded table against what one would otherwise use, with the same
// threads, on 65,536 Zipf(1.0) ids of a million rows of 128 float32 values: dedupe (one thread)
// against sort and unique, std::unordered_map and LibTorch's unique; a training step (look-up,
// backward, update) against LibTorch's dense embedding with torch::optim::Adam; counted bytes on
// two ranks; row-wise Adagrad against FBGEMM's where VESALIUS_PEER_PYTHON has fbgemm_gpu
// (fbgemm_table.py); and the planner's choices against measured ones.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/nn/functional/embedding.h>
#include <torch/optim/adam.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include "base/error.h"
#include "base/random.h"
#include "bench/harness.h"
#include "dist/bootstrap.h"
#include "dist/table/dedupe.h"
#include "dist/table/sharded_table.h"

namespace vesalius::bench {
namespace {

using dist::SparseOptimiser;
using dist::TableStrategy;
using Ids = std::vector<std::int64_t>;

constexpr int kRounds = 9;
constexpr std::int64_t kRows = 1000000, kWidth = 128, kIds = 65536;

template <typename Body>
double Milliseconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Ids with p(k) ~ 1/k, popularity scattered over [0, rows) by a fixed permutation.
class Zipf {
 public:
  explicit Zipf(std::int64_t rows) : cumulative_(rows), row_(rows) {
    double sum = 0;
    for (std::int64_t k = 0; k < rows; ++k) {
      cumulative_[k] = sum += 1.0 / static_cast<double>(k + 1);
      row_[k] = k;
    }
    Random(99, Purpose::kTest).Shuffle(row_);
  }
  Ids Draw(std::int64_t n, std::uint64_t stream) const {
    Random random(1, Purpose::kTest, stream);
    Ids ids(static_cast<std::size_t>(n));
    for (auto& id : ids)
      id = row_[std::lower_bound(cumulative_.begin(), cumulative_.end() - 1,
                                 random.Uniform() * cumulative_.back()) -
                cumulative_.begin()];
    return ids;
  }

 private:
  std::vector<double> cumulative_;
  Ids row_;
};

at::Tensor ToTensor(const Ids& ids) { return at::tensor(ids, at::kLong); }

volatile std::int64_t g_sink;  // keeps results alive

// ---- dedupe ------------------------------------------------------------------------------------

// Without the inverse, which would cost it more than the sort.
void SortUnique(const Ids& ids) {
  Ids unique = ids;
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  g_sink = unique.back();
}

void MapUnique(const Ids& ids) {
  std::unordered_map<std::int64_t, std::int32_t> index;
  index.reserve(ids.size());
  Ids unique;
  std::vector<std::int32_t> inverse(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto [found, added] = index.emplace(ids[i], static_cast<std::int32_t>(unique.size()));
    if (added) unique.push_back(ids[i]);
    inverse[i] = found->second;
  }
  g_sink = inverse.back();
}

void BenchDedupe(const Zipf& zipf, Report& report) {
  at::set_num_threads(1);
  constexpr int kRepeats = 5;  // of fresh ids in a round
  dist::Dedupe dedupe;
  std::uint64_t stream = 0;
  std::vector<Ids> batches;
  const auto side = [&](const char* name, const std::function<void(const Ids&)>& run) {
    return Side{name, [&batches, run] {
                  return Milliseconds([&] {
                           for (const Ids& ids : batches) run(ids);
                         }) /
                         static_cast<double>(batches.size());
                }};
  };
  std::vector<at::Tensor> tensors;
  std::vector<Side> sides{side("ours",
                               [&](const Ids& ids) {
                                 dedupe.Run(ids);
                                 g_sink = dedupe.inverse().back();
                               }),
                          side("sort", SortUnique),
                          side("map", MapUnique),
                          {"torch", [&] {
                             return Milliseconds([&] {
                                      for (const at::Tensor& ids : tensors)
                                        g_sink = std::get<1>(at::_unique2(ids, /*sorted=*/false,
                                                                          /*return_inverse=*/true))
                                                     .numel();
                                    }) /
                                    kRepeats;
                           }}};
  for (int i = 0; i < kRepeats; ++i) {
    batches.push_back(zipf.Draw(kIds, ++stream));
    tensors.push_back(ToTensor(batches.back()));
  }
  const auto ms = Interleave(sides, kRounds);
  for (const char* peer : {"sort", "map", "torch"})
    report.Compare(StrCat("table.dedupe_", peer), "ms", ms.at("ours"), ms.at(peer));
}

// ---- update ------------------------------------------------------------------------------------

at::Tensor Gradient() {
  return at::randn({kIds, kWidth}, at::TensorOptions().dtype(at::kFloat)) * 1e-2;
}

dist::TableOptions Options(SparseOptimiser optimiser) {
  dist::TableOptions options;
  options.name = "bench table";
  options.rows = kRows;
  options.width = kWidth;
  options.strategy = TableStrategy::kRows;
  options.optimiser = optimiser;
  return options;
}

void OurStep(dist::ShardedTable& table, const at::Tensor& ids, const at::Tensor& gradient) {
  table.Lookup(ids).backward(gradient);
  table.Step(1e-3);
}

void BenchUpdate(const Zipf& zipf, dist::Communicator& comm, Report& report) {
  at::set_num_threads(2);
  const at::Tensor gradient = Gradient();
  std::uint64_t stream = 1000;
  const auto fresh = [&] { return ToTensor(zipf.Draw(kIds, ++stream)); };
  dist::ShardedTable table(comm, Options(SparseOptimiser::kLazyAdam));
  for (int i = 0; i < kRounds; ++i) OurStep(table, fresh(), gradient);  // memory is mapped by then
  at::Tensor dense = at::zeros({kRows, kWidth}).requires_grad_(true);
  torch::optim::Adam adam({dense}, torch::optim::AdamOptions(1e-3));
  const auto ms = Interleave({{"ours",
                               [&] {
                                 const at::Tensor ids = fresh();
                                 return Milliseconds([&] { OurStep(table, ids, gradient); });
                               }},
                              {"torch",
                               [&] {
                                 const at::Tensor ids = fresh();
                                 return Milliseconds([&] {
                                   adam.zero_grad(/*set_to_none=*/true);
                                   at::embedding(dense, ids).backward(gradient);
                                   adam.step();
                                 });
                               }}},
                             kRounds);
  report.Compare("table.update", "ms", ms.at("ours"), ms.at("torch"));
}

void BenchFbgemm(const Zipf& zipf, dist::Communicator& comm, Report& report) {
  const std::string python = PeerPython();
  const std::string script = "bench/fbgemm_table.py";
  if (python.empty())
    return report.LeaveOut("table.fbgemm", "ms", "VESALIUS_PEER_PYTHON is not set");
  at::set_num_threads(1);
  // The ids of all rounds go to the peer in a file, so that both see the same.
  const std::string file =
      (std::filesystem::temp_directory_path() / StrCat("vesalius-ids-", getpid())).string();
  std::vector<at::Tensor> ids;
  {
    std::ofstream out(file, std::ios::binary);
    for (int i = 0; i < 8; ++i) {
      const Ids drawn = zipf.Draw(kIds, 2000 + static_cast<std::uint64_t>(i));
      out.write(reinterpret_cast<const char*>(drawn.data()),
                static_cast<std::streamsize>(drawn.size() * sizeof(drawn[0])));
      ids.push_back(ToTensor(drawn));
    }
  }
  const at::Tensor gradient = Gradient();
  dist::ShardedTable table(comm, Options(SparseOptimiser::kRowwiseAdagrad));
  for (const at::Tensor& warm : ids) OurStep(table, warm, gradient);
  const auto ours = [&] {
    std::vector<double> ms;
    for (const at::Tensor& step : ids)
      ms.push_back(Milliseconds([&] { OurStep(table, step, gradient); }));
    return Median(ms);
  };
  try {
    const auto ms =
        Interleave({{"ours", ours},
                    {"fbgemm",
                     [&] {
                       return NumberFrom(StrCat("OMP_NUM_THREADS=1 ", python, " ", script, " ",
                                                file, " ", kRows, " ", kWidth));
                     }}},
                   kRounds);
    report.Compare("table.fbgemm", "ms", ms.at("ours"), ms.at("fbgemm"));
  } catch (const Error& error) {
    report.LeaveOut("table.fbgemm", "ms", error.what());
  }
  std::filesystem::remove(file);
}

// ---- two ranks ---------------------------------------------------------------------------------

// Bytes that rank 0 sends in a step of look-up and update, of those without dedupe: an id and two
// rows (one back, one gradient) for each id whose row lives on the other rank.
void BenchBytes(const Zipf& zipf, Report& report) {
  std::vector<double> share;
  dist::RunLocalRanks(2, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    const at::NoGradGuard no_grad_by_default;
    dist::ShardedTable table(*comm, [] {
      dist::TableOptions options = Options(SparseOptimiser::kRowwiseAdagrad);
      options.rows = 30522;  // a BERT vocabulary
      return options;
    }());
    const at::Tensor gradient = Gradient();
    for (int round = 0; round < kRounds; ++round) {
      Ids ids = zipf.Draw(kIds, 3000 + static_cast<std::uint64_t>(2 * round + comm->rank()));
      const std::int64_t before = table.stats().bytes_sent;
      {
        const at::AutoGradMode grad(true);
        OurStep(table, ToTensor(ids), gradient);
      }
      const std::int64_t sent = table.stats().bytes_sent - before;
      std::int64_t away = 0, asked = 0;
      for (const std::int64_t id : ids) away += table.layout().OwnerOfRow(id) != comm->rank();
      std::int64_t other[] = {0, 0};
      other[comm->rank()] = away;
      dist::AllReduceNow(*comm, "away", other);
      asked = other[1 - comm->rank()];  // what the other rank looks up here
      const double plain = static_cast<double>(away * (8 + kWidth * 4) + asked * kWidth * 4);
      if (comm->rank() == 0) share.push_back(static_cast<double>(sent) / plain);
    }
  });
  report.Add("table.bytes", "share", share);
}

void Run(Report& report) {
  const Zipf zipf(kRows);
  BenchDedupe(zipf, report);
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    BenchUpdate(zipf, *comm, report);
    BenchFbgemm(zipf, *comm, report);
  });
  BenchBytes(Zipf(30522), report);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Run); }
