#include "trainer/model_setup.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "checkpoints/boxes.h"
#include "checkpoints/safetensors.h"
#include "trainer/tables.h"

namespace vesalius::trainer {
namespace {

using checkpoints::Role;
using checkpoints::TensorView;

// The whole of a tensor of global shape `shape`.
TensorView ViewOf(const std::string& name, Role role, const at::Tensor& tensor,
                  at::IntArrayRef shape) {
  TensorView view;
  view.meta = {name, CheckpointDType(tensor.scalar_type()), shape.vec(), role};
  view.offset.assign(shape.size(), 0);
  view.extent = view.meta.shape;
  view.data = tensor.data_ptr();
  view.bytes = tensor.nbytes();
  return view;
}

// Calls visit(name, role, tensor, shape, begin) for everything that a checkpoint holds, in a fixed
// order that is the same on every rank. `tensor` holds the elements from `begin` on of one of
// global shape `shape`: all of them, or, of a moment, this rank's piece; undefined where it has
// none.
template <typename Visit>
void ForEachTensor(const std::vector<model::ParameterInfo>& parameters, AdamW* optimiser,
                   Visit visit) {
  for (const auto& parameter : parameters)
    visit(parameter.name, Role::kParameter, parameter.tensor.detach(), parameter.tensor.sizes(), 0);
  if (optimiser == nullptr) return;
  const AdamW::State none;
  std::vector<const AdamW::State*> states(parameters.size(), &none);
  for (const AdamW::State& state : optimiser->states()) states[state.piece.parameter] = &state;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, tensor, decay] = parameters[i];
    const std::int64_t begin = states[i]->piece.begin;
    visit(name, Role::kMoment1, states[i]->moment1, tensor.sizes(), begin);
    visit(name, Role::kMoment2, states[i]->moment2, tensor.sizes(), begin);
    visit(name, Role::kScalar, optimiser->steps(static_cast<int>(i)), at::IntArrayRef{}, 0);
  }
}

// The boxes of a tensor that `host`, its elements from `begin` on, consists of.
std::vector<TensorView> BoxesOf(const std::string& name, Role role, const at::Tensor& host,
                                at::IntArrayRef shape, std::int64_t begin) {
  std::vector<TensorView> views;
  auto* data = static_cast<char*>(host.data_ptr());
  for (checkpoints::Box& box : checkpoints::FlatBoxes(shape.vec(), begin, begin + host.numel())) {
    TensorView view = ViewOf(name, role, host, shape);
    view.bytes = static_cast<size_t>(checkpoints::Volume(box.extent)) * host.itemsize();
    view.data = data;
    view.offset = std::move(box.offset);
    view.extent = std::move(box.extent);
    data += view.bytes;
    views.push_back(std::move(view));
  }
  return views;
}

// A tensor over memory that the batch owns.
template <typename Values>
at::Tensor Wrap(const Values& values, at::IntArrayRef shape, at::ScalarType type) {
  return at::from_blob(const_cast<typename Values::value_type*>(values.data()), shape,
                       at::TensorOptions().dtype(type));
}

}  // namespace

const char* CheckpointDType(at::ScalarType type) {
  switch (type) {
    case at::kFloat:
      return "F32";
    case at::kDouble:
      return "F64";
    case at::kInt:
      return "I32";
    case at::kLong:
      return "I64";
    default:
      Fail(ExitCode::kBug, "no checkpoint name for dtype ", c10::toString(type));
  }
}

ModelVocabulary VocabularyOf(const data::Vocabulary& vocabulary,
                             const std::vector<std::string>& wordpieces) {
  return {wordpieces, vocabulary.image_labels,
          std::vector<int>(vocabulary.parent.begin(), vocabulary.parent.end())};
}

