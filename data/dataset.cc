#include "data/dataset.h"

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/shards/dataset_files.h"

namespace vesalius::data {
namespace {

// Reads nothing ahead: the default of Dataset::Fetch().
class FetchedLater final : public Fetched {
 public:
  FetchedLater(const Dataset& dataset, std::span<const SampleRequest> requests)
      : dataset_(dataset), requests_(requests.begin(), requests.end()) {}

  Record Decode(std::size_t i) const override {
    Invariant(i < requests_.size(), "request ", i, " of ", requests_.size());
    Record record = dataset_.Get(requests_[i].index);
    if (requests_[i].window.width == 0) return record;
    const int side = dataset_.stored_size();
    Require(record.image.width == side && record.image.height == side, ExitCode::kInvalidData,
            dataset_.path(), ": record ", requests_[i].index, " is no square of ", side, " pixels");
    record.image = CutWindow(record.image, requests_[i].window);
    return record;
  }

 private:
  const Dataset& dataset_;
  std::vector<SampleRequest> requests_;
};

class ShardedDataset final : public Dataset {
 public:
  ShardedDataset(const std::string& folder, Split split)
      : path_(folder), files_(OpenDatasetFiles(folder)) {
    for (std::size_t shard = 0; shard < files_.shards.size(); ++shard) {
      const std::vector<Split>& splits = files_.manifest.shards[shard].splits;
      for (std::size_t row = 0; row < splits.size(); ++row)
        if (splits[row] == split)
          places_.push_back({static_cast<std::int32_t>(shard), static_cast<std::int32_t>(row)});
    }
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(places_.size()); }
  Record Get(std::int64_t index) const override {
    const SourceRow row = PlaceOf(index);
    return files_.shards[row.source]->Read(row.index);
  }
  std::string Report(std::int64_t index) const override {
    const SourceRow row = PlaceOf(index);
    return files_.shards[row.source]->Report(row.index);
  }
  std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const override {
    return FetchFromSources(
        requests, [&](std::int64_t index) { return PlaceOf(index); },
        [&](std::size_t shard, std::span<const SampleRequest> rows) {
          return files_.shards[shard]->Fetch(rows);
        });
  }
  const Vocabulary& vocabulary() const override { return files_.manifest.vocabulary; }
  const std::string& fingerprint() const override { return files_.manifest.fingerprint; }
  int stored_size() const override { return files_.manifest.stored_size; }
  const std::string& path() const override { return path_; }
  const DatasetFiles& files() const { return files_; }

 private:
  struct Place {
    std::int32_t shard, row;
  };

  SourceRow PlaceOf(std::int64_t index) const {
    Invariant(index >= 0 && index < size(), "record ", index, " of ", size(), " in ", path_);
    const Place place = places_[static_cast<std::size_t>(index)];
    return {static_cast<std::size_t>(place.shard), place.row};
  }

  std::string path_;
  DatasetFiles files_;
  std::vector<Place> places_;  // of the records of this split, in the manifest's order
};

// Our decoding against the library's, for a random thousandth of all chunks, at most kMostAudited.
void Audit(const DatasetFiles& files) {
  constexpr std::uint64_t kShare = 1000, kMostAudited = 256;
  std::vector<std::uint64_t> ends;
  std::uint64_t chunks = 0;
  for (const auto& shard : files.shards) ends.push_back(chunks += shard->chunks());
  if (chunks == 0) return;
  std::random_device device;
  const std::uint64_t seed = std::uint64_t{device()} << 32 | device();
  const std::uint64_t picks = std::min((chunks + kShare - 1) / kShare, kMostAudited);
  std::map<std::size_t, std::uint64_t> by_shard;
  for (std::uint64_t pick = 0; pick < picks; ++pick) {
    const std::uint64_t chunk = Mix64(seed + pick) % chunks;
    const auto shard = std::upper_bound(ends.begin(), ends.end(), chunk) - ends.begin();
    ++by_shard[static_cast<std::size_t>(shard)];
  }
  for (const auto& [shard, count] : by_shard)
    files.shards[shard]->Audit(count, Mix64(seed) + shard);
}

}  // namespace

std::unique_ptr<Fetched> Dataset::Fetch(std::span<const SampleRequest> requests) const {
  return std::make_unique<FetchedLater>(*this, requests);
}

std::string Dataset::Report(std::int64_t index) const { return Get(index).report; }

std::unique_ptr<Dataset> OpenDataset(const std::string& folder, Split split) {
  auto dataset = std::make_unique<ShardedDataset>(folder, split);
  Audit(dataset->files());
  return dataset;
}

}  // namespace vesalius::data
