// From configuration and vocabulary to a model: what training, evaluation, embedding and export
// share.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "checkpoints/reader.h"
#include "data/loader/batch.h"
#include "data/loader/pipeline.h"
#include "data/text/tokenizer.h"
#include "data/text/vocabulary.h"
#include "model/anatomy_vlm.h"
#include "trainer/adamw.h"
#include "trainer/config.h"

namespace vesalius::trainer {

// The words a model was trained with; part of every checkpoint.
struct ModelVocabulary {
  std::vector<std::string> wordpieces;
  std::vector<std::string> image_labels;
  std::vector<int> parents;  // [29] parent region or -1
};
ModelVocabulary VocabularyOf(const data::Vocabulary& vocabulary,
                             const std::vector<std::string>& wordpieces);
std::string SerializeVocabulary(const ModelVocabulary& vocabulary);  // JSON
ModelVocabulary ParseVocabulary(const std::string& json);

// The prompt that stands for an image label in the label bank and in zero-shot reading.
std::string LabelPrompt(const std::string& label);

// Rows of ids, padded to the longest, as a tensor [rows, length] int64.
at::Tensor PadIds(const std::vector<std::vector<std::int64_t>>& rows);

std::unique_ptr<model::AnatomyVlm> BuildModel(Config config, const ModelVocabulary& vocabulary,
                                              at::Device device);

// How pixels reach the model: size, channels and normalisation; everything else at its default.
data::PipelineOptions PixelOptions(const Config& config);

// The training loader by the configuration, for one rank that holds the whole batch: ranks, reports
// and region texts are the caller's to set.
data::PipelineOptions LoaderOptionsOf(const Config& config);

// Zero-copy where types allow; `batch` must outlive the result on CPU.
model::BatchTensors ToTensors(const data::Batch& batch, std::size_t findings,
                              std::size_t image_labels, at::ScalarType type, at::Device device);

// The safetensors name of a tensor's type.
const char* CheckpointDType(at::ScalarType type);

// Parameters, and with an optimiser its moments (of the pieces that this rank updates) and step
// counts, as a checkpoint stores them: the same list on every rank, whatever it holds. The views
// point into CPU tensors; `staging` keeps the copies of tensors that live elsewhere.
std::vector<checkpoints::TensorView> StateViews(const std::vector<model::ParameterInfo>& parameters,
                                                AdamW* optimiser, std::vector<at::Tensor>* staging);

// Fills parameters (and optimiser state) from a checkpoint, whatever world size or mode of
// exchange wrote it.
void LoadState(const checkpoints::Reader& reader,
               const std::vector<model::ParameterInfo>& parameters, AdamW* optimiser);

// Writes tensors as float32 into a safetensors file that PyTorch's users load.
void WriteTensors(const std::string& path,
                  const std::vector<std::pair<std::string, at::Tensor>>& tensors);

// A checkpoint opened for use: configuration, vocabulary and a model in evaluation state.
struct LoadedModel {
  Config config;
  ModelVocabulary vocabulary;
  data::Tokenizer tokenizer;
  std::unique_ptr<model::AnatomyVlm> model;
  std::int64_t step = 0;
  std::string folder;  // the step folder that was read
};
// `checkpoint`: run or step folder, of which StepToLoad is the step folder to read. It says on the
// log why a damaged step was passed over. A run that lives has others in a moment: ranks that load
// the same model ask once.
std::string StepToLoad(const std::string& checkpoint);
LoadedModel LoadModel(const std::string& checkpoint, at::Device device);

}  // namespace vesalius::trainer
