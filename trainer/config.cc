#include "trainer/config.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "trainer/config.pb.h"
#include "trainer/presets.h"

namespace vesalius::trainer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// Keys that may change when a run goes on; the manual lists them too.
const std::set<std::string> kMayChange = {
    "trainer.steps",       "trainer.threads",       "trainer.checkpoint_every",
    "trainer.keep",        "trainer.eval_every",    "data.workers",
    "dist.bucket_bytes",   "dist.deadline",         "data.max_unreadable",
    "data.token_cache",    "trainer.audit_every",   "dist.contrast",
    "dist.logit_cache_mb", "dist.exchange",         "dist.table",
    "dist.table_mb",       "checkpoint.deadline",   "checkpoint.wait",
    "checkpoint.host_mb",  "checkpoint.keep_every", "checkpoint.keep_best",
    "watch.max_skipped",   "watch.spike",           "watch.action",
    "watch.window",        "watch.max_rollbacks",   "watch.replica_every",
    "record.span_every",   "record.prometheus"};

class Collector : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text_.empty()) text_ = StrCat("line ", line + 1, ", column ", column + 1, ": ", message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void ListKeys(const google::protobuf::Descriptor& type, const std::string& prefix,
              std::vector<std::string>* keys) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string name = prefix + field.name();
    if (field.message_type() != nullptr)
      ListKeys(*field.message_type(), name + ".", keys);
    else
      keys->push_back(name);
  }
}

std::vector<std::string> AllKeys() {
  std::vector<std::string> keys;
  ListKeys(*ConfigProto::descriptor(), "", &keys);
  return keys;
}

// The message and field that a dotted key names.
std::pair<Message*, const FieldDescriptor*> Find(ConfigProto* config, const std::string& key) {
  Message* message = config;
  const std::vector<std::string> path = Split(key, '.');
  for (size_t i = 0; i < path.size(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(path[i]);
    const bool last = i + 1 == path.size();
    if (field == nullptr || last == (field->message_type() != nullptr))
      Fail(ExitCode::kConfig, "unknown configuration key '", key, "'", DidYouMean(key, AllKeys()),
           "; `vesalius pretrain --preset demo --check` prints all keys");
    if (last) return {message, field};
    message = message->GetReflection()->MutableMessage(message, field);
  }
  Fail(ExitCode::kConfig, "empty configuration key");
}

void Set(ConfigProto* config, const std::string& setting) {
  const size_t equals = setting.find('=');
  Require(equals != std::string::npos && equals > 0, ExitCode::kConfig, "--set ", setting,
          ": expected key=value, e.g. --set trainer.lr=1e-4");
  const std::string key(Trim(setting.substr(0, equals)));
  std::string value(Trim(setting.substr(equals + 1)));
  const auto [message, field] = Find(config, key);
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && (value.empty() || value[0] != '"'))
    value = StrCat('"', Replace(Replace(value, "\\", "\\\\"), "\"", "\\\""), '"');
  message->GetReflection()->ClearField(message, field);
  Collector errors;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (!parser.ParseFieldValueFromString(value, field, message))
    Fail(ExitCode::kConfig, "--set ", key, "=", setting.substr(equals + 1), ": not a ",
         field->cpp_type_name(), " value");
}

// Every field present, defaults filled in: what "resolved" means.
void FillDefaults(Message* message) {
  const auto& reflection = *message->GetReflection();
  const auto& type = *message->GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    if (field->message_type() != nullptr) {
      FillDefaults(reflection.MutableMessage(message, field));
      continue;
    }
    if (reflection.HasField(*message, field)) continue;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        reflection.SetInt32(message, field, field->default_value_int32());
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        reflection.SetInt64(message, field, field->default_value_int64());
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        reflection.SetUInt64(message, field, field->default_value_uint64());
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        reflection.SetDouble(message, field, field->default_value_double());
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        reflection.SetBool(message, field, field->default_value_bool());
        break;
      default:
        reflection.SetString(message, field, field->default_value_string());
    }
  }
}

