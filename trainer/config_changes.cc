#include "trainer/config_changes.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <set>

#include "base/strings.h"
#include "trainer/config.pb.h"
#include "trainer/config_text.h"

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

std::vector<std::string> ForbiddenChanges(const std::string& before, const std::string& after) {
  ConfigProto was = ParseConfigText(before, "the earlier configuration");
  ConfigProto is = ParseConfigText(after, "the new configuration");
  FillDefaults(&was);
  FillDefaults(&is);
  std::vector<std::string> changes;
  Compare(was, is, "", &changes);
  return changes;
}

}  // namespace vesalius::trainer
