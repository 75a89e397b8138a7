// What the tables are for: a run that looks up the right rows beats the same run with its ids
// shuffled, on held-out phantom patients. Long: trains several small models.
#include <gtest/gtest.h>

#include "base/hash.h"
#include "base/random.h"
#include "base/strings.h"
#include "data/loader/pipeline.h"
#include "data/phantom/phantom.h"
#include "dist/bootstrap.h"
#include "tests/util/temp_dir.h"
#include "trainer/evaluation.h"
#include "trainer/schedule.h"
#include "trainer/tables.h"
#include "trainer/train_step.h"

namespace vesalius::trainer {
namespace {

constexpr int kSamples = 600;

const std::string& Data() {
  static const TempDir dir;
  static const std::string data = [] {
    data::PhantomOptions options;
    options.out = dir.path() + "/data";
    options.samples = kSamples;
    options.seed = 1;
    options.size = 64;
    data::WritePhantom(options);
    return options.out;
  }();
  return data;
}

enum class Shuffled { kNo, kYes };

// Deals every region another concept for each of its own.
at::Tensor DealtConcepts(const data::ConceptGraph& graph) {
  std::vector<std::int64_t> ids = graph.of_region;
  Random random(3, Purpose::kTest);
  for (std::int64_t& id : ids)
    if (id > 0)
      id = 1 +
           static_cast<std::int64_t>(random.Below(static_cast<std::uint64_t>(graph.concepts - 1)));
  return at::tensor(ids, at::kLong).view({data::kRegions, graph.each});
}

// Swaps the texts of a batch by a fixed random mapping of all keys: each is looked up as another.
class DealtKeys {
 public:
  explicit DealtKeys(const data::Vocabulary& vocabulary) {
    std::vector<std::int64_t> keys;
    for (const std::string& text : VocabularySentences(vocabulary))
      keys.push_back(static_cast<std::int64_t>(Hash64(data::NormalisedText(text))));
    std::vector<std::int64_t> dealt = keys;
    Random(3, Purpose::kTest).Shuffle(dealt);
    for (std::size_t i = 0; i < keys.size(); ++i) other_[keys[i]] = dealt[i];
  }
  void Deal(model::BatchTensors* batch) const {
    batch->signatures = batch->signatures.clone();
    for (std::int64_t i = 0; i < batch->signatures.size(0); ++i)
      batch->signatures[i][0] = other_.at(batch->signatures[i][0].item<std::int64_t>());
  }

 private:
  std::map<std::int64_t, std::int64_t> other_;
};

// Trains by the book on one rank and evaluates split valid and test: the figure `name`.
double Train(const std::vector<std::string>& settings, Shuffled shuffled, const std::string& name) {
  const Config config = LoadConfig("tiny", "", settings);
  const std::shared_ptr<const data::Dataset> train = data::OpenDataset(Data(), data::Split::kTrain);
  const auto held_out = data::OpenDataset(Data(), data::Split::kTest);
  const ModelVocabulary words = VocabularyOf(train->vocabulary(), train->vocabulary().wordpieces);
  double figure = 0;
  dist::RunLocalRanks(1, [&](dist::Bootstrap& bootstrap) {
    const auto comm = bootstrap.MakeCommunicator(dist::Device::kCpu, {});
    TrainStep step(config, words, at::kCPU, *comm);
    Tables tables = SetUpTables(config, *train, words.wordpieces, *comm, at::kCPU, &step.model());
    if (tables.knowledge && shuffled == Shuffled::kYes)
      step.model().UseKnowledge(tables.knowledge, DealtConcepts(tables.concepts));
    const DealtKeys keys(train->vocabulary());
    data::PipelineOptions options = LoaderOptionsOf(config);
    options.report_length = 0;
    step.model().SetStage(3);
    data::Pipeline pipeline({train}, options, {});
    for (std::int64_t i = 0; i < config.trainer.steps; ++i) {
      data::Batch batch = pipeline.Next();
      model::BatchTensors tensors =
          ToTensors(batch, train->vocabulary().findings.size(),
                    train->vocabulary().image_labels.size(), at::kFloat, at::kCPU);
      if (config.model.text.table && shuffled == Shuffled::kYes) keys.Deal(&tensors);
      PhaseClock clock;
      step.Run(i, {&tensors, 1}, LearningRate(config.trainer, i), {}, clock);
    }
    step.model().RefreshKnowledge();
    const data::Tokenizer tokenizer(words.wordpieces);
    const Figures figures =
        EvaluateDataset(step.model(), config, tokenizer, *held_out, "all", *comm);
    for (const auto& [key, value] : Headline(figures))
      if (key == name) figure = value;
  });
  return figure;
}

std::vector<std::string> Settings(std::vector<std::string> more) {
  for (const char* setting : {"trainer.stage1=0", "trainer.stage2=0", "loss.fine=4"})
    more.emplace_back(setting);
  return more;
}

TEST(TablesLearn, SentencesBeatShuffledOnes) {
  const std::vector<std::string> settings =
      Settings({"model.text.frozen=true", "model.text.table=true", "trainer.steps=400"});
  const std::string figure = "region_to_phrase.r5";
  const double right = Train(settings, Shuffled::kNo, figure);
  const double wrong = Train(settings, Shuffled::kYes, figure);
  EXPECT_GT(right, wrong + 0.3);
}

// Over several seeds: what one run gains is about as much as runs differ.
TEST(TablesLearn, KnowledgeRowsBeatShuffledOnes) {
  const std::string figure = "region_to_phrase.r1_abnormal";
  double right = 0, wrong = 0;
  for (const int seed : {1, 2, 3}) {
    const std::vector<std::string> settings =
        Settings({"model.knowledge.enabled=true", "loss.knowledge=4", "trainer.steps=300",
                  StrCat("seed=", seed)});
    const double a = Train(settings, Shuffled::kNo, figure);
    const double b = Train(settings, Shuffled::kYes, figure);
    std::cout << "seed " << seed << ": " << a << ", shuffled " << b << std::endl;
    right += a / 3;
    wrong += b / 3;
  }
  std::cout << figure << ": " << right << " with the right ids, " << wrong << " shuffled\n";
  EXPECT_GT(right, wrong);
}

}  // namespace
}  // namespace vesalius::trainer
