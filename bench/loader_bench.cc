// `./run bench loader`: what training waits for its data. A batch of 16 augmented images for a
// stand-in step that keeps one core busy for 20 ms; the share of the time that Next() blocked,
// for images of 224 and 512 pixels stored with gzip, with the files in the page cache and dropped
// from it (posix_fadvise) before each round. loader.wait_share is 224 pixels, cached.
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/page_cache.h"
#include "bench/harness.h"
#include "data/loader/pipeline.h"
#include "data/phantom/phantom.h"

namespace vesalius::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5, kSteps = 100, kWarmUp = 5;
constexpr std::chrono::milliseconds kStep(20);

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

volatile std::uint64_t sink;

void BusyStep() {
  const auto end = Clock::now() + kStep;
  std::uint64_t value = 1;
  while (Clock::now() < end)
    for (int i = 0; i < 1000; ++i) value = Mix64(value);
  sink = value;
}

struct Run {
  double wait_share = 0, samples_per_s = 0;
  double read_ms = 0, decode_ms = 0, augment_ms = 0;  // of a sample, on one thread
};

Run Train(const std::shared_ptr<const data::Dataset>& dataset, std::uint64_t seed) {
  data::PipelineOptions options;
  options.seed = seed;
  options.global_batch = 16;
  options.image_size = dataset->stored_size();
  options.augment = true;
  options.min_crop = 0.8;
  options.max_rotate = 10;
  options.brightness = options.contrast = 0.2;
  data::Pipeline pipeline({dataset}, options, {});
  for (int step = 0; step < kWarmUp; ++step) {
    pipeline.Next();
    BusyStep();
  }
  Run run;
  double waited = 0;
  const auto start = Clock::now();
  for (int step = 0; step < kSteps; ++step) {
    const data::Batch batch = pipeline.Next();
    BusyStep();
    waited += batch.wait_s;
    run.read_ms += batch.read_s;
    run.decode_ms += batch.decode_s;
    run.augment_ms += batch.augment_s;
  }
  const double all = Seconds(Clock::now() - start), samples = kSteps * 16;
  run.wait_share = waited / all;
  run.samples_per_s = samples / all;
  for (double* stage : {&run.read_ms, &run.decode_ms, &run.augment_ms}) *stage *= 1e3 / samples;
  return run;
}

void Measure(int size, bool dropped, const std::string& name, Report& report) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path() + "/data";
  data::WritePhantom({folder, size == 224 ? 600 : 200, 7, size, {}});
  const std::shared_ptr<const data::Dataset> dataset =
      data::OpenDataset(folder, data::Split::kTrain);
  std::vector<double> share, rate, read, decode, augment;
  for (int round = 0; round <= kRounds; ++round) {
    if (dropped) DropFromCache(folder);
    const Run run = Train(dataset, static_cast<std::uint64_t>(round));
    if (round == 0) continue;  // warms up
    share.push_back(run.wait_share);
    rate.push_back(run.samples_per_s);
    read.push_back(run.read_ms);
    decode.push_back(run.decode_ms);
    augment.push_back(run.augment_ms);
  }
  report.Add(name, "of time", share);
  report.Add(name + ".samples", "1/s", rate);
  report.Add(name + ".read", "ms/sample", read);
  report.Add(name + ".decode", "ms/sample", decode);
  report.Add(name + ".augment", "ms/sample", augment);
}

void Body(Report& report) {
  Measure(224, false, "loader.wait_share", report);
  Measure(224, true, "loader.wait_share_dropped", report);
  Measure(512, false, "loader.wait_share_512", report);
  Measure(512, true, "loader.wait_share_512_dropped", report);
}

}  // namespace
}  // namespace vesalius::bench

int main(int argc, char** argv) { return vesalius::bench::Main(argc, argv, vesalius::bench::Body); }
