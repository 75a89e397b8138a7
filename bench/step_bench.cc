// `./run bench step`: the demo preset's stage-3 step at global batch 16, as whole processes, with
// one rank and one thread, one rank and two threads, and two MPI ranks; beside it the same step in
// PyTorch DDP over Gloo where VESALIUS_PEER_PYTHON names an interpreter. Samples a second are the
// median over a process's steps after a warm-up, the loader included; the share of the sgemm peak
// counts 2.36 GFLOP a step for both sides, against a 1024-cube product at the same thread count in
// the same round.
#include <ATen/Parallel.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "bench/harness.h"
#include "data/phantom/phantom.h"

namespace vesalius::bench {
namespace {

constexpr int kRounds = 7, kSteps = 80, kWarmUp = 20;
constexpr double kGflopPerStep = 2.36, kBatch = 16;

std::string Program() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "vesalius").string();
}

// Median figures of one process's run; `seconds` by phase.
struct Run {
  double samples_per_s = 0;
  std::map<std::string, double> seconds;
};

Run Measure(const std::string& folder, const std::string& launcher, int threads) {
  const std::string run = folder + "/run";
  RemoveTree(run);
  const std::string command =
      StrCat(launcher, " ", Program(), " pretrain --preset demo --data ", folder, "/data --run ",
             run, " --device cpu --set trainer.steps=", kSteps, " --set trainer.stage1=0 --set ",
             "trainer.stage2=0 --set trainer.checkpoint_every=0 --set trainer.threads=", threads,
             " > ", folder, "/log 2>&1");
  if (std::system(command.c_str()) != 0)
    Fail(ExitCode::kBug, command, " failed:\n", ReadFile(folder + "/log"));
  std::vector<double> rates;
  std::map<std::string, std::vector<double>> phases;
  std::ifstream lines(run + "/metrics.jsonl");
  std::string line;
  while (std::getline(lines, line)) {
    const auto step = nlohmann::json::parse(line);
    if (step["step"] <= kWarmUp) continue;
    rates.push_back(step["samples_per_s"]);
    for (const auto& phase : step["seconds"].items()) phases[phase.key()].push_back(phase.value());
  }
  Run out{Median(rates), {}};
  for (const auto& [phase, values] : phases) out.seconds[phase] = Median(values);
  return out;
}

// GFLOP/s of a 1024-cube float32 product.
double SgemmPeak(int threads) {
  at::set_num_threads(threads);
  const at::Tensor a = at::randn({1024, 1024}), b = at::randn({1024, 1024});
  std::vector<double> rates;
  for (int i = 0; i < 30; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const at::Tensor c = at::matmul(a, b);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    rates.push_back(2.0 * 1024 * 1024 * 1024 / took.count() / 1e9);
  }
  return Median(rates);
}

// PyTorch DDP with Gloo, two processes of one thread, the same model, batch and work. All
// that it prints goes to `log`, and on the screen when there is no figure in it.
std::string PeerCommand(const std::string& log) {
  const char* shared = std::getenv("VESALIUS_SHARED");
  const std::string peers = (shared ? std::string(shared) : "../shared") + "/peers";
  return StrCat(
      "cd ", peers, " && OMP_NUM_THREADS=1 ", PeerPython(),
      " -m torch.distributed.run --nproc-per-node 2 --master-port 0 --rdzv-backend c10d "
      "--rdzv-endpoint localhost:0 anatomy_tiny.py --threads 1 --batch 8 --bench 1 --steps ",
      kSteps, " --patients 300 > ", log,
      " 2>&1 && sed -n 's/.*BENCH.* \\([0-9.]*\\) samples.*/\\1/p' ", log, " | grep . || { cat ",
      log, "; exit 1; }");
}

void Body(Report& report) {
  const ScratchFolder scratch;
  const std::string& folder = scratch.path();
  data::WritePhantom({folder + "/data", 600, 7, 64, {}});
  const std::string mpirun =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 "
      "mpirun -n 2 --oversubscribe --bind-to none";
  std::map<std::string, std::map<std::string, std::vector<double>>> phases;
  const auto side = [&](const char* name, const std::string& launcher, int threads) {
    return Side{name, [&phases, name, launcher, threads, &folder] {
                  const Run run = Measure(folder, launcher, threads);
                  for (const auto& [phase, s] : run.seconds) phases[name][phase].push_back(s);
                  return run.samples_per_s;
                }};
  };
  std::vector<Side> sides = {side("1x1", "", 1),
                             side("1x2", "", 2),
                             side("2x1", mpirun, 1),
                             {"peak1", [] { return SgemmPeak(1); }},
                             {"peak2", [] { return SgemmPeak(2); }}};
  if (!PeerPython().empty())
    sides.push_back({"ddp", [&] { return NumberFrom(PeerCommand(folder + "/peer")); }});
  const auto rounds = Interleave(sides, kRounds);
  for (const auto& [name, peak] : std::vector<std::pair<std::string, std::string>>{
           {"1x1", "peak1"}, {"1x2", "peak2"}, {"2x1", "peak2"}}) {
    report.Add("step." + name, "samples/s", rounds.at(name));
    std::vector<double> share = Ratios(rounds.at(name), rounds.at(peak));
    for (double& value : share) value *= kGflopPerStep / kBatch;
    report.Add("step." + name + ".sgemm_share", "of peak", share);
    for (const auto& [phase, seconds] : phases[name])
      report.Add("step." + name + ".seconds." + phase, "s", seconds);
  }
  report.Add("sgemm.1", "GFLOP/s", rounds.at("peak1"));
  report.Add("sgemm.2", "GFLOP/s", rounds.at("peak2"));
  if (rounds.count("ddp")) {
    report.Add("step.ddp", "samples/s", rounds.at("ddp"));
    report.Add("step.pytorch_ddp", "x", Ratios(rounds.at("2x1"), rounds.at("ddp")));
  } else {
    report.LeaveOut("step.pytorch_ddp", "x", "VESALIUS_PEER_PYTHON is not set");
  }
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
