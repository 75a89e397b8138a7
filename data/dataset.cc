#include "data/dataset.h"

#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "data/shards/dataset_files.h"

namespace vesalius::data {
namespace {

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
  const Vocabulary& vocabulary() const override { return files_.manifest.vocabulary; }
  const std::string& fingerprint() const override { return files_.manifest.fingerprint; }
  int stored_size() const override { return files_.manifest.stored_size; }
  const std::string& path() const override { return path_; }

 private:
  struct Place {
    std::int32_t shard, row;
  };
  std::string path_;
  DatasetFiles files_;
  std::vector<Place> places_;  // of the records of this split, in the manifest's order
};

}  // namespace

std::unique_ptr<Dataset> OpenDataset(const std::string& folder, Split split) {
  return std::make_unique<ShardedDataset>(folder, split);
}

}  // namespace vesalius::data
