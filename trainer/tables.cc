#include "trainer/tables.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "data/loader/region_text.h"
#include "data/text/tokenizer.h"
#include "dist/table/planner.h"
#include "trainer/model_setup.h"

namespace vesalius::trainer {
namespace {

using checkpoints::Role;
using checkpoints::TensorView;

// What the ranks learn from reading the training split.
class Survey {
 public:
  Survey(const Config& config, const data::Dataset& train, bool texts, bool reports,
         const std::vector<std::string>& wordpieces)
      : config_(config),
        texts_(texts),
        reports_(reports),
        tokenizer_(wordpieces),
        counts_(data::kRegions * train.vocabulary().findings.size(), 0) {}

  // This rank's part of the records and of the sentences that the vocabulary can make.
  void Read(const data::Dataset& train, const dist::Communicator& comm) {
    const std::int64_t n = train.size(), ranks = comm.size(), rank = comm.rank();
    for (std::int64_t i = n * rank / ranks; i < n * (rank + 1) / ranks; ++i) AddRecord(train, i);
    if (!texts_) return;
    const std::vector<std::string> sentences = VocabularySentences(train.vocabulary());
    for (std::size_t i = static_cast<std::size_t>(rank); i < sentences.size();
         i += static_cast<std::size_t>(ranks))
      AddSentence(sentences[i]);
  }

  const data::Tokenizer& tokenizer() const { return tokenizer_; }
  const model::SentenceTable::Texts& texts() const { return keyed_; }
  std::vector<std::int64_t>& counts() { return counts_; }

 private:
  // A damaged record is left out; the loader tells of it.
  void AddRecord(const data::Dataset& train, std::int64_t index) {
    try {
      Add(train.Get(index));
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
    }
  }

  void Add(const data::Record& record) {
    if (record.region_labels.size() == counts_.size()) data::CountFindings(record, &counts_);
    if (!texts_) return;
    for (const auto& of_region : record.sentences)
      for (const data::Sentence& sentence : of_region) AddSentence(sentence.text);
    if (reports_)
      keyed_.try_emplace(model::ReportKey(static_cast<std::int64_t>(record.report_hash)),
                         tokenizer_.EncodeWithSpecials(record.report, config_.data.report_length));
  }

  void AddSentence(const std::string& sentence) {
    const std::string text = data::NormalisedText(sentence);
    const auto key = static_cast<std::int64_t>(Hash64(text));
    if (!keyed_.contains(key))
      keyed_.emplace(key, tokenizer_.EncodeWithSpecials(text, config_.data.text_length));
  }

