#include "trainer/config.h"

#include <google/protobuf/text_format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/strings.h"
#include "trainer/config.pb.h"
#include "trainer/config_text.h"
#include "trainer/config_values.h"
#include "trainer/presets.h"

namespace vesalius::trainer {
namespace {

Config Resolve(ConfigProto proto) {
  FillDefaults(&proto);
  Config config = ReadConfig(proto);
  google::protobuf::TextFormat::PrintToString(proto, &config.text);
  return config;
}

ConfigProto ParsePreset(const std::string& name) {
  for (const Preset& preset : kPresets)
    if (name == preset.name) return ParseConfigText(preset.text, StrCat("preset ", name));
  Fail(ExitCode::kConfig, "no preset '", name, "'", DidYouMean(name, PresetNames()), "; there are ",
       Join(PresetNames(), ", "));
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
  ConfigProto proto = file.empty() ? ParsePreset(preset) : ParseConfigText(ReadFile(file), file);
  for (const std::string& setting : settings) ApplySetting(setting, &proto);
  Config config = Resolve(std::move(proto));
  // Asked of a start only: what older checkpoints were made with can still be read.
  Require(config.checkpoint.keep_best.empty() || config.trainer.eval_every > 0, ExitCode::kConfig,
          "checkpoint.keep_best = ", config.checkpoint.keep_best,
          " needs evaluations: set trainer.eval_every, or leave it out");
  return config;
}

Config ParseConfig(const std::string& text) {
  return Resolve(ParseConfigText(text, "the checkpoint's configuration"));
}

}  // namespace vesalius::trainer
