#include "data/joined_dataset.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"

namespace vesalius::data {
namespace {

class JoinedDataset final : public Dataset {
 public:
  explicit JoinedDataset(Datasets parts) : parts_(std::move(parts)) {
    Digest digest;
    for (const auto& part : parts_) {
      first_.push_back(size_);
      size_ += part->size();
      digest.Add(part->fingerprint());
      path_ += StrCat(path_.empty() ? "" : " + ", part->path());
    }
    fingerprint_ = digest.Hex();
  }

  std::int64_t size() const override { return size_; }
  Record Get(std::int64_t index) const override {
    const SourceRow row = PlaceOf(index);
    return parts_[row.source]->Get(row.index);
  }
  std::string Report(std::int64_t index) const override {
    const SourceRow row = PlaceOf(index);
    return parts_[row.source]->Report(row.index);
  }
  std::unique_ptr<Fetched> Fetch(std::span<const SampleRequest> requests) const override {
    return FetchFromSources(
        requests, [&](std::int64_t index) { return PlaceOf(index); },
        [&](std::size_t part, std::span<const SampleRequest> own) {
          return parts_[part]->Fetch(own);
        });
  }
  const Vocabulary& vocabulary() const override { return parts_[0]->vocabulary(); }
  const std::string& fingerprint() const override { return fingerprint_; }
  int stored_size() const override { return parts_[0]->stored_size(); }
  const std::string& path() const override { return path_; }

 private:
  SourceRow PlaceOf(std::int64_t index) const {
    Invariant(index >= 0 && index < size_, "record ", index, " of ", size_, " in ", path_);
    const auto part = std::upper_bound(first_.begin(), first_.end(), index) - first_.begin() - 1;
    return {static_cast<std::size_t>(part), index - first_[static_cast<std::size_t>(part)]};
  }

  Datasets parts_;
  std::vector<std::int64_t> first_;
  std::int64_t size_ = 0;
  std::string path_, fingerprint_;
};

void RequireFit(const Dataset& a, const Dataset& b) {
  const auto differ = [&](const auto& what, const auto& one, const auto& other) {
    Fail(ExitCode::kConfig, a.path(), " and ", b.path(), " cannot be mixed: ", what, " is ", one,
         " in the first and ", other, " in the second; import both with the same settings");
  };
  if (a.stored_size() != b.stored_size())
    differ("the stored size of images", a.stored_size(), b.stored_size());
  const auto compare = [&](const char* what, const auto& one, const auto& other) {
    if (one.size() != other.size())
      differ(StrCat("the number of ", what), one.size(), other.size());
    for (std::size_t i = 0; i < one.size(); ++i)
      if (one[i] != other[i]) differ(StrCat(what, " ", i), one[i], other[i]);
  };
  const auto names = [](const Vocabulary& words) {
    std::vector<std::string> list;
    for (const auto& finding : words.findings) list.push_back(finding.name);
    return list;
  };
  compare("findings", names(a.vocabulary()), names(b.vocabulary()));
  compare("image labels", a.vocabulary().image_labels, b.vocabulary().image_labels);
  compare("word pieces", a.vocabulary().wordpieces, b.vocabulary().wordpieces);
}

}  // namespace

std::shared_ptr<const Dataset> JoinDatasets(const Datasets& parts) {
  Invariant(!parts.empty() && parts[0] != nullptr, "no data set");
  if (parts.size() == 1) return parts[0];
  for (std::size_t i = 1; i < parts.size(); ++i) RequireFit(*parts[0], *parts[i]);
  return std::make_shared<JoinedDataset>(parts);
}

}  // namespace vesalius::data
