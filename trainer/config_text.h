// The Protobuf text of a configuration (trainer/config.proto) as a message: parsing, single
// settings, defaults. Names are checked here, and unknown ones answered with the nearest; values
// are checked by trainer/config_values.h. Errors: kConfig.
#pragma once

#include <string>

namespace google::protobuf {
class Message;
}

namespace vesalius::trainer {

class ConfigProto;

// `origin` says where the text is from, for people.
ConfigProto ParseConfigText(const std::string& text, const std::string& origin);

// `setting`: key=value with a dotted key; strings need no quotes.
void ApplySetting(const std::string& setting, ConfigProto* config);

// Every field present, defaults filled in: what "resolved" means.
void FillDefaults(google::protobuf::Message* message);

}  // namespace vesalius::trainer
