// metrics.jsonl, evals.jsonl, TensorBoard event files and the progress line.
#include "trainer/run_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <future>
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
#include "trainer/record_file.h"
#include "trainer/sink_queue.h"
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
    RunRecord run({dir.path(), 1, 0, 3, ""});
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
    RunRecord run({dir.path(), 1, 0, 10, ""});
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
    RunRecord run({dir.path(), 2, 4, 10, ""});
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
  { RunRecord run({dir.path(), 3, 5, 10, ""}); }
  EXPECT_EQ(Lines(metrics).size(), 5u);
  EXPECT_FALSE(Exists(metrics + ".3"));
  { RunRecord run({dir.path(), 4, 0, 10, ""}); }
  EXPECT_EQ(FileSize(metrics), 0u);
  EXPECT_EQ(Lines(metrics + ".4").size(), 5u);
}

TEST(RunRecordTest, AFolderThatCannotBeWrittenIsRefusedAtTheStart) {
  try {
    RunRecord run({"/proc/vesalius", 1, 0, 10, ""});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kCannotCreate);
    EXPECT_THAT(error.what(), HasSubstr("/proc/vesalius"));
  }
}

TEST(RunRecordTest, EventsThatCannotBeWrittenAreLostAlone) {
  const TempDir dir;
  WriteFileAtomic(dir.path() + "/events", "in the way");
  {
    RunRecord run({dir.path(), 1, 0, 10, ""});
    run.Step(Record(1));
    run.Flush();
    EXPECT_GT(run.dropped(), 0);
  }
  EXPECT_THAT(ReadFile(dir.path() + "/metrics.jsonl"), HasSubstr("\"step\":1"));
}