  const Config& config_;
  bool texts_, reports_;
  data::Tokenizer tokenizer_;
  model::SentenceTable::Texts keyed_;
  std::vector<std::int64_t> counts_;  // [29, findings]
};

dist::TableOptions Options(const Config& config, const char* name) {
  dist::TableOptions options;
  options.name = name;
  options.float64 = config.trainer.float64;
  options.beta1 = config.trainer.beta1;
  options.beta2 = config.trainer.beta2;
  options.eps = config.trainer.eps;
  if (config.dist.table_mb > 0)
    options.fast_bytes = static_cast<std::size_t>(config.dist.table_mb) << 20;
  return options;
}

// The configured strategy, or the planned one for look-ups of `ids` a step on this rank.
dist::TableStrategy Strategy(const Config& config, dist::Communicator& comm,
                             const dist::TableOptions& options, const at::Tensor& ids) {
  for (const dist::TableStrategy strategy :
       {dist::TableStrategy::kReplicated, dist::TableStrategy::kRows,
        dist::TableStrategy::kColumns})
    if (config.dist.table == Name(strategy)) return strategy;
  const dist::TablePlan plan = dist::PlanTable(comm, options, ids);
  if (comm.rank() == 0)
    log::Info(options.name, ": ", options.rows, " rows of ", options.width, ", ",
              Name(plan.strategy), " (expected milliseconds a step: replicated ",
              1e3 * plan.seconds[0], ", rows ", 1e3 * plan.seconds[1], ", columns ",
              1e3 * plan.seconds[2], ")");
  return plan.strategy;
}

// Rows [begin, end) of the start: the text tower's vectors of the concepts' names; row 0, which is
// nothing, stays zero.
at::Tensor StartRows(const std::vector<std::string>& names, const data::Tokenizer& tokenizer,
                     std::int64_t begin, std::int64_t end, at::Device device,
                     const model::AnatomyVlm& model) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<std::int64_t>> ids;
  for (std::int64_t row = std::max<std::int64_t>(begin, 1); row < end; ++row)
    ids.push_back(tokenizer.EncodeWithSpecials(names[static_cast<std::size_t>(row - 1)],
                                               model.config().text.positions));
  const at::Tensor rows = model.text().Pooled(PadIds(ids).to(device)).cpu();
  const bool with_nothing = begin == 0 && end > 0;
  return with_nothing ? at::cat({at::zeros({1, rows.size(1)}, rows.options()), rows}) : rows;
}

at::Tensor OfRegion(const data::ConceptGraph& graph) {
  return at::tensor(graph.of_region, at::kLong).view({data::kRegions, graph.each});
}

void SetUpSentences(const Config& config, const Survey& survey, dist::Communicator& comm,
                    at::Device device, Tables* tables, model::AnatomyVlm* model) {
  dist::TableOptions options = Options(config, "sentence table");
  std::int64_t known[] = {static_cast<std::int64_t>(survey.texts().size())};
  dist::AllReduceNow(comm, "sentences known", known);
  options.rows = std::max<std::int64_t>(known[0], 1);
  options.width = config.model.text.width;
  // More than there will be where ranks know the same ones; enough to plan with. A step's texts
  // are distinct and anywhere in the table.
  const std::int64_t ids = std::min<std::int64_t>(
      options.rows, config.trainer.global_batch * config.data.rows / comm.size());
  options.strategy =
      Strategy(config, comm, options,
               at::arange(ids, at::kLong) * (options.rows / std::max<std::int64_t>(ids, 1)));
  tables->sentences =
      std::make_shared<model::SentenceTable>(comm, model->text(), survey.texts(), options, device);
  if (comm.rank() == 0)
    log::Info("sentence table: ", tables->sentences->rows(), " texts, encoded once by ",
              comm.size(), " rank(s), ", tables->sentences->encoded_here(), " of them here");
  model->UseSentences(tables->sentences);
}

void SetUpKnowledge(const Config& config, Survey& survey, const data::Vocabulary& vocabulary,
                    dist::Communicator& comm, at::Device device, Tables* tables,
                    model::AnatomyVlm* model) {
  const model::KnowledgeConfig& knowledge = config.model.knowledge;
  dist::AllReduceNow(comm, "region findings", survey.counts());
  tables->concepts =
      data::MakeConceptGraph(survey.counts(), vocabulary.findings.size(), knowledge.rows);
  dist::TableOptions options = Options(config, "knowledge table");
  options.rows = tables->concepts.concepts;
  options.width = config.model.text.width;
  options.optimiser = knowledge.optimiser == "adam" ? dist::SparseOptimiser::kLazyAdam
                                                    : dist::SparseOptimiser::kRowwiseAdagrad;
  const at::Tensor of_region = OfRegion(tables->concepts);
  options.strategy = Strategy(config, comm, options, of_region.clamp_min(0).flatten());
  tables->knowledge = std::make_shared<dist::ShardedTable>(comm, options);
  const std::int64_t n = options.rows, ranks = comm.size(), rank = comm.rank();
  tables->knowledge->Fill(StartRows(data::ConceptNames(vocabulary), survey.tokenizer(),
                                    n * rank / ranks, n * (rank + 1) / ranks, device, *model));
  model->UseKnowledge(tables->knowledge, of_region);
}

// Name and role of a part of the table's state.
std::pair<std::string, Role> PlaceOf(const std::string& what) {
  if (what == "values") return {kKnowledgeTable, Role::kParameter};
  if (what == "moment1") return {kKnowledgeTable, Role::kMoment1};
  if (what == "moment2") return {kKnowledgeTable, Role::kMoment2};
  if (what == "steps") return {kKnowledgeTable, Role::kScalar};
  return {StrCat(kKnowledgeTable, ".", what), Role::kBuffer};
}

TensorView ViewOf(const dist::TableState& state) {
  const auto [name, role] = PlaceOf(state.what);
  TensorView view;
  view.meta = {name, CheckpointDType(state.part.scalar_type()), state.shape, role};
  view.offset = state.offset;
  view.extent = state.part.sizes().vec();
  view.data = state.part.data_ptr();
  view.bytes = state.part.nbytes();
  return view;
}

}  // namespace

