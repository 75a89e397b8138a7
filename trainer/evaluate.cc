#include "trainer/evaluate.h"

#include <iomanip>
#include <iostream>

#include "base/error.h"
#include "base/file.h"
#include "data/images/image_codec.h"
#include "data/loader/augment.h"
#include "dist/bootstrap.h"
#include "trainer/device.h"
#include "trainer/evaluation.h"
#include "trainer/model_setup.h"

namespace vesalius::trainer {
namespace {

constexpr int kPictures = 8;

void PrintTable(const Figures& figures) {
  std::cout << "\n";
  for (const auto& [name, value] : Headline(figures))
    std::cout << "  " << std::left << std::setw(32) << name << std::right << std::setw(10)
              << (value == std::floor(value) && value > 1 ? Fixed(value, 0) : Fixed(value, 4))
              << "\n";
  for (const auto& section : figures.items())
    if (section.value().is_object() && section.value().contains("reason"))
      std::cout << "  " << std::left << std::setw(32) << section.key()
                << "  not all figures: " << section.value()["reason"].get<std::string>() << "\n";
  std::cout << std::endl;
}

// Predicted boxes in colour beside the true ones in grey, on the stored film.
void DrawPredictions(model::AnatomyVlm& model, const Config& config, const data::Dataset& dataset,
                     const std::string& folder) {
  constexpr std::uint32_t kTrue = 0x808080;
  constexpr std::array<std::uint32_t, 6> kColours = {0xE6194B, 0x3CB44B, 0xFFE119,
                                                     0x4363D8, 0xF58231, 0x46F0F0};
  const at::NoGradGuard no_grad;
  MakeDirs(folder);
  const data::PipelineOptions options = PixelOptions(config);
  int drawn = 0;
  for (std::int64_t i = 0; i < dataset.size() && drawn < kPictures; ++i) {
    data::Record record;
    try {
      record = dataset.Get(i);
    } catch (const Error& error) {
      if (error.code() != ExitCode::kInvalidData) throw;
      continue;  // told and counted when the figures were computed
    }
    std::vector<float> pixels = data::Prepare(record, options);
    const at::Tensor like = model.parameters()[0].tensor;
    const at::Tensor image =
        at::from_blob(pixels.data(), {1, options.channels, options.image_size, options.image_size},
                      at::kFloat)
            .to(like.options());
    const auto encoded = model.EncodeImages(image);
    const at::Tensor boxes = encoded.boxes[0].to(at::kCPU, at::kFloat).contiguous();
    const at::Tensor presence = encoded.presence[0].to(at::kCPU, at::kFloat).contiguous();
    const auto box = boxes.accessor<float, 2>();
    const int zoom = std::max(1, 512 / record.image.width);
    data::Canvas canvas = data::ToCanvas(record.image, zoom);
    const auto draw = [&canvas](double cx, double cy, double w, double h, std::uint32_t colour) {
      data::DrawBox(canvas, (cx - w / 2) * canvas.width, (cy - h / 2) * canvas.height,
                    (cx + w / 2) * canvas.width, (cy + h / 2) * canvas.height, colour);
    };
    for (int r = 0; r < data::kRegions; ++r) {
      const data::Box& truth = record.boxes[r];
      if (record.box_valid[r]) draw(truth.cx, truth.cy, truth.w, truth.h, kTrue);
      if (presence[r].item<float>() > 0)
        draw(box[r][0], box[r][1], box[r][2], box[r][3], kColours[r % kColours.size()]);
    }
    data::WritePng(StrCat(folder, "/", std::setfill('0'), std::setw(3), drawn++, ".png"), canvas);
  }
}

Figures EvaluateRank(dist::Bootstrap& bootstrap, const EvaluateOptions& options) {
  const at::Device device = ChooseDevice(options.device, bootstrap.node_rank());
  SetUpThreads(0, bootstrap.node_size());
  const std::string step =
      dist::OnLead(bootstrap, "checkpoint", [&] { return StepToLoad(options.checkpoint); });
  const LoadedModel loaded = LoadModel(step, device);
  const auto dataset = data::OpenDataset(options.data[0], data::ParseSplit(options.split));
  Require(dataset->size() > 0, ExitCode::kInvalidData, options.data[0], " has no records in split ",
          options.split);
  const auto comm =
      bootstrap.MakeCommunicator(device.is_cuda() ? dist::Device::kCuda : dist::Device::kCpu, {});
  Figures figures = EvaluateDataset(*loaded.model, loaded.config, loaded.tokenizer, *dataset,
                                    options.task, *comm);
  if (bootstrap.rank() != 0) return figures;
  figures["checkpoint"] = loaded.folder;
  figures["step"] = loaded.step;
  figures["split"] = options.split;
  PrintTable(figures);
  if (!options.json.empty()) WriteFileAtomic(options.json, figures.dump(2) + "\n");
  if (!options.pictures.empty()) {
    DrawPredictions(*loaded.model, loaded.config, *dataset, options.pictures);
    std::cout << "  pictures of predicted boxes: " << options.pictures << "\n" << std::endl;
  }
  return figures;
}

}  // namespace

void DrawPictures(const std::string& checkpoint, const std::string& data,
                  const std::string& folder) {
  const LoadedModel loaded = LoadModel(checkpoint, at::kCPU);
  DrawPredictions(*loaded.model, loaded.config, *data::OpenDataset(data, data::Split::kTest),
                  folder);
}

nlohmann::json Evaluate(const EvaluateOptions& options) {
  const std::vector<std::string> tasks = {"all", "localisation", "retrieval", "zeroshot",
                                          "anatomy"};
  Require(std::find(tasks.begin(), tasks.end(), options.task) != tasks.end(), ExitCode::kUsage,
          "--task ", options.task, ": expected one of ", Join(tasks, ", "),
          DidYouMean(options.task, tasks));
  Require(options.data.size() == 1, ExitCode::kUsage, "give one data set with --data DIR");
  if (options.local_ranks > 0) {
    Figures figures;
    dist::RunLocalRanks(options.local_ranks, [&](dist::Bootstrap& bootstrap) {
      Figures mine = EvaluateRank(bootstrap, options);
      if (bootstrap.rank() == 0) figures = std::move(mine);
    });
    return figures;
  }
  return EvaluateRank(*dist::MakeBootstrap(), options);
}

}  // namespace vesalius::trainer
