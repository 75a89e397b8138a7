// metrics.jsonl, evals.jsonl, TensorBoard event files and the progress line.
#include "trainer/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "tests/util/temp_dir.h"
#include "trainer/events.pb.h"
#include "trainer/progress.h"
#include "trainer/tensorboard.h"

namespace vesalius::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<std::string> Lines(const std::string& path) {
  std::vector<std::string> lines = Split(ReadFile(path), '\n');
  if (lines.back().empty()) lines.pop_back();
  return lines;
}

StepRecord Record(std::int64_t step) {
  StepRecord record;
  record.step = step;
  record.samples = step * 8;
  record.loss = 1.0 / static_cast<double>(step);
  record.lr = 1e-4;
  record.losses = {{"loss_anat", 0.1 * static_cast<double>(step)}, {"loss_fine", 2}};
  record.seconds = {{"data", 0.25}, {"forward", 0.5}};
  record.counts = {{"unreadable", 3}};
  return record;
}

// An independent reader of the frames; fails the test on any wrong checksum.
std::vector<EventProto> ReadEvents(const std::string& path) {
  const std::string content = ReadFile(path);
  std::vector<EventProto> events;
  const auto checked = [&](std::size_t at, std::size_t bytes) {
    const std::uint32_t crc = Crc32c(content.data() + at, bytes);
    const std::uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
    std::uint32_t stored;
    std::memcpy(&stored, content.data() + at + bytes, 4);
    EXPECT_EQ(stored, masked);
  };
  std::size_t at = 0;
  while (at < content.size()) {
    std::uint64_t length;
    std::memcpy(&length, content.data() + at, 8);
    checked(at, 8);
    checked(at + 12, length);
    events.emplace_back();
    EXPECT_TRUE(events.back().ParseFromArray(content.data() + at + 12, static_cast<int>(length)));
    at += 16 + length;
  }
  EXPECT_EQ(at, content.size());
  return events;
}

