// The configuration of a run as plain structs. trainer/config.proto documents the keys and holds
// the defaults; this file only carries the values. All validation happens in LoadConfig, before
// anything starts: of the text in trainer/config_text.h, of the values in trainer/config_values.h.
#pragma once

#include <string>
#include <vector>

#include "data/loader/schedule.h"
#include "dist/bucket_plan.h"
#include "model/config.h"

namespace vesalius::trainer {

struct TrainerConfig {
  std::int64_t steps, global_batch, accumulate;
  int threads;
  std::int64_t checkpoint_every;
  int keep;
  std::int64_t eval_every;
  bool deterministic;
  double lr, weight_decay, warmup, min_lr, clip, beta1, beta2, eps, stage1, stage2;
  bool float64;   // of everything
  bool bfloat16;  // operands of the encoders' matrix products
  std::int64_t audit_every;
  std::int64_t slices;
};

struct DataConfig {
  int workers;
  std::string vocab;
  int rows;
  double perturb;
  int text_length, report_length;
  double mean, std;
  bool augment;
  double min_crop, max_shift, max_rotate, brightness, contrast;
  data::Tail tail;
  std::int64_t max_unreadable;
  bool token_cache;
};

struct DistConfig {
  std::int64_t bucket_bytes;
  double deadline;
  dist::ExchangeMode exchange;
  bool bfloat16_wire;
  std::string table;  // "plan" or a dist::TableStrategy's name
  std::int64_t table_mb;
};

struct CheckpointConfig {
  double deadline, wait;
  std::int64_t host_mb, keep_every;
  std::string keep_best;
};

// What a step that stands out leads to.
enum class SpikeAction { kFlag, kSkip, kRollBack };

struct WatchConfig {
  std::int64_t max_skipped;  // of 1,000 steps
  double spike;              // score from which a step stands out; 0: none does
  SpikeAction action;
  std::int64_t window;         // steps that the medians are over
  std::int64_t max_rollbacks;  // of 1,000 steps
  std::int64_t replica_every;  // steps; 0: never
};

struct RecordConfig {
  std::int64_t span_every;
  std::string prometheus;
};

struct Config {
  std::uint64_t seed;
  TrainerConfig trainer;
  model::ModelConfig model;  // text.vocabulary is filled once the vocabulary is known
  DataConfig data;
  DistConfig dist;
  CheckpointConfig checkpoint;
  WatchConfig watch;
  RecordConfig record;
  std::string text;  // all keys resolved, Protobuf text
};

// From a preset's name or a file (exactly one), then `key=value` settings. Unknown names, keys,
// malformed values and values out of range: Error(kConfig) that names the key, the range and the
// nearest name.
Config LoadConfig(const std::string& preset, const std::string& file,
                  const std::vector<std::string>& settings);

// A resolved configuration as a checkpoint keeps it.
Config ParseConfig(const std::string& text);

std::vector<std::string> PresetNames();

}  // namespace vesalius::trainer
