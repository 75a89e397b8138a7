// The run record: whole lines after a kill, no waiting for a full or stuck disk, rotation.
#include "base/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "base/strings.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::events {
namespace {

using nlohmann::json;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<json> Lines(const std::string& path) {
  std::vector<json> lines;
  for (const std::string& line : Split(ReadFile(path), '\n'))
    if (!line.empty()) lines.push_back(json::parse(line));
  return lines;
}

// Runs `body` as a thread with a log of its own.
void InThread(const std::function<void()>& body) { std::thread(body).join(); }

TEST(EventLog, NothingBeforeOpen) {
  InThread([] {
    Instant("early", 1);
    EXPECT_EQ(Dropped(), 0);
    EXPECT_TRUE(Flush(0));
  });
}

TEST(EventLog, EveryKindWithItsKeys) {
  const TempDir dir;
  InThread([&] {
    Open(dir.path(), "rank-0003", "run-a/2/5", 3);
    const double start = Now();
    Span("forward", start, 0.25, 7, {{"lane", "main"}});
    Instant("save.start", 8, {{"bytes", std::int64_t{1} << 40}, {"reason", "a \"b\"\n\\c"}});
    Scalar("loss", 0.1, 9, {{"odd", std::numeric_limits<double>::quiet_NaN()}});
    Failure("detect", -1, {{"cause", "rank 1"}, {"since", 1795906257.176}});
    { const Scope scope("init"); }
    ASSERT_TRUE(Flush(10));
    const std::vector<json> lines = Lines(dir.path() + "/events/rank-0003.jsonl");
    ASSERT_EQ(lines.size(), 5u);
    for (const json& line : lines) {
      EXPECT_EQ(line["token"], "run-a/2/5");
      EXPECT_EQ(line["rank"], 3);
      EXPECT_TRUE(line["host"].is_string());
      EXPECT_NEAR(line["t"].get<double>(), start, 5);
    }
    EXPECT_EQ(lines[0]["kind"], "span");
    EXPECT_EQ(lines[0]["dur"], 0.25);
    EXPECT_EQ(lines[0]["step"], 7);
    EXPECT_EQ(lines[0]["lane"], "main");
    EXPECT_EQ(lines[1]["kind"], "instant");
    EXPECT_EQ(lines[1]["bytes"], std::int64_t{1} << 40);
    EXPECT_EQ(lines[1]["reason"], "a \"b\"\n\\c");
    EXPECT_EQ(lines[2]["value"], 0.1);
    EXPECT_EQ(lines[2]["odd"], "nan");
    EXPECT_EQ(lines[3]["kind"], "failure");
    EXPECT_FALSE(lines[3].contains("step"));
    EXPECT_EQ(lines[3]["since"], 1795906257.176);  // times keep their milliseconds
    EXPECT_EQ(lines[4]["name"], "init");
    EXPECT_GT(Now() - ProcessStart(), 0);
    EXPECT_LT(Now() - ProcessStart(), 600);
  });
}

TEST(EventLog, RanksThatAreThreadsHaveTheirOwn) {
  const TempDir dir;
  const auto rank = [&](int r) {
    Open(dir.path(), StrCat("rank-000", r), "t/1/1", r);
    for (int i = 0; i < 1000; ++i) Instant("x", i);
    ASSERT_TRUE(Flush(10));
  };
  std::thread a(rank, 0), b(rank, 1);
  a.join(), b.join();
  for (int r = 0; r < 2; ++r) {
    const auto lines = Lines(StrCat(dir.path(), "/events/rank-000", r, ".jsonl"));
    ASSERT_EQ(lines.size(), 1000u);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(lines[i]["step"], i);
  }
}

// What a killed process wrote is there in whole lines, and a torn one of before stays alone.
TEST(EventLog, SurvivesAKill) {
  const TempDir dir;
  const std::string path = dir.path() + "/events/rank-0000.jsonl";
  MakeDirs(dir.path() + "/events");
  WriteFileAtomic(path, "{\"t\":1,\"na");
  const pid_t child = ::fork();
  if (child == 0) {
    Open(dir.path(), "rank-0000", "t/1/1", 0);
    for (int i = 0; i < 500; ++i) Instant("before", i);
    Flush(10);
    Instant("maybe", 500);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  const std::vector<std::string> lines = Split(ReadFile(path), '\n');
  ASSERT_GE(lines.size(), 502u);
  EXPECT_EQ(lines[0], "{\"t\":1,\"na");
  for (int i = 0; i < 500; ++i)
    EXPECT_EQ(json::parse(lines[static_cast<std::size_t>(i) + 1])["step"], i);
}

// Emits far more than the queue holds; the caller never waits.
void ExpectNoWaiting(const std::string& run) {
  Open(run, "rank-0000", "t/1/1", 0);
  double worst = 0;
  for (int i = 0; i < 20000; ++i) {
    const double start = Seconds();
    Instant("x", i);
    worst = std::max(worst, Seconds() - start);
  }
  EXPECT_LT(worst, 0.5);
}

TEST(EventLog, AStuckFileDropsAndCounts) {
  const TempDir dir;
  const std::string path = dir.path() + "/events/rank-0000.jsonl";
  MakeDirs(dir.path() + "/events");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDWR);  // a pipe that is open and never read
  InThread([&] {
    ExpectNoWaiting(dir.path());
    EXPECT_FALSE(Flush(0.2));
    EXPECT_GT(Dropped(), 1000);
  });
  ::close(reader);
}

TEST(EventLog, AFullDiskDropsAndCounts) {
  const TempDir dir;
  const std::string path = dir.path() + "/events/rank-0000.jsonl";
  MakeDirs(dir.path() + "/events");
  std::filesystem::create_symlink("/dev/full", path);
  InThread([&] {
    ExpectNoWaiting(dir.path());
    EXPECT_TRUE(Flush(10));
    EXPECT_EQ(Dropped(), 20000);
  });
}

TEST(EventLog, RotatesWithoutLosingALine) {
  const TempDir dir;
  InThread([&] {
    Open(dir.path(), "rank-0000", "t/1/1", 0);
    const std::string text(1 << 20, 'x');
    for (int i = 0; i < 70; ++i) {
      Instant("big", i, {{"text", text}});
      ASSERT_TRUE(Flush(30));
    }
    const auto old = Lines(dir.path() + "/events/rank-0000.1.jsonl"),
               now = Lines(dir.path() + "/events/rank-0000.jsonl");
    EXPECT_EQ(old.size() + now.size(), 70u);
    EXPECT_EQ(now.back()["step"], 69);
    EXPECT_EQ(now.front()["step"].get<int>(), old.back()["step"].get<int>() + 1);
  });
}

}  // namespace
}  // namespace vesalius::events