// A disk that is full for a while: lines of that time are missing and counted, no line is torn, and
// no other place loses any.
TEST(RunRecordTest, AFullDiskLosesItsOwnLinesOnly) {
  const TempDir dir;
  RunRecord run({dir.path(), 1, 0, 100, ""});
  std::atomic<bool> full = false;
  SetFileFault([&](FileOp op, const std::string& path) {
    return full && op == FileOp::kWrite && path.ends_with("metrics.jsonl") ? ENOSPC : 0;
  });
  for (int step = 1; step <= 30; ++step) {
    run.Flush();
    full = step > 10 && step <= 20;
    run.Step(Record(step));
  }
  run.Flush();
  SetFileFault(nullptr);
  const auto lines = Lines(dir.path() + "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 20u);
  EXPECT_EQ(json::parse(lines[9])["step"], 10);
  EXPECT_EQ(json::parse(lines[10])["step"], 21);
  EXPECT_EQ(run.dropped(), 10);
  const auto board = ReadEvents(dir.path() + "/events/" + ListDir(dir.path() + "/events")[0]);
  EXPECT_EQ(board.size(), 32u);
}

TEST(RunRecordTest, ACommitWaitsForTheLinesAlone) {
  const TempDir dir;
  RunRecord run({dir.path(), 1, 0, 100, ""});
  std::promise<void> release;
  SetFileFault([stuck = release.get_future().share()](FileOp op, const std::string& path) {
    if (op == FileOp::kWrite && path.find("tfevents") != std::string::npos) stuck.wait();
    return 0;
  });
  run.Step(Record(1));
  const auto start = std::chrono::steady_clock::now();
  run.Sync();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
  EXPECT_EQ(Lines(dir.path() + "/metrics.jsonl").size(), 1u);
  release.set_value();
  run.Flush();
  SetFileFault(nullptr);
}

TEST(RunRecordTest, APartlyWrittenLineIsCutOff) {
  const TempDir dir;
  RecordFile file(dir.path() + "/lines");
  file.Append("{\"step\":1}\n");
  file.Write();
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{20, before.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  file.Append("{\"step\":2,\"loss\":0.125}\n");
  EXPECT_THROW(file.Write(), Error);
  ::setrlimit(RLIMIT_FSIZE, &before);
  file.Append("{\"step\":3}\n");
  file.Write();
  EXPECT_EQ(ReadFile(dir.path() + "/lines"), "{\"step\":1}\n{\"step\":3}\n");
}

// A roll-back within an attempt leaves every step once, in the lines and for TensorBoard.
TEST(RunRecordTest, ARollBackMovesWhatItUndoes) {
  const TempDir dir;
  RunRecord run({dir.path(), 1, 0, 10, ""});
  for (int step = 1; step <= 6; ++step) run.Step(Record(step));
  run.RollBack(4);
  for (int step = 5; step <= 8; ++step) run.Step(Record(step));
  run.RollBack(7);
  run.Step(Record(8));
  run.Flush();
  const auto lines = Lines(dir.path() + "/metrics.jsonl"),
             moved = Lines(dir.path() + "/metrics.jsonl.1");
  ASSERT_EQ(lines.size(), 8u);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(json::parse(lines[i])["step"], i + 1);
  ASSERT_EQ(moved.size(), 3u);
  EXPECT_EQ(json::parse(moved[2])["step"], 8);
  const auto board = ReadEvents(dir.path() + "/events/" + ListDir(dir.path() + "/events")[0]);
  std::vector<std::int64_t> starts;
  for (const EventProto& event : board)
    if (event.has_session_log()) starts.push_back(event.step());
  EXPECT_EQ(starts, (std::vector<std::int64_t>{1, 5, 8}));
}

TEST(SinkQueueTest, AStuckPlaceNeverBlocks) {
  std::promise<void> release;
  std::shared_future<void> stuck = release.get_future().share();
  {
    SinkQueue queue("stuck", 8);
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 1000; ++i) queue.Post([stuck] { stuck.wait(); });
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
    EXPECT_FALSE(queue.Flush(0.05));
    EXPECT_GE(queue.dropped(), 990);
  }
  release.set_value();
}

TEST(PrometheusTest, TheFileIsReplacedAsAWhole) {
  const TempDir dir;
  const std::string path = dir.path() + "/odd \"run\".prom";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);  // also a pipe that nobody reads
  {
    RunRecord run({dir.path(), 2, 3, 10, path});
    run.Committed(3);
    run.Step(Record(4));
    run.Evaluation(4, {{"mean_iou", 0.75}});
  }
  const std::string text = ReadFile(path);
  for (const char* line :
       {"vesalius_step{run=\"", "\"} 4\n", "vesalius_committed_step{", "vesalius_loss_part{run=\"",
        ",loss=\"loss_fine\"} 2\n", ",phase=\"forward\"} 0.5\n", ",figure=\"mean_iou\"} 0.75\n",
        "# TYPE vesalius_step gauge\n"})
    EXPECT_THAT(text, HasSubstr(line));
  for (const std::string& line : Split(text.substr(0, text.size() - 1), '\n'))
    EXPECT_TRUE(line.rfind("# ", 0) == 0 || line.rfind("vesalius_", 0) == 0) << line;
  EXPECT_EQ(text.back(), '\n');
  for (const std::string& name : ListDir(dir.path()))
    EXPECT_EQ(name.find(".tmp"), std::string::npos);
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
    RunRecord run({dir.path(), attempt, attempt == 1 ? 0 : 2, 10, ""});
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

TEST(RecordFileTest, AFileThatCouldNotBeOpenedAtFirstHasItsHead) {
  const TempDir dir;
  const std::string folder = dir.path() + "/events", path = folder + "/board";
  WriteFileAtomic(folder, "no folder");
  RecordFile file(path, "head ");
  file.Append("lost ");
  EXPECT_THROW(file.Write(), Error);
  ASSERT_TRUE(std::filesystem::remove(folder));
  for (const char* piece : {"first ", "second"}) {
    file.Append(piece);
    file.Write();
  }
  EXPECT_EQ(ReadFile(path), "head first second");
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