TEST(RunRecordTest, OneJsonObjectAStepWithEveryKey) {
  const TempDir dir;
  {
    RunRecord run(dir.path(), 1, 0, 3);
    StepRecord odd = Record(1);
    odd.loss = 0.1 + 0.2;
    odd.grad_norm = std::numeric_limits<double>::quiet_NaN();
    odd.lr = 5e-324;
    run.Step(odd);
    run.Step(Record(3));
    run.Evaluation(3, {{"localisation.mean_iou", 0.75}});
    run.Flush();
  }
  const auto lines = Lines(dir.path() + "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  const json first = json::parse(lines[0]);
  EXPECT_EQ(first["loss"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(first["lr"].get<double>(), 5e-324);
  EXPECT_TRUE(first["grad_norm"].is_null());
  std::set<std::string> keys;
  for (const auto& [key, value] : first.items()) keys.insert(key);
  EXPECT_EQ(keys, (std::set<std::string>{"step", "samples", "loss", "loss_anat", "loss_fine", "lr",
                                         "grad_norm", "samples_per_s", "unreadable", "seconds"}));
  EXPECT_EQ(first["seconds"]["forward"], 0.5);
  EXPECT_EQ(json::parse(lines[1])["loss"].get<double>(), 1.0 / 3);
  EXPECT_EQ(json::parse(lines[1])["unreadable"].dump(), "3");
  EXPECT_EQ(Lines(dir.path() + "/evals.jsonl"),
            std::vector<std::string>{"{\"step\":3,\"localisation.mean_iou\":0.75}"});
}

TEST(RunRecordTest, ResumeMovesLaterAndTornLines) {
  const TempDir dir;
  const std::string metrics = dir.path() + "/metrics.jsonl";
  {
    RunRecord run(dir.path(), 1, 0, 10);
    for (int step = 1; step <= 6; ++step) run.Step(Record(step));
    run.Evaluation(3, {{"auc", 0.5}});
    run.Evaluation(6, {{"auc", 0.6}});
  }
  const auto before = Lines(metrics);
  {
    OutputFile torn(metrics, ExitCode::kCannotCreate, /*append=*/true);
    torn.Write("{\"step\":7,\"lo");
    torn.Close();
  }
  {
    RunRecord run(dir.path(), 2, 4, 10);
    run.Step(Record(5));
  }
  const auto after = Lines(metrics), moved = Lines(metrics + ".2");
  ASSERT_EQ(after.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(after[i], before[i]);
  ASSERT_EQ(moved.size(), 3u);
  EXPECT_EQ(moved[0], before[4]);
  EXPECT_EQ(moved[2], "{\"step\":7,\"lo");
  EXPECT_EQ(Lines(dir.path() + "/evals.jsonl").size(), 1u);
  EXPECT_EQ(Lines(dir.path() + "/evals.jsonl.2").size(), 1u);
  { RunRecord run(dir.path(), 3, 5, 10); }
  EXPECT_EQ(Lines(metrics).size(), 5u);
  EXPECT_FALSE(Exists(metrics + ".3"));
  { RunRecord run(dir.path(), 4, 0, 10); }
  EXPECT_EQ(FileSize(metrics), 0u);
  EXPECT_EQ(Lines(metrics + ".4").size(), 5u);
}

TEST(RunRecordTest, SinksThatFailAreNamed) {
  const auto message = [](const std::function<void()>& body) -> std::string {
    try {
      body();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kCannotCreate);
      return error.what();
    }
    return "";
  };
  const TempDir dir;
  std::filesystem::create_symlink("/dev/full", dir.path() + "/metrics.jsonl");
  {
    RunRecord run(dir.path(), 1, 0, 10);
    EXPECT_THAT(message([&] { run.Step(Record(1)); }),
                HasSubstr(dir.path() + "/metrics.jsonl: No space left on device"));
  }
  EXPECT_THAT(message([] { RunRecord run("/proc/vesalius", 1, 0, 10); }),
              HasSubstr("/proc/vesalius/metrics.jsonl"));
  const TempDir other;
  for (const char* sink : {"metrics.jsonl", "events.out"}) {
    RunRecord run(other.path(), 1, 0, 10);
    SetFileFault([&](FileOp op, const std::string& path) {
      return op == FileOp::kWrite && path.find(sink) != std::string::npos ? ENOSPC : 0;
    });
    EXPECT_THAT(message([&] { run.Step(Record(1)); }), HasSubstr(sink));
    SetFileFault(nullptr);
  }
}

TEST(TensorBoard, FramesAreThoseOfTorchSummaryWriter) {
  const char* given = std::getenv("VESALIUS_SHARED");
  const char* source = std::getenv("VESALIUS_SOURCE");
  if (given == nullptr && source == nullptr) GTEST_SKIP() << "VESALIUS_SOURCE is not set";
  const std::string path = (given ? std::string(given) : std::string(source) + "/../shared") +
                           "/data/formats/torch_summarywriter.tfevents";
  if (!Exists(path)) GTEST_SKIP() << path << " is not there";
  const auto events = ReadEvents(path);
  ASSERT_GT(events.size(), 2u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].summary().value(0).tag(), "Loss/train");
  std::string again;
  for (const EventProto& event : events) again += TfRecord(event.SerializeAsString());
  EXPECT_EQ(again, ReadFile(path));
}

TEST(TensorBoard, EveryAttemptBeginsWithASessionStart) {
  const TempDir dir;
  for (int attempt = 1; attempt <= 2; ++attempt) {
    RunRecord run(dir.path(), attempt, attempt == 1 ? 0 : 2, 10);
    for (int i = 1; i <= 3; ++i) run.Step(Record(i + (attempt == 1 ? 0 : 2)));
    run.Evaluation(5, {{"auc", 0.5}});
  }
  const auto files = ListDir(dir.path() + "/events");
  ASSERT_EQ(files.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_THAT(files[i], testing::StartsWith("events.out.tfevents."));
    const auto events = ReadEvents(dir.path() + "/events/" + files[i]);
    ASSERT_EQ(events.size(), 6u);
    EXPECT_EQ(events[1].session_log().status(), SessionLogProto::START);
    EXPECT_EQ(events[1].step(), i == 0 ? 1 : 3);
    EXPECT_EQ(events[2].step(), events[1].step());
    EXPECT_GT(events[2].wall_time(), 1.6e9);
    EXPECT_EQ(events[2].summary().value(0).tag(), "train/loss");
    EXPECT_EQ(events[5].summary().value(0).tag(), "eval/auc");
  }
}

TEST(ProgressTest, PlainLinesNowAndThenAndAtTheEnd) {
  std::ostringstream out;
  double now = 100;
  {
    Progress progress({0, 100, 0}, out, [&] { return now; });
    for (int step = 1; step <= 100; ++step) {
      now += 1;
      progress.Step(Record(step));
    }
  }
  const auto lines = Split(out.str(), '\n');
  EXPECT_EQ(lines.size(), 22u);  // steps 1, 6, ..., 96, 100, and what follows the last newline
  EXPECT_THAT(lines[1], HasSubstr("step 6/100"));
  EXPECT_THAT(lines[1], HasSubstr("ETA 0:01:34"));
  EXPECT_THAT(lines[1], HasSubstr("loss_anat 0.6"));
  EXPECT_THAT(lines[20], HasSubstr("step 100/100"));
  EXPECT_EQ(out.str().find('\r'), std::string::npos);
}

TEST(ProgressTest, ATerminalLineIsRedrawnWithinItsWidth) {
  std::ostringstream out;
  double now = 0;
  {
    Progress progress({50, 100, 40}, out, [&] { return now; });
    now = 10;
    progress.Step(Record(51));
    progress.Note("evaluation");
    progress.Step(Record(52));
  }
  const auto drawn = Split(out.str(), '\r');
  ASSERT_EQ(drawn.size(), 4u);
  EXPECT_THAT(drawn[1], testing::StartsWith("\x1b[2Kstep 51/100"));
  EXPECT_EQ(drawn[1].size(), 4u + 39);
  EXPECT_EQ(drawn[2], "\x1b[2Kevaluation\n");
  EXPECT_EQ(out.str().back(), '\n');
}

}  // namespace
}  // namespace vesalius::trainer
