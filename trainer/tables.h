// The tables that a model looks rows up in: the vectors of frozen texts and the knowledge rows of
// regions. They are set up from the training split, which the ranks read once together, each its
// part, and travel in checkpoints by row range.
#pragma once

#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/reader.h"
#include "data/dataset.h"
#include "data/text/concepts.h"
#include "dist/communicator.h"
#include "model/anatomy_vlm.h"
#include "trainer/config.h"

namespace vesalius::trainer {

struct Tables {
  data::ConceptGraph concepts;                      // nothing in it without knowledge rows
  std::shared_ptr<dist::ShardedTable> knowledge;    // null without
  std::shared_ptr<model::SentenceTable> sentences;  // null without
};

// Collective; parameters must have the values that training starts from. Builds what the
// configuration asks for and hands it to the model.
Tables SetUpTables(const Config& config, const data::Dataset& train,
                   const std::vector<std::string>& wordpieces, dist::Communicator& comm,
                   at::Device device, model::AnatomyVlm* model);

// The parts of the knowledge table that this rank holds, as a checkpoint stores them; empty
// without.
std::vector<checkpoints::TensorView> TableViews(const Tables& tables);
// Fills them from a checkpoint, whatever world size or strategy wrote it.
void LoadTables(const checkpoints::Reader& reader, const Tables& tables);

// The name of the knowledge table's rows in a checkpoint, and the graph that says which are whose.
inline constexpr char kKnowledgeTable[] = "knowledge.table";
data::ConceptGraph ConceptsOf(const checkpoints::Reader& reader);

// For evaluation and embedding: the rows that `of_region` names, from a checkpoint.
void LoadKnowledgeRows(const checkpoints::Reader& reader, const Config& config,
                       model::AnatomyVlm* model);

// Every sentence that the loader can give to a region, each once: those of the records, and what
// it may invent or rephrase from the vocabulary's forms.
std::vector<std::string> VocabularySentences(const data::Vocabulary& vocabulary);

// Figures of the model's tables since the last call on this rank, by the names of metrics.jsonl:
// table.bytes_sent, table.unique_share (distinct of the ids looked up), table.missing (texts that
// the sentence table did not have).
class TableMeter {
 public:
  std::vector<std::pair<std::string, double>> Read(const Tables& tables);

 private:
  dist::TableStats last_;
  std::int64_t missed_ = 0;
};

}  // namespace vesalius::trainer
