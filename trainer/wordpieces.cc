#include "trainer/wordpieces.h"

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "data/text/tokenizer.h"

namespace vesalius::trainer {
namespace {

class Decorated : public data::Dataset {
 public:
  Decorated(std::shared_ptr<const data::Dataset> inner, std::vector<std::string> wordpieces)
      : inner_(std::move(inner)), vocabulary_(inner_->vocabulary()) {
    vocabulary_.wordpieces = std::move(wordpieces);
  }
  std::int64_t size() const override { return inner_->size(); }
  data::Record Get(std::int64_t index) const override { return inner_->Get(index); }
  std::unique_ptr<data::Fetched> Fetch(
      std::span<const data::SampleRequest> requests) const override {
    return inner_->Fetch(requests);
  }
  std::string Report(std::int64_t index) const override { return inner_->Report(index); }
  const data::Vocabulary& vocabulary() const override { return vocabulary_; }
  const std::string& fingerprint() const override { return inner_->fingerprint(); }
  int stored_size() const override { return inner_->stored_size(); }
  const std::string& path() const override { return inner_->path(); }

 private:
  std::shared_ptr<const data::Dataset> inner_;
  data::Vocabulary vocabulary_;
};

}  // namespace

std::shared_ptr<const data::Dataset> OpenTraining(const std::string& folder,
                                                  const std::string& vocab) {
  std::shared_ptr<const data::Dataset> train = data::OpenDataset(folder, data::Split::kTrain);
  if (!vocab.empty())
    train = WithWordpieces(std::move(train), data::Tokenizer::FromFile(vocab).pieces());
  Require(!train->vocabulary().wordpieces.empty(), ExitCode::kConfig, folder,
          " stores no vocabulary: give one with --set data.vocab=vocab.txt");
  return train;
}

SourceText ParseSource(const std::string& text) {
  const std::size_t at = text.rfind('=');
  if (at == std::string::npos || Exists(text)) return {text, 0};
  char* end = nullptr;
  const double weight = std::strtod(text.c_str() + at + 1, &end);
  Require(end != text.c_str() + at + 1 && *end == '\0' && std::isfinite(weight) && weight > 0,
          ExitCode::kUsage, "--data ", text, ": the weight after '=' must be a number above 0");
  return {text.substr(0, at), weight};
}

Sources OpenSources(const std::vector<std::string>& data, const std::string& vocab) {
  Require(!data.empty(), ExitCode::kUsage, "give the data set with --data DIR");
  Sources sources;
  for (const std::string& text : data) {
    const SourceText source = ParseSource(text);
    sources.datasets.push_back(OpenTraining(source.folder, vocab));
    if (source.weight > 0) sources.weights.push_back(source.weight);
  }
  Require(sources.weights.empty() || sources.weights.size() == data.size(), ExitCode::kUsage,
          "give a weight with every --data DIR=WEIGHT, or with none");
  return sources;
}

std::shared_ptr<const data::Dataset> WithWordpieces(std::shared_ptr<const data::Dataset> dataset,
                                                    std::vector<std::string> wordpieces) {
  return std::make_shared<Decorated>(std::move(dataset), std::move(wordpieces));
}

}  // namespace vesalius::trainer
