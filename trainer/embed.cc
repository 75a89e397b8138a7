// `vesalius embed`: images or texts -> vectors in a safetensors file.
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "data/images/image_codec.h"
#include "data/loader/augment.h"
#include "trainer/device.h"
#include "trainer/evaluation.h"
#include "trainer/export.h"
#include "trainer/model_setup.h"

namespace vesalius::trainer {
namespace {

constexpr std::size_t kBatch = 64;

std::vector<std::string> Lines(const std::string& path) {
  std::vector<std::string> lines = Split(ReadFile(path), '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  for (std::string& line : lines)
    if (!line.empty() && line.back() == '\r') line.pop_back();
  Require(!lines.empty(), ExitCode::kInvalidData, path, " has no lines");
  return lines;
}

void EmbedImages(const LoadedModel& loaded, const EmbedOptions& options) {
  const Config& config = loaded.config;
  const data::PipelineOptions loader = PixelOptions(config);
  const std::vector<std::string> paths = Lines(options.images);
  const at::TensorOptions like = loaded.model->parameters()[0].tensor.options();
  std::vector<at::Tensor> global, regions, boxes, presence;
  for (std::size_t begin = 0; begin < paths.size(); begin += kBatch) {
    const std::size_t end = std::min(paths.size(), begin + kBatch);
    std::vector<float> pixels;
    std::vector<data::Geometry> geometry;
    for (std::size_t i = begin; i < end; ++i) {
      data::Geometry g;
      const data::Image image = data::ResizePad(
          data::ToGrey(data::DecodeImage(ReadFile(paths[i]), paths[i])), loader.image_size, &g);
      std::vector<float> prepared(data::PixelCount(loader));
      data::Prepare(image, loader, prepared);
      pixels.insert(pixels.end(), prepared.begin(), prepared.end());
      geometry.push_back(g);
    }
    const auto n = static_cast<std::int64_t>(end - begin);
    const auto encoded = loaded.model->EncodeImages(
        at::from_blob(pixels.data(), {n, loader.channels, loader.image_size, loader.image_size},
                      at::kFloat)
            .to(like));
    global.push_back(encoded.global);
    regions.push_back(encoded.regions);
    presence.push_back(encoded.presence.sigmoid());
    for (std::int64_t i = 0; i < n; ++i)
      boxes.push_back(OriginalPixels(encoded.boxes[i].cpu(), geometry[i], loader.image_size));
  }
  WriteTensors(options.out, {{"global", at::cat(global)},
                             {"regions", at::cat(regions)},
                             {"boxes", at::stack(boxes)},
                             {"presence", at::cat(presence)}});
}

void EmbedTexts(const LoadedModel& loaded, const EmbedOptions& options) {
  const std::vector<std::string> texts = Lines(options.texts);
  const at::Device device = loaded.model->parameters()[0].tensor.device();
  std::vector<at::Tensor> parts;
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    std::vector<std::vector<std::int64_t>> ids;
    for (std::size_t i = begin; i < std::min(texts.size(), begin + kBatch); ++i)
      ids.push_back(
          loaded.tokenizer.EncodeWithSpecials(texts[i], loaded.config.model.text.positions));
    parts.push_back(loaded.model->EncodeTexts(PadIds(ids).to(device)));
  }
  WriteTensors(options.out, {{"text", at::cat(parts)}});
}

}  // namespace

void Embed(const EmbedOptions& options) {
  Require(options.images.empty() != options.texts.empty(), ExitCode::kUsage,
          "give exactly one of --images FILE and --texts FILE");
  const at::NoGradGuard no_grad;
  SetUpThreads(0, 1);
  const LoadedModel loaded = LoadModel(options.checkpoint, at::kCPU);
  if (!options.images.empty())
    EmbedImages(loaded, options);
  else
    EmbedTexts(loaded, options);
}

}  // namespace vesalius::trainer
