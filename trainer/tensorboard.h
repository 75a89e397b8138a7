// TensorBoard event files: TFRecord frames (length, masked CRC-32C, bytes, masked CRC-32C) of Event
// messages. One file an attempt; each begins with a session start, by which TensorBoard drops what
// an earlier attempt wrote from that step on, so that curves of a resumed run show no zigzag.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trainer/record_file.h"

namespace vesalius::trainer {

class EventWriter {
 public:
  // A file in `folder` that sorts after those of earlier attempts; the first Write() makes both.
  // Points of earlier files at steps >= `first_step` are superseded. Errors: kCannotCreate.
  EventWriter(const std::string& folder, int attempt, std::int64_t first_step);

  // Points at steps >= `first_step`, of this file too, are superseded by what follows.
  void SessionStart(std::int64_t first_step);
  // One event with all values, by tag. All of it is in the file after Write().
  void Scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values);
  void Write() { file_.Write(); }
  void Sync() { file_.Sync(); }

 private:
  RecordFile file_;
};

// A frame of the TFRecord format around `message`.
std::string TfRecord(const std::string& message);

}  // namespace vesalius::trainer
