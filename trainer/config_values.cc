#include "trainer/config_values.h"

#include "trainer/config.pb.h"
#include "trainer/config_check.h"
#include "trainer/config_model.h"

namespace vesalius::trainer {
namespace {

using check::kMany;

constexpr int kMostSlices = 16;

TrainerConfig ReadTrainer(const TrainerProto& in) {
  check::Range<std::int64_t>("trainer.steps", in.steps(), 1, kMany);
  check::Range<std::int64_t>("trainer.global_batch", in.global_batch(), 1, 1 << 24);
  check::Range<std::int64_t>("trainer.accumulate", in.accumulate(), 1, 1 << 16);
  check::Range("trainer.threads", in.threads(), 0, 1024);
  check::Range<std::int64_t>("trainer.checkpoint_every", in.checkpoint_every(), 0, kMany);
  check::Range("trainer.keep", in.keep(), 2, 1 << 20);
  check::Range<std::int64_t>("trainer.eval_every", in.eval_every(), 0, kMany);
  check::Range<std::int64_t>("trainer.audit_every", in.audit_every(), 0, kMany);
  check::Number("trainer.lr", in.lr(), 1e-12, 1e3);
  check::Number("trainer.weight_decay", in.weight_decay(), 0, 1e3);
  check::Number("trainer.warmup", in.warmup(), 0, 0.999);
  check::Number("trainer.min_lr", in.min_lr(), 0, 1);
  check::Number("trainer.clip", in.clip(), 0, 1e6);
  check::Number("trainer.beta1", in.beta1(), 0, 0.9999999);
  check::Number("trainer.beta2", in.beta2(), 0, 0.9999999);
  check::Number("trainer.eps", in.eps(), 1e-20, 1);
  check::Number("trainer.stage1", in.stage1(), 0, 1);
  check::Number("trainer.stage2", in.stage2(), 0, 1);
  check::Number("trainer.stage1 + trainer.stage2", in.stage1() + in.stage2(), 0, 1);
  check::OneOf("trainer.precision", in.precision(), {"float32", "float64", "bfloat16"});
  check::Range("trainer.slices", in.slices(), 0, kMostSlices);
  return {.steps = in.steps(),
          .global_batch = in.global_batch(),
          .accumulate = in.accumulate(),
          .threads = in.threads(),
          .checkpoint_every = in.checkpoint_every(),
          .keep = in.keep(),
          .eval_every = in.eval_every(),
          .deterministic = in.deterministic(),
          .lr = in.lr(),
          .weight_decay = in.weight_decay(),
          .warmup = in.warmup(),
          .min_lr = in.min_lr(),
          .clip = in.clip(),
          .beta1 = in.beta1(),
          .beta2 = in.beta2(),
          .eps = in.eps(),
          .stage1 = in.stage1(),
          .stage2 = in.stage2(),
          .float64 = in.precision() == "float64",
          .bfloat16 = in.precision() == "bfloat16",
          .audit_every = in.audit_every(),
          .slices = in.slices()};
}

DataConfig ReadData(const DataProto& in, int positions) {
  check::Range("data.workers", in.workers(), 0, 1024);
  check::Range("data.rows", in.rows(), 1, 29);
  check::Number("data.perturb", in.perturb(), 0, 1);
  check::Range("data.text_length", in.text_length(), 2, positions);
  check::Range("data.report_length", in.report_length(), 0, positions);
  check::Number("data.mean", in.mean(), 0, 1);
  check::Number("data.std", in.std(), 1e-6, 10);
  check::Number("data.min_crop", in.min_crop(), 0.1, 1);
  check::Number("data.max_shift", in.max_shift(), 0, 0.5);
  check::Number("data.max_rotate", in.max_rotate(), 0, 45);
  check::Number("data.brightness", in.brightness(), 0, 1);
  check::Number("data.contrast", in.contrast(), 0, 1);
  const auto tail = check::Choice<data::Tail>(
      "data.tail", in.tail(),
      {{"drop", data::Tail::kDrop}, {"pad", data::Tail::kPad}, {"short", data::Tail::kShort}});
  check::Range<std::int64_t>("data.max_unreadable", in.max_unreadable(), 0, kMany);
  return {.workers = in.workers(),
          .vocab = in.vocab(),
          .rows = in.rows(),
          .perturb = in.perturb(),
          .text_length = in.text_length(),
          .report_length = in.report_length(),
          .mean = in.mean(),
          .std = in.std(),
          .augment = in.augment(),
          .min_crop = in.min_crop(),
          .max_shift = in.max_shift(),
          .max_rotate = in.max_rotate(),
          .brightness = in.brightness(),
          .contrast = in.contrast(),
          .tail = tail,
          .max_unreadable = in.max_unreadable(),
          .token_cache = in.token_cache()};
}

DistConfig ReadDist(const DistProto& in) {
  using dist::ExchangeMode;
  check::Range<std::int64_t>("dist.bucket_bytes", in.bucket_bytes(), 64, 1ll << 32);
  check::Number("dist.deadline", in.deadline(), 0.1, 1e6);
  const auto mode = check::Choice<ExchangeMode>("dist.exchange", in.exchange(),
                                                {{"all_reduce", ExchangeMode::kAllReduce},
                                                 {"zero1", ExchangeMode::kZero1},
                                                 {"hybrid", ExchangeMode::kHybrid}});
  check::OneOf("dist.wire", in.wire(), {"float32", "bfloat16"});
  check::OneOf("dist.table", in.table(), {"plan", "replicated", "rows", "columns"});
  check::Range<std::int64_t>("dist.table_mb", in.table_mb(), 0, std::int64_t{1} << 30);
  return {.bucket_bytes = in.bucket_bytes(),
          .deadline = in.deadline(),
          .exchange = mode,
          .bfloat16_wire = in.wire() == "bfloat16",
          .table = in.table(),
          .table_mb = in.table_mb()};
}

CheckpointConfig ReadCheckpoint(const CheckpointProto& in) {
  check::Number("checkpoint.deadline", in.deadline(), 0.1, 1e6);
  check::Number("checkpoint.wait", in.wait(), 0, 1e6);
  check::Range<std::int64_t>("checkpoint.host_mb", in.host_mb(), 0, std::int64_t{1} << 30);
  check::Range<std::int64_t>("checkpoint.keep_every", in.keep_every(), 0, kMany);
  return {.deadline = in.deadline(),
          .wait = in.wait(),
          .host_mb = in.host_mb(),
          .keep_every = in.keep_every(),
          .keep_best = in.keep_best()};
}

WatchConfig ReadWatch(const WatchProto& in) {
  check::Range<std::int64_t>("watch.max_skipped", in.max_skipped(), 0, 1000);
  check::Number("watch.spike", in.spike(), 0, 1e9);
  const auto action = check::Choice<SpikeAction>("watch.action", in.action(),
                                                 {{"flag", SpikeAction::kFlag},
                                                  {"skip", SpikeAction::kSkip},
                                                  {"roll_back", SpikeAction::kRollBack}});
  check::Range<std::int64_t>("watch.window", in.window(), 16, 10000);
  check::Range<std::int64_t>("watch.max_rollbacks", in.max_rollbacks(), 0, 1000);
  check::Range<std::int64_t>("watch.replica_every", in.replica_every(), 0, kMany);
  return {.max_skipped = in.max_skipped(),
          .spike = in.spike(),
          .action = action,
          .window = in.window(),
          .max_rollbacks = in.max_rollbacks(),
          .replica_every = in.replica_every()};
}

RecordConfig ReadRecord(const RecordProto& in) {
  check::Range<std::int64_t>("record.span_every", in.span_every(), 0, kMany);
  return {.span_every = in.span_every(), .prometheus = in.prometheus()};
}

void CheckSlices(const TrainerConfig& trainer, const model::ModelConfig& model) {
  if (trainer.slices == 0) return;
  check::Multiple("trainer.global_batch", trainer.global_batch, "trainer.slices", trainer.slices);
  Require(trainer.accumulate == 1, ExitCode::kConfig,
          "trainer.slices and trainer.accumulate both cut the batch: set one of them to its "
          "default");
  Require(!model.knowledge.enabled && !model.text.table, ExitCode::kConfig,
          "trainer.slices keeps no order for the updates of tables: set it to 0, or "
          "model.knowledge.enabled and model.text.table to false");
}

void CheckTogether(const Config& config) {
  CheckSlices(config.trainer, config.model);
  Require(config.model.loss.pair == 0 || config.data.report_length >= 2, ExitCode::kConfig,
          "loss.pair needs reports: data.report_length must be at least 2");
  Require(!config.dist.bfloat16_wire || !config.trainer.float64, ExitCode::kConfig,
          "dist.wire = bfloat16 does not go with trainer.precision = float64: set "
          "dist.wire=float32, which then means the gradients' own type");
}

}  // namespace

Config ReadConfig(const ConfigProto& in) {
  Config config;
  config.seed = in.seed();
  config.trainer = ReadTrainer(in.trainer());
  config.model = ReadModel(in.model(), in.loss(), in.dist());
  config.data = ReadData(in.data(), config.model.text.positions);
  config.dist = ReadDist(in.dist());
  config.checkpoint = ReadCheckpoint(in.checkpoint());
  config.watch = ReadWatch(in.watch());
  config.record = ReadRecord(in.record());
  CheckTogether(config);
  return config;
}

}  // namespace vesalius::trainer
