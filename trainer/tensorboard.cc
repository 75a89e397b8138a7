#include "trainer/tensorboard.h"

#include <unistd.h>

#include <cstdio>

#include "base/hash.h"
#include "base/host.h"
#include "base/strings.h"
#include "base/wall_clock.h"
#include "trainer/events.pb.h"

namespace vesalius::trainer {
namespace {

// The attempt follows the seconds in the name, since TensorBoard reads the files of a folder in the
// order of their names.
std::string NewPath(const std::string& folder, int attempt) {
  char name[400];
  std::snprintf(name, sizeof(name), "/events.out.tfevents.%010lld.%06d.%s.%d",
                static_cast<long long>(WallNow()), attempt, HostName().c_str(), ::getpid());
  return folder + name;
}

void AppendLittleEndian(std::string* out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

std::uint32_t MaskedCrc(const char* data, std::size_t bytes) {
  const std::uint32_t crc = Crc32c(data, bytes);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

std::string Version() {
  EventProto version;
  version.set_wall_time(WallNow());
  version.set_file_version("brain.Event:2");
  return TfRecord(version.SerializeAsString());
}

std::string Start(std::int64_t first_step) {
  EventProto start;
  start.set_wall_time(WallNow());
  start.set_step(first_step);
  start.mutable_session_log()->set_status(SessionLogProto::START);
  return TfRecord(start.SerializeAsString());
}

}  // namespace

std::string TfRecord(const std::string& message) {
  std::string frame;
  AppendLittleEndian(&frame, message.size(), 8);
  AppendLittleEndian(&frame, MaskedCrc(frame.data(), 8), 4);
  frame += message;
  AppendLittleEndian(&frame, MaskedCrc(message.data(), message.size()), 4);
  return frame;
}

EventWriter::EventWriter(const std::string& folder, int attempt, std::int64_t first_step)
    : file_(NewPath(folder, attempt), Version() + Start(first_step)) {}

void EventWriter::SessionStart(std::int64_t first_step) { file_.Append(Start(first_step)); }

void EventWriter::Scalars(std::int64_t step,
                          const std::vector<std::pair<std::string, double>>& values) {
  EventProto event;
  event.set_wall_time(WallNow());
  event.set_step(step);
  for (const auto& [tag, value] : values) {
    SummaryProto::Value* out = event.mutable_summary()->add_value();
    out->set_tag(tag);
    out->set_simple_value(static_cast<float>(value));
  }
  file_.Append(TfRecord(event.SerializeAsString()));
}

}  // namespace vesalius::trainer
