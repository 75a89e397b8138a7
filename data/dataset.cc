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

template <typename T>
void CutRows(const std::vector<T>& from, int from_width, int channels, const Window& window,
             std::vector<T>& to) {
  const auto row = static_cast<std::size_t>(window.width) * channels;
  to.reserve(row * window.height);
  for (int y = 0; y < window.height; ++y) {
    const auto first =
        from.begin() +
        (static_cast<std::ptrdiff_t>(window.y + y) * from_width + window.x) * channels;
    to.insert(to.end(), first, first + static_cast<std::ptrdiff_t>(row));
  }
}

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
    Invariant(index >= 0 && index < size(), "record ", index, " of ", size(), " in ", path_);
    const Place place = places_[static_cast<std::size_t>(index)];
    return files_.shards[static_cast<std::size_t>(place.shard)]->Read(place.row);
  }
  std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const override;
  const Vocabulary& vocabulary() const override { return files_.manifest.vocabulary; }
  const std::string& fingerprint() const override { return files_.manifest.fingerprint; }
  int stored_size() const override { return files_.manifest.stored_size; }
  const std::string& path() const override { return path_; }
  const DatasetFiles& files() const { return files_; }

 private:
  struct Place {
    std::int32_t shard, row;
  };
  std::string path_;
  DatasetFiles files_;
  std::vector<Place> places_;  // of the records of this split, in the manifest's order
};

// The parts of a batch that lie in the same shard are fetched together.
class FetchedByShard final : public Fetched {
 public:
  struct Part {
    std::size_t fetched, request;
  };
  FetchedByShard(std::vector<std::unique_ptr<Fetched>> fetched, std::vector<Part> parts)
      : fetched_(std::move(fetched)), parts_(std::move(parts)) {}

  Record Decode(std::size_t i) const override {
    Invariant(i < parts_.size(), "request ", i, " of ", parts_.size());
    return fetched_[parts_[i].fetched]->Decode(parts_[i].request);
  }

 private:
  std::vector<std::unique_ptr<Fetched>> fetched_;
  std::vector<Part> parts_;  // by request of the batch
};

std::unique_ptr<Fetched> ShardedDataset::Fetch(std::span<const SampleRequest> requests) const {
  std::map<std::int32_t, std::vector<RowRequest>> by_shard;
  std::vector<FetchedByShard::Part> parts;
  for (const SampleRequest& request : requests) {
    Invariant(request.index >= 0 && request.index < size(), "record ", request.index, " of ",
              size(), " in ", path_);
    const Place place = places_[static_cast<std::size_t>(request.index)];
    std::vector<RowRequest>& rows = by_shard[place.shard];
    parts.push_back({static_cast<std::size_t>(place.shard), rows.size()});
    rows.push_back({place.row, request.window});
  }
  std::vector<std::unique_ptr<Fetched>> fetched;
  std::map<std::size_t, std::size_t> order;  // of shards in `fetched`
  for (const auto& [shard, rows] : by_shard) {
    order[static_cast<std::size_t>(shard)] = fetched.size();
    fetched.push_back(files_.shards[static_cast<std::size_t>(shard)]->Fetch(rows));
  }
  for (FetchedByShard::Part& part : parts) part.fetched = order[part.fetched];
  return std::make_unique<FetchedByShard>(std::move(fetched), std::move(parts));
}

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

Image CutWindow(const Image& image, const Window& window) {
  Invariant(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
                window.x <= image.width - window.width && window.y <= image.height - window.height,
            "window ", window.x, ",", window.y, " ", window.width, " x ", window.height, " of ",
            image.width, " x ", image.height);
  Image cut{window.width, window.height, image.channels, {}, {}};
  if (image.deep())
    CutRows(image.u16, image.width, image.channels, window, cut.u16);
  else
    CutRows(image.u8, image.width, image.channels, window, cut.u8);
  return cut;
}

std::unique_ptr<Dataset> OpenDataset(const std::string& folder, Split split) {
  auto dataset = std::make_unique<ShardedDataset>(folder, split);
  Audit(dataset->files());
  return dataset;
}

}  // namespace vesalius::data