ConfigProto ParseText(const std::string& text, const std::string& origin) {
  ConfigProto config;
  Collector errors;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (!parser.ParseFromString(text, &config)) {
    // protobuf: Message type "..." has no field named "lrr".
    std::string hint;
    const std::string mark = "has no field named \"";
    if (const size_t at = errors.text().find(mark); at != std::string::npos) {
      const std::string word = Split(errors.text().substr(at + mark.size()), '"')[0];
      std::vector<std::string> names;
      for (const std::string& key : AllKeys())
        for (const std::string& part : Split(key, '.')) names.push_back(part);
      hint = DidYouMean(word, names);
    }
    Fail(ExitCode::kConfig, origin, ": ", errors.text(), hint);
  }
  return config;
}

// One named range check a line; `key` is what people would type.
class Checker {
 public:
  template <typename T>
  void Range(const char* key, T value, T low, T high) const {
    Require(value >= low && value <= high, ExitCode::kConfig, key, " = ", value,
            " is out of range [", low, ", ", high, "]");
  }
  void Number(const char* key, double value, double low, double high) const {
    Require(std::isfinite(value), ExitCode::kConfig, key, " must be a finite number");
    Range(key, value, low, high);
  }
  void OneOf(const char* key, const std::string& value,
             const std::vector<std::string>& choices) const {
    for (const std::string& choice : choices)
      if (choice == value) return;
    Fail(ExitCode::kConfig, key, " = '", value, "' must be one of ", Join(choices, ", "),
         DidYouMean(value, choices));
  }
  void Multiple(const char* key, std::int64_t value, const char* of, std::int64_t divisor) const {
    Require(value % divisor == 0, ExitCode::kConfig, key, " = ", value, " must be a multiple of ",
            of, " = ", divisor);
  }
};

constexpr int kMostSlices = 16;
constexpr std::int64_t kMany = std::int64_t{1} << 40;  // more than anyone counts to

TrainerConfig ReadTrainer(const TrainerProto& in, const Checker& check) {
  check.Range<std::int64_t>("trainer.steps", in.steps(), 1, kMany);
  check.Range<std::int64_t>("trainer.global_batch", in.global_batch(), 1, 1 << 24);
  check.Range<std::int64_t>("trainer.accumulate", in.accumulate(), 1, 1 << 16);
  check.Range("trainer.threads", in.threads(), 0, 1024);
  check.Range<std::int64_t>("trainer.checkpoint_every", in.checkpoint_every(), 0, kMany);
  check.Range("trainer.keep", in.keep(), 2, 1 << 20);
  check.Range<std::int64_t>("trainer.eval_every", in.eval_every(), 0, kMany);
  check.Range<std::int64_t>("trainer.audit_every", in.audit_every(), 0, kMany);
  check.Number("trainer.lr", in.lr(), 1e-12, 1e3);
  check.Number("trainer.weight_decay", in.weight_decay(), 0, 1e3);
  check.Number("trainer.warmup", in.warmup(), 0, 0.999);
  check.Number("trainer.min_lr", in.min_lr(), 0, 1);
  check.Number("trainer.clip", in.clip(), 0, 1e6);
  check.Number("trainer.beta1", in.beta1(), 0, 0.9999999);
  check.Number("trainer.beta2", in.beta2(), 0, 0.9999999);
  check.Number("trainer.eps", in.eps(), 1e-20, 1);
  check.Number("trainer.stage1", in.stage1(), 0, 1);
  check.Number("trainer.stage2", in.stage2(), 0, 1);
  check.Number("trainer.stage1 + trainer.stage2", in.stage1() + in.stage2(), 0, 1);
  check.OneOf("trainer.precision", in.precision(), {"float32", "float64", "bfloat16"});
  check.Range("trainer.slices", in.slices(), 0, kMostSlices);
  if (in.slices() > 0) {
    check.Multiple("trainer.global_batch", in.global_batch(), "trainer.slices", in.slices());
    Require(in.accumulate() == 1, ExitCode::kConfig,
            "trainer.slices and trainer.accumulate both cut the batch: set one of them to its "
            "default");
  }
  return {in.steps(),
          in.global_batch(),
          in.accumulate(),
          in.threads(),
          in.checkpoint_every(),
          in.keep(),
          in.eval_every(),
          in.deterministic(),
          in.lr(),
          in.weight_decay(),
          in.warmup(),
          in.min_lr(),
          in.clip(),
          in.beta1(),
          in.beta2(),
          in.eps(),
          in.stage1(),
          in.stage2(),
          in.precision() == "float64",
          in.precision() == "bfloat16",
          in.audit_every(),
          in.slices()};
}

