#include "data/bench_data.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/page_cache.h"
#include "data/loader/augment.h"
#include "data/loader/order.h"

namespace vesalius::data {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kBatch = 16;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Bytes of the data set's files, a record.
double BytesOfARecord(const Dataset& dataset) {
  double bytes = 0;
  for (const std::string& name : ListDir(dataset.path()))
    bytes += static_cast<double>(FileSize(dataset.path() + "/" + name));
  return bytes / static_cast<double>(dataset.size());
}

// Seconds a sample takes in each stage, on one thread.
class Stages {
 public:
  Stages(const Dataset& dataset, const PipelineOptions& options, double seconds)
      : dataset_(dataset),
        options_(options),
        seconds_(seconds),
        order_(dataset.size(), options.seed, 0) {}

  double Disk() {
    DropFromCache(dataset_.path());
    return Read(/*first=*/0);
  }
  double Cached() { return Read(/*first=*/0); }  // the same ones again

  void DecodeAndAugment(double* decode, double* augment) {
    *decode = *augment = 0;
    std::vector<float> pixels(PixelCount(options_));
    std::int64_t done = 0, damaged = 0;
    const auto start = Clock::now();
    for (std::int64_t at = 0; Since(start) < seconds_ * 2 || done == 0; at += kBatch) {
      const std::vector<SampleRequest> requests = Requests(at);
      const std::unique_ptr<Fetched> fetched = dataset_.Fetch(requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        try {
          auto lap = Clock::now();
          const Record record = fetched->Decode(i);
          *decode += Since(lap);
          lap = Clock::now();
          Render(record.image, requests[i].window, dataset_.stored_size(), looks_[i], options_,
                 pixels);
          *augment += Since(lap);
          ++done;
        } catch (const Error& error) {
          if (error.code() != ExitCode::kInvalidData || ++damaged == dataset_.size()) throw;
        }
      }
    }
    *decode /= static_cast<double>(done);
    *augment /= static_cast<double>(done);
  }

 private:
  std::vector<SampleRequest> Requests(std::int64_t at) {
    std::vector<SampleRequest> requests;
    looks_.assign(static_cast<std::size_t>(std::min(kBatch, dataset_.size())), {});
    for (std::size_t i = 0; i < looks_.size(); ++i) {
      const std::int64_t sample = order_.At((at + static_cast<std::int64_t>(i)) % dataset_.size());
      const SampleLook seen = LookOf(options_, dataset_.stored_size(), /*epoch=*/0, sample);
      looks_[i] = seen.look;
      requests.push_back({sample, seen.window});
    }
    return requests;
  }

  // Until the time is over or every record was read once.
  double Read(std::int64_t first) {
    std::int64_t done = 0;
    const auto start = Clock::now();
    while (done == 0 || (Since(start) < seconds_ && done < dataset_.size())) {
      const std::vector<SampleRequest> requests = Requests(first + done);
      dataset_.Fetch(requests);
      done += std::ssize(requests);
    }
    return Since(start) / static_cast<double>(done);
  }

  const Dataset& dataset_;
  const PipelineOptions& options_;
  double seconds_;
  SampleOrder order_;
  std::vector<Look> looks_;
};

double LoaderRate(const std::shared_ptr<const Dataset>& dataset, const PipelineOptions& options,
                  double seconds) {
  Pipeline pipeline({dataset}, options, {});
  pipeline.Next();
  std::int64_t rows = 0;
  const auto start = Clock::now();
  while (rows == 0 || Since(start) < seconds) rows += pipeline.Next().rows;
  return static_cast<double>(rows) / Since(start);
}

}  // namespace

nlohmann::ordered_json BenchData(const std::shared_ptr<const Dataset>& dataset,
                                 PipelineOptions options, double seconds) {
  Require(dataset->size() > 0, ExitCode::kConfig, dataset->path(), " holds no training samples");
  options.rank = 0;
  options.ranks = 1;
  options.tail = Tail::kShort;
  options.global_batch = std::min(kBatch, dataset->size());
  Stages stages(*dataset, options, seconds);
  const double disk = stages.Disk(), cached = stages.Cached();
  double decode = 0, augment = 0;
  stages.DecodeAndAugment(&decode, &augment);
  const double threads = std::max(options.workers, 1);
  const char* limit = decode > augment ? "decode" : "augment";
  if (disk > (decode + augment) / threads) limit = "disk";
  return {{"samples", dataset->size()},
          {"image_size", options.image_size},
          {"workers", options.workers},
          {"samples_per_s",
           {{"disk", 1 / disk},
            {"cached", 1 / cached},
            {"decode", 1 / decode},
            {"augment", 1 / augment},
            {"loader", LoaderRate(dataset, options, seconds)}}},
          {"disk_mb_per_s", BytesOfARecord(*dataset) / disk / 1e6},
          {"limit", limit}};
}

}  // namespace vesalius::data
