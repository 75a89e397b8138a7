#include "trainer/config_model.h"

#include "trainer/config.pb.h"
#include "trainer/config_check.h"

namespace vesalius::trainer {
namespace {

model::VisionConfig ReadVision(const ModelProto& in) {
  check::Range("model.image_size", in.image_size(), 8, 4096);
  check::Range("model.patch_size", in.patch_size(), 1, 256);
  check::Multiple("model.image_size", in.image_size(), "model.patch_size", in.patch_size());
  Require(in.channels() == 1 || in.channels() == 3, ExitCode::kConfig,
          "model.channels = ", in.channels(), " must be 1 or 3");
  check::Range("model.width", in.width(), 4, 65536);
  check::Range("model.depth", in.depth(), 1, 256);
  check::Range("model.heads", in.heads(), 1, 1024);
  check::Multiple("model.width", in.width(), "model.heads", in.heads());
  check::Range("model.mlp", in.mlp(), 1, 1 << 20);
  check::OneOf("model.positions", in.positions(), {"sincos", "normal"});
  if (in.positions() == "sincos") check::Multiple("model.width", in.width(), "4 (sincos)", 4);
  check::Number("model.token_std", in.token_std(), 0, 100);
  return {.image_size = in.image_size(),
          .patch_size = in.patch_size(),
          .channels = in.channels(),
          .width = in.width(),
          .depth = in.depth(),
          .heads = in.heads(),
          .mlp = in.mlp(),
          .positions = in.positions(),
          .token_std = in.token_std()};
}

model::TextConfig ReadText(const TextProto& in) {
  check::Range("model.text.width", in.width(), 1, 65536);
  check::Range("model.text.depth", in.depth(), 1, 256);
  check::Range("model.text.heads", in.heads(), 1, 1024);
  check::Multiple("model.text.width", in.width(), "model.text.heads", in.heads());
  check::Range("model.text.mlp", in.mlp(), 1, 1 << 20);
  check::Range("model.text.positions", in.positions(), 2, 65536);
  check::OneOf("model.text.pooling", in.pooling(), {"cls", "mean"});
  Require(!in.table() || in.frozen(), ExitCode::kConfig,
          "model.text.table keeps the vectors of a frozen text encoder: set model.text.frozen too");
  return {.vocabulary = 0,
          .width = in.width(),
          .depth = in.depth(),
          .heads = in.heads(),
          .mlp = in.mlp(),
          .positions = in.positions(),
          .pooling = in.pooling(),
          .frozen = in.frozen(),
          .table = in.table()};
}

model::KnowledgeConfig ReadKnowledge(const KnowledgeProto& in, int width) {
  check::Range("model.knowledge.heads", in.heads(), 1, 1024);
  if (in.enabled()) check::Multiple("model.width", width, "model.knowledge.heads", in.heads());
  check::Range("model.knowledge.rows", in.rows(), 1, 1024);
  check::OneOf("model.knowledge.optimiser", in.optimiser(), {"adam", "adagrad"});
  return {
      .enabled = in.enabled(), .heads = in.heads(), .rows = in.rows(), .optimiser = in.optimiser()};
}

model::LossConfig ReadLoss(const LossProto& in) {
  for (const auto& [key, value] : {std::pair<const char*, double>{"loss.anatomy", in.anatomy()},
                                   {"loss.presence", in.presence()},
                                   {"loss.global", in.global()},
                                   {"loss.fine", in.fine()},
                                   {"loss.pair", in.pair()},
                                   {"loss.l1", in.l1()},
                                   {"loss.giou", in.giou()},
                                   {"loss.knowledge", in.knowledge()}})
    check::Number(key, value, 0, 1e6);
  return {.anatomy = in.anatomy(),
          .presence = in.presence(),
          .global = in.global(),
          .fine = in.fine(),
          .pair = in.pair(),
          .l1 = in.l1(),
          .giou = in.giou(),
          .knowledge = in.knowledge()};
}

model::ContrastConfig ReadContrast(const LossProto& loss, const DistProto& dist) {
  check::OneOf("loss.pair_form", loss.pair_form(), {"infonce", "siglip"});
  check::OneOf("loss.positives", loss.positives(), {"share", "drop"});
  check::Number("loss.skip_epsilon", loss.skip_epsilon(), 0, 0.01);
  check::OneOf("dist.contrast", dist.contrast(), {"gather", "hybrid", "ring"});
  check::Range<std::int64_t>("dist.logit_cache_mb", dist.logit_cache_mb(), 0, 1 << 20);
  return {.pair_form = loss.pair_form(),
          .positives = loss.positives(),
          .contrast = dist.contrast(),
          .logit_cache_bytes = dist.logit_cache_mb() << 20,
          .skip_epsilon = loss.skip_epsilon()};
}

}  // namespace

model::ModelConfig ReadModel(const ModelProto& in, const LossProto& loss, const DistProto& dist) {
  model::ModelConfig out;
  out.vision = ReadVision(in);
  check::Range("model.embed_dim", in.embed_dim(), 1, 65536);
  check::Number("model.temperature", in.temperature(), 0.01, 0.5);
  check::Number("model.label_scale", in.label_scale(), 1e-3, 1e3);
  check::Number("model.label_bias", in.label_bias(), -100, 100);
  check::Number("model.dropout", in.dropout(), 0, 0.9);
  out.embed_dim = in.embed_dim();
  out.temperature = in.temperature();
  out.label_scale = in.label_scale();
  out.label_bias = in.label_bias();
  out.dropout = in.dropout();
  out.text = ReadText(in.text());
  out.knowledge = ReadKnowledge(in.knowledge(), in.width());
  out.loss = ReadLoss(loss);
  out.contrast = ReadContrast(loss, dist);
  return out;
}

}  // namespace vesalius::trainer