model::ModelConfig ReadModel(const ModelProto& in, const LossProto& loss, const DistProto& dist,
                             const Checker& check) {
  check.Range("model.image_size", in.image_size(), 8, 4096);
  check.Range("model.patch_size", in.patch_size(), 1, 256);
  check.Multiple("model.image_size", in.image_size(), "model.patch_size", in.patch_size());
  Require(in.channels() == 1 || in.channels() == 3, ExitCode::kConfig,
          "model.channels = ", in.channels(), " must be 1 or 3");
  check.Range("model.width", in.width(), 4, 65536);
  check.Range("model.depth", in.depth(), 1, 256);
  check.Range("model.heads", in.heads(), 1, 1024);
  check.Multiple("model.width", in.width(), "model.heads", in.heads());
  check.Range("model.mlp", in.mlp(), 1, 1 << 20);
  check.Range("model.embed_dim", in.embed_dim(), 1, 65536);
  check.OneOf("model.positions", in.positions(), {"sincos", "normal"});
  if (in.positions() == "sincos") check.Multiple("model.width", in.width(), "4 (sincos)", 4);
  check.Number("model.token_std", in.token_std(), 0, 100);
  check.Number("model.temperature", in.temperature(), 0.01, 0.5);
  check.Number("model.label_scale", in.label_scale(), 1e-3, 1e3);
  check.Number("model.label_bias", in.label_bias(), -100, 100);
  check.Number("model.dropout", in.dropout(), 0, 0.9);
  const TextProto& text = in.text();
  check.Range("model.text.width", text.width(), 1, 65536);
  check.Range("model.text.depth", text.depth(), 1, 256);
  check.Range("model.text.heads", text.heads(), 1, 1024);
  check.Multiple("model.text.width", text.width(), "model.text.heads", text.heads());
  check.Range("model.text.mlp", text.mlp(), 1, 1 << 20);
  check.Range("model.text.positions", text.positions(), 2, 65536);
  check.OneOf("model.text.pooling", text.pooling(), {"cls", "mean"});
  Require(!text.table() || text.frozen(), ExitCode::kConfig,
          "model.text.table keeps the vectors of a frozen text encoder: set model.text.frozen too");
  const KnowledgeProto& knowledge = in.knowledge();
  check.Range("model.knowledge.heads", knowledge.heads(), 1, 1024);
  if (knowledge.enabled())
    check.Multiple("model.width", in.width(), "model.knowledge.heads", knowledge.heads());
  check.Range("model.knowledge.rows", knowledge.rows(), 1, 1024);
  check.OneOf("model.knowledge.optimiser", knowledge.optimiser(), {"adam", "adagrad"});
  for (const auto& [key, value] : {std::pair<const char*, double>{"loss.anatomy", loss.anatomy()},
                                   {"loss.presence", loss.presence()},
                                   {"loss.global", loss.global()},
                                   {"loss.fine", loss.fine()},
                                   {"loss.pair", loss.pair()},
                                   {"loss.l1", loss.l1()},
                                   {"loss.giou", loss.giou()},
                                   {"loss.knowledge", loss.knowledge()}})
    check.Number(key, value, 0, 1e6);
  check.OneOf("loss.pair_form", loss.pair_form(), {"infonce", "siglip"});
  check.OneOf("loss.positives", loss.positives(), {"share", "drop"});
  check.Number("loss.skip_epsilon", loss.skip_epsilon(), 0, 0.01);
  check.OneOf("dist.contrast", dist.contrast(), {"gather", "hybrid", "ring"});
  check.Range<std::int64_t>("dist.logit_cache_mb", dist.logit_cache_mb(), 0, 1 << 20);

  model::ModelConfig out;
  out.vision = {in.image_size(), in.patch_size(), in.channels(),  in.width(),    in.depth(),
                in.heads(),      in.mlp(),        in.positions(), in.token_std()};
  out.text = {0,           text.width(),     text.depth(),   text.heads(),
              text.mlp(),  text.positions(), text.pooling(), text.frozen(),
              text.table()};
  out.knowledge = {knowledge.enabled(), knowledge.heads(), knowledge.rows(), knowledge.optimiser()};
  out.embed_dim = in.embed_dim();
  out.temperature = in.temperature();
  out.label_scale = in.label_scale();
  out.label_bias = in.label_bias();
  out.loss = {loss.anatomy(), loss.presence(), loss.global(), loss.fine(),
              loss.pair(),    loss.l1(),       loss.giou(),   loss.knowledge()};
  out.dropout = in.dropout();
  out.contrast = {loss.pair_form(), loss.positives(), dist.contrast(), dist.logit_cache_mb() << 20,
                  loss.skip_epsilon()};
  return out;
}

