#include "trainer/wordpieces.h"

#include "base/error.h"
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

std::shared_ptr<const data::Dataset> WithWordpieces(std::shared_ptr<const data::Dataset> dataset,
                                                    std::vector<std::string> wordpieces) {
  return std::make_shared<Decorated>(std::move(dataset), std::move(wordpieces));
}

}  // namespace vesalius::trainer
