#include "trainer/config_text.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include "base/error.h"
#include "base/strings.h"
#include "trainer/config.pb.h"

namespace vesalius::trainer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// The first error that a parser reports.
class FirstError : public google::protobuf::io::ErrorCollector {
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

// The nearest name, where `error` is protobuf's: Message type "..." has no field named "lrr".
std::string Hint(const std::string& error) {
  const std::string mark = "has no field named \"";
  const size_t at = error.find(mark);
  if (at == std::string::npos) return "";
  std::vector<std::string> names;
  for (const std::string& key : AllKeys())
    for (const std::string& part : Split(key, '.')) names.push_back(part);
  return DidYouMean(Split(error.substr(at + mark.size()), '"')[0], names);
}

}  // namespace

ConfigProto ParseConfigText(const std::string& text, const std::string& origin) {
  ConfigProto config;
  FirstError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(text, &config))
    Fail(ExitCode::kConfig, origin, ": ", error.text(), Hint(error.text()));
  return config;
}

void ApplySetting(const std::string& setting, ConfigProto* config) {
  const size_t equals = setting.find('=');
  Require(equals != std::string::npos && equals > 0, ExitCode::kConfig, "--set ", setting,
          ": expected key=value, e.g. --set trainer.lr=1e-4");
  const std::string key(Trim(setting.substr(0, equals)));
  std::string value(Trim(setting.substr(equals + 1)));
  const auto [message, field] = Find(config, key);
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && (value.empty() || value[0] != '"'))
    value = StrCat('"', Replace(Replace(value, "\\", "\\\\"), "\"", "\\\""), '"');
  message->GetReflection()->ClearField(message, field);
  FirstError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFieldValueFromString(value, field, message))
    Fail(ExitCode::kConfig, "--set ", key, "=", setting.substr(equals + 1), ": not a ",
         field->cpp_type_name(), " value");
}

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

}  // namespace vesalius::trainer