DataConfig ReadData(const DataProto& in, int positions, double pair, const Checker& check) {
  check.Range("data.workers", in.workers(), 0, 1024);
  check.Range("data.rows", in.rows(), 1, 29);
  check.Number("data.perturb", in.perturb(), 0, 1);
  check.Range("data.text_length", in.text_length(), 2, positions);
  check.Range("data.report_length", in.report_length(), 0, positions);
  Require(pair == 0 || in.report_length() >= 2, ExitCode::kConfig,
          "loss.pair needs reports: data.report_length must be at least 2");
  check.Number("data.mean", in.mean(), 0, 1);
  check.Number("data.std", in.std(), 1e-6, 10);
  check.Number("data.min_crop", in.min_crop(), 0.1, 1);
  check.Number("data.max_shift", in.max_shift(), 0, 0.5);
  check.Number("data.max_rotate", in.max_rotate(), 0, 45);
  check.Number("data.brightness", in.brightness(), 0, 1);
  check.Number("data.contrast", in.contrast(), 0, 1);
  check.OneOf("data.tail", in.tail(), {"drop", "pad", "short"});
  check.Range<std::int64_t>("data.max_unreadable", in.max_unreadable(), 0, kMany);
  const data::Tail tail = in.tail() == "pad"     ? data::Tail::kPad
                          : in.tail() == "short" ? data::Tail::kShort
                                                 : data::Tail::kDrop;
  return {in.workers(),        in.vocab(),      in.rows(),       in.perturb(),  in.text_length(),
          in.report_length(),  in.mean(),       in.std(),        in.augment(),  in.min_crop(),
          in.max_shift(),      in.max_rotate(), in.brightness(), in.contrast(), tail,
          in.max_unreadable(), in.token_cache()};
}

DistConfig ReadDist(const DistProto& in, bool float64, const Checker& check) {
  check.Range<std::int64_t>("dist.bucket_bytes", in.bucket_bytes(), 64, 1ll << 32);
  check.Number("dist.deadline", in.deadline(), 0.1, 1e6);
  check.OneOf("dist.exchange", in.exchange(), {"all_reduce", "zero1", "hybrid"});
  check.OneOf("dist.wire", in.wire(), {"float32", "bfloat16"});
  const bool narrow = in.wire() == "bfloat16";
  Require(
      !narrow || !float64, ExitCode::kConfig,
      "dist.wire = bfloat16 does not go with trainer.precision = float64: set dist.wire=float32, "
      "which then means the gradients' own type");
  const auto mode = in.exchange() == "zero1"    ? dist::ExchangeMode::kZero1
                    : in.exchange() == "hybrid" ? dist::ExchangeMode::kHybrid
                                                : dist::ExchangeMode::kAllReduce;
  check.OneOf("dist.table", in.table(), {"plan", "replicated", "rows", "columns"});
  check.Range<std::int64_t>("dist.table_mb", in.table_mb(), 0, std::int64_t{1} << 30);
  return {in.bucket_bytes(), in.deadline(), mode, narrow, in.table(), in.table_mb()};
}

CheckpointConfig ReadCheckpoint(const CheckpointProto& in, const Checker& check) {
  check.Number("checkpoint.deadline", in.deadline(), 0.1, 1e6);
  check.Number("checkpoint.wait", in.wait(), 0, 1e6);
  check.Range<std::int64_t>("checkpoint.host_mb", in.host_mb(), 0, std::int64_t{1} << 30);
  check.Range<std::int64_t>("checkpoint.keep_every", in.keep_every(), 0, kMany);
  return {in.deadline(), in.wait(), in.host_mb(), in.keep_every(), in.keep_best()};
}