std::vector<std::string> VocabularySentences(const data::Vocabulary& vocabulary) {
  std::vector<std::string> out;
  const std::size_t findings = vocabulary.findings.size();
  for (int region = 0; region < data::kRegions; ++region) {
    for (const std::string& form : vocabulary.normal_forms)
      out.push_back(data::FillForm(form, "", region));
    for (std::size_t f = 0; f < findings; ++f) {
      if (vocabulary.can[static_cast<std::size_t>(region) * findings + f] == 0) continue;
      const data::Finding& finding = vocabulary.findings[f];
      for (const auto* forms : {&vocabulary.positive_forms, &vocabulary.negative_forms})
        for (const std::string& form : *forms) {
          if (finding.synonyms.empty()) out.push_back(data::FillForm(form, finding.name, region));
          for (const std::string& wording : finding.synonyms)
            out.push_back(data::FillForm(form, wording, region));
        }
    }
  }
  return out;
}

Tables SetUpTables(const Config& config, const data::Dataset& train,
                   const std::vector<std::string>& wordpieces, dist::Communicator& comm,
                   at::Device device, model::AnatomyVlm* model) {
  Tables tables;
  const bool sentences = config.model.text.table, knowledge = config.model.knowledge.enabled;
  if (!sentences && !knowledge) return tables;
  Survey survey(config, train, sentences, model->NeedsReports(), wordpieces);
  survey.Read(train, comm);
  if (sentences) SetUpSentences(config, survey, comm, device, &tables, model);
  if (knowledge) SetUpKnowledge(config, survey, train.vocabulary(), comm, device, &tables, model);
  return tables;
}

std::vector<TensorView> TableViews(const Tables& tables) {
  std::vector<TensorView> views;
  if (tables.knowledge)
    for (const dist::TableState& state : tables.knowledge->State()) views.push_back(ViewOf(state));
  return views;
}

void LoadTables(const checkpoints::Reader& reader, const Tables& tables) {
  for (const TensorView& view : TableViews(tables))
    if (view.bytes > 0) reader.Read(view);
}

data::ConceptGraph ConceptsOf(const checkpoints::Reader& reader) {
  const auto found = reader.info().blobs.find("concepts");
  Require(found != reader.info().blobs.end(), ExitCode::kInvalidData,
          "the checkpoint holds no concepts for its knowledge rows");
  return data::ParseConceptGraph(found->second);
}

void LoadKnowledgeRows(const checkpoints::Reader& reader, const Config& config,
                       model::AnatomyVlm* model) {
  const data::ConceptGraph graph = ConceptsOf(reader);
  const std::int64_t width = config.model.text.width;
  at::Tensor rows = at::zeros({data::kRegions * graph.each, width},
                              config.trainer.float64 ? at::kDouble : at::kFloat);
  for (std::size_t i = 0; i < graph.of_region.size(); ++i) {
    if (graph.of_region[i] < 0) continue;
    reader.Read(ViewOf({"values",
                        rows.narrow(0, static_cast<std::int64_t>(i), 1),
                        {graph.concepts, width},
                        {graph.of_region[i], 0}}));
  }
  model->SetKnowledgeRows(rows.view({data::kRegions, graph.each, width}), OfRegion(graph));
}

std::vector<std::pair<std::string, double>> TableMeter::Read(const Tables& tables) {
  dist::TableStats now;
  std::int64_t missed = 0;
  const model::SentenceTable* sentences = tables.sentences.get();
  const dist::ShardedTable* of_sentences = sentences == nullptr ? nullptr : sentences->table();
  const dist::ShardedTable* of_knowledge = tables.knowledge.get();
  for (const dist::ShardedTable* table : {of_sentences, of_knowledge}) {
    if (table == nullptr) continue;
    const dist::TableStats stats = table->stats();
    now.ids += stats.ids;
    now.unique += stats.unique;
    now.bytes_sent += stats.bytes_sent;
  }
  std::vector<std::pair<std::string, double>> figures;
  const auto ids = static_cast<double>(now.ids - last_.ids);
  if (sentences != nullptr || tables.knowledge != nullptr)
    figures = {
        {"table.bytes_sent", static_cast<double>(now.bytes_sent - last_.bytes_sent)},
        {"table.unique_share", ids > 0 ? static_cast<double>(now.unique - last_.unique) / ids : 1}};
  if (sentences != nullptr) {
    missed = sentences->missed();
    figures.emplace_back("table.missing", static_cast<double>(missed - missed_));
  }
  last_ = now;
  missed_ = missed;
  return figures;
}

}  // namespace vesalius::trainer