std::string SerializeVocabulary(const ModelVocabulary& vocabulary) {
  return nlohmann::json{{"wordpieces", vocabulary.wordpieces},
                        {"image_labels", vocabulary.image_labels},
                        {"parents", vocabulary.parents}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ModelVocabulary ParseVocabulary(const std::string& json) {
  try {
    const auto in = nlohmann::json::parse(json);
    return {in.at("wordpieces"), in.at("image_labels"), in.at("parents")};
  } catch (const nlohmann::json::exception& error) {
    Fail(ExitCode::kInvalidData, "the checkpoint's vocabulary cannot be read: ", error.what());
  }
}

std::string LabelPrompt(const std::string& label) { return StrCat("there is ", label, "."); }

at::Tensor PadIds(const std::vector<std::vector<std::int64_t>>& rows) {
  size_t length = 1;
  for (const auto& row : rows) length = std::max(length, row.size());
  at::Tensor out = at::zeros(
      {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(length)}, at::kLong);
  std::int64_t* data = out.mutable_data_ptr<std::int64_t>();
  for (size_t i = 0; i < rows.size(); ++i)
    std::copy(rows[i].begin(), rows[i].end(), data + i * length);
  return out;
}

std::unique_ptr<model::AnatomyVlm> BuildModel(Config config, const ModelVocabulary& vocabulary,
                                              at::Device device) {
  config.model.text.vocabulary = static_cast<int>(vocabulary.wordpieces.size());
  const data::Tokenizer tokenizer(vocabulary.wordpieces);
  std::vector<std::vector<std::int64_t>> prompts;
  for (const std::string& label : vocabulary.image_labels)
    prompts.push_back(
        tokenizer.EncodeWithSpecials(LabelPrompt(label), config.model.text.positions));
  at::Tensor family = at::zeros({data::kRegions, data::kRegions}, at::kBool);
  for (int child = 0; child < data::kRegions; ++child) {
    const int parent = vocabulary.parents[child];
    if (parent < 0) continue;
    family[child][parent].fill_(true);
    family[parent][child].fill_(true);
  }
  auto model = std::make_unique<model::AnatomyVlm>(config.model, config.seed,
                                                   PadIds(prompts).to(device), family.to(device));
  model->to(device, config.trainer.float64 ? at::kDouble : at::kFloat);
  return model;
}

data::PipelineOptions PixelOptions(const Config& config) {
  data::PipelineOptions options;
  options.image_size = config.model.vision.image_size;
  options.channels = config.model.vision.channels;
  options.mean = static_cast<float>(config.data.mean);
  options.std = static_cast<float>(config.data.std);
  return options;
}

data::PipelineOptions LoaderOptionsOf(const Config& config) {
  const DataConfig& in = config.data;
  data::PipelineOptions out = PixelOptions(config);
  out.seed = config.seed;
  out.global_batch = config.trainer.global_batch;
  out.workers = in.workers;
  out.tail = in.tail;
  out.rows_per_image = in.rows;
  out.perturb = in.perturb;
  out.text_length = in.text_length;
  out.augment = in.augment;
  out.min_crop = in.min_crop;
  out.max_shift = in.max_shift;
  out.max_rotate = in.max_rotate;
  out.brightness = in.brightness;
  out.contrast = in.contrast;
  return out;
}

model::BatchTensors ToTensors(const data::Batch& batch, std::size_t findings,
                              std::size_t image_labels, at::ScalarType type, at::Device device) {
  constexpr std::int64_t kRegions = data::kRegions;
  const std::int64_t n = batch.rows, size = batch.size;
  const auto f = static_cast<std::int64_t>(findings), k = static_cast<std::int64_t>(image_labels);
  model::BatchTensors out;
  out.padding = batch.padding;
  out.image = Wrap(batch.images, {n, batch.channels, size, size}, at::kFloat).to(device, type);
  out.boxes = Wrap(batch.boxes, {n, kRegions, 4}, at::kFloat).to(device, type);
  out.box_valid = Wrap(batch.box_valid, {n, kRegions}, at::kByte).to(device);
  out.region_labels = Wrap(batch.region_labels, {n, kRegions, f}, at::kChar).to(device);
  out.region_abnormal = Wrap(batch.region_abnormal, {n, kRegions}, at::kChar).to(device);
  out.image_labels = Wrap(batch.image_labels, {n, k}, at::kChar).to(device);
  out.report_hash = Wrap(batch.report_hash, {n}, at::kLong).to(device);
  out.region_text = Wrap(batch.region_text, {n, kRegions}, at::kInt).to(device);
  out.region_truth = Wrap(batch.region_truth, {n, kRegions}, at::kChar).to(device);
  out.texts = Wrap(batch.texts.ids, {batch.texts.rows, batch.texts.length}, at::kLong).to(device);
  const auto* facts = reinterpret_cast<const std::int64_t*>(batch.signatures.data());
  static_assert(sizeof(data::TextSignature) == 4 * sizeof(std::int64_t));
  out.signatures = at::from_blob(const_cast<std::int64_t*>(facts), {batch.texts.rows, 4},
                                 at::TensorOptions().dtype(at::kLong))
                       .to(device);
  out.reports =
      Wrap(batch.reports.ids, {batch.reports.rows, batch.reports.length}, at::kLong).to(device);
  return out;
}

std::vector<TensorView> StateViews(const std::vector<model::ParameterInfo>& parameters,
                                   AdamW* optimiser, std::vector<at::Tensor>* staging) {
  std::vector<TensorView> views;
  ForEachTensor(parameters, optimiser,
                [&](const std::string& name, Role role, const at::Tensor& tensor,
                    at::IntArrayRef shape, std::int64_t begin) {
                  const bool moment = role == Role::kMoment1 || role == Role::kMoment2;
                  const size_t entries = moment ? checkpoints::FlatBoxLimit(shape.size()) : 1;
                  std::vector<TensorView> boxes;
                  if (tensor.defined()) {
                    staging->push_back(tensor.cpu().contiguous());
                    boxes = BoxesOf(name, role, staging->back(), shape, begin);
                  }
                  while (boxes.size() < entries) {
                    TensorView nothing;
                    nothing.meta = {name, CheckpointDType(parameters[0].tensor.scalar_type()),
                                    shape.vec(), role};
                    boxes.push_back(std::move(nothing));
                  }
                  std::ranges::move(boxes, std::back_inserter(views));
                });
  return views;
}

void LoadState(const checkpoints::Reader& reader,
               const std::vector<model::ParameterInfo>& parameters, AdamW* optimiser) {
  const at::NoGradGuard no_grad;
  ForEachTensor(parameters, optimiser,
                [&](const std::string& name, Role role, const at::Tensor& tensor,
                    at::IntArrayRef shape, std::int64_t begin) {
                  if (!tensor.defined()) return;
                  const at::Tensor host = at::empty_like(tensor, tensor.options().device(at::kCPU),
                                                         at::MemoryFormat::Contiguous);
                  for (const TensorView& view : BoxesOf(name, role, host, shape, begin))
                    reader.Read(view);
                  tensor.copy_(host);
                });
}

void WriteTensors(const std::string& path,
                  const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  std::vector<at::Tensor> keep;
  std::vector<checkpoints::SafeTensor> out;
  for (const auto& [name, tensor] : tensors) {
    keep.push_back(tensor.detach().to(at::kCPU, at::kFloat).contiguous());
    out.push_back(
        {name, "F32", keep.back().sizes().vec(), keep.back().data_ptr(), keep.back().nbytes()});
  }
  checkpoints::WriteSafeTensors(path, out, {{"format", "pt"}});
}

std::string StepToLoad(const std::string& checkpoint) {
  std::vector<std::string> skipped;
  std::string folder = checkpoints::ResolveStep(checkpoint, &skipped);
  for (const std::string& reason : skipped) log::Warning("passed over ", reason);
  return folder;
}

LoadedModel LoadModel(const std::string& checkpoint, at::Device device) {
  const std::string folder = StepToLoad(checkpoint);
  const checkpoints::Reader reader(folder);
  const auto& blobs = reader.info().blobs;
  const auto words = blobs.find("vocabulary");
  Require(words != blobs.end(), ExitCode::kInvalidData, folder, " holds no vocabulary");
  LoadedModel loaded{ParseConfig(reader.info().config_text),
                     ParseVocabulary(words->second),
                     data::Tokenizer(ParseVocabulary(words->second).wordpieces),
                     nullptr,
                     reader.info().step,
                     folder};
  loaded.model = BuildModel(loaded.config, loaded.vocabulary, device);
  LoadState(reader, loaded.model->parameters(), nullptr);
  if (loaded.config.model.knowledge.enabled)
    LoadKnowledgeRows(reader, loaded.config, loaded.model.get());
  loaded.model->eval();
  return loaded;
}

}  // namespace vesalius::trainer