WatchConfig ReadWatch(const WatchProto& in, const Checker& check) {
  check.Range<std::int64_t>("watch.max_skipped", in.max_skipped(), 0, 1000);
  check.Number("watch.spike", in.spike(), 0, 1e9);
  check.OneOf("watch.action", in.action(), {"flag", "skip", "roll_back"});
  check.Range<std::int64_t>("watch.window", in.window(), 16, 10000);
  check.Range<std::int64_t>("watch.max_rollbacks", in.max_rollbacks(), 0, 1000);
  check.Range<std::int64_t>("watch.replica_every", in.replica_every(), 0, kMany);
  const SpikeAction action = in.action() == "skip"        ? SpikeAction::kSkip
                             : in.action() == "roll_back" ? SpikeAction::kRollBack
                                                          : SpikeAction::kFlag;
  return {in.max_skipped(), in.spike(),         action,
          in.window(),      in.max_rollbacks(), in.replica_every()};
}

RecordConfig ReadRecord(const RecordProto& in, const Checker& check) {
  check.Range<std::int64_t>("record.span_every", in.span_every(), 0, kMany);
  return {in.span_every(), in.prometheus()};
}

Config FromProto(ConfigProto proto) {
  FillDefaults(&proto);
  const Checker check;
  Config config;
  config.seed = proto.seed();
  config.trainer = ReadTrainer(proto.trainer(), check);
  config.model = ReadModel(proto.model(), proto.loss(), proto.dist(), check);
  config.data =
      ReadData(proto.data(), proto.model().text().positions(), proto.loss().pair(), check);
  config.dist = ReadDist(proto.dist(), config.trainer.float64, check);
  config.checkpoint = ReadCheckpoint(proto.checkpoint(), check);
  config.watch = ReadWatch(proto.watch(), check);
  config.record = ReadRecord(proto.record(), check);
  Require(
      config.trainer.slices == 0 || (!config.model.knowledge.enabled && !config.model.text.table),
      ExitCode::kConfig,
      "trainer.slices keeps no order for the updates of tables: set it to 0, or "
      "model.knowledge.enabled and model.text.table to false");
  TextFormat::PrintToString(proto, &config.text);
  return config;
}

void Compare(const Message& before, const Message& after, const std::string& prefix,
             std::vector<std::string>* changes) {
  const auto& type = *before.GetDescriptor();
  const auto& reflection = *before.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    const std::string key = prefix + field->name();
    if (field->message_type() != nullptr) {
      Compare(reflection.GetMessage(before, field), reflection.GetMessage(after, field), key + ".",
              changes);
      continue;
    }
    std::string was, is;
    TextFormat::PrintFieldValueToString(before, field, -1, &was);
    TextFormat::PrintFieldValueToString(after, field, -1, &is);
    if (was != is && kMayChange.count(key) == 0)
      changes->push_back(StrCat(key, " (", was, " -> ", is, ")"));
  }
}

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.push_back(preset.name);
  return names;
}

Config LoadConfig(const std::string& preset, const std::string& file,
                  const std::vector<std::string>& settings) {
  Require(preset.empty() != file.empty(), ExitCode::kUsage, "give exactly one of --preset NAME (",
          Join(PresetNames(), ", "), ") and --config FILE");
  ConfigProto proto;
  if (!file.empty()) {
    proto = ParseText(ReadFile(file), file);
  } else {
    const Preset* found = nullptr;
    for (const Preset& candidate : kPresets)
      if (preset == candidate.name) found = &candidate;
    Require(found != nullptr, ExitCode::kConfig, "no preset '", preset, "'",
            DidYouMean(preset, PresetNames()), "; there are ", Join(PresetNames(), ", "));
    proto = ParseText(found->text, StrCat("preset ", preset));
  }
  for (const std::string& setting : settings) Set(&proto, setting);
  return FromProto(std::move(proto));
}

Config ParseConfig(const std::string& text) {
  return FromProto(ParseText(text, "the checkpoint's configuration"));
}

std::vector<std::string> ForbiddenChanges(const std::string& before, const std::string& after) {
  ConfigProto was = ParseText(before, "the earlier configuration");
  ConfigProto is = ParseText(after, "the new configuration");
  FillDefaults(&was);
  FillDefaults(&is);
  std::vector<std::string> changes;
  Compare(was, is, "", &changes);
  return changes;
}

}  // namespace vesalius::trainer
