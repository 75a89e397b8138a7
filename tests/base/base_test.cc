// base/: hashes against published vectors, the random stream, nearest names, files under faults.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/agent_watch.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/isolated.h"
#include "base/log.h"
#include "base/random.h"
#include "tests/util/temp_dir.h"

namespace vesalius {
namespace {

TEST(Hash, Crc32cVectors) {
  EXPECT_EQ(Crc32c("123456789", 9), 0xE3069283u);  // RFC 3720, B.4 and the catalogue's check value
  const std::string zeros(32, '\0');
  EXPECT_EQ(Crc32c(zeros.data(), zeros.size()), 0x8A9136AAu);
  EXPECT_EQ(Crc32c("6789", 4, Crc32c("12345", 5)), 0xE3069283u);
}

TEST(Random, PhiloxKnownAnswers) {  // Random123's kat_vectors, philox4x32 10
  const std::array<std::uint32_t, 4> zero = Philox({0, 0, 0, 0}, {0, 0});
  EXPECT_EQ(zero, (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t f = 0xffffffff;
  EXPECT_EQ(Philox({f, f, f, f}, {f, f}),
            (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Random, StreamsAreKeyedAndUnbiased) {
  Random a(1, Purpose::kAugment, 2, 3), b(1, Purpose::kAugment, 2, 3),
      c(1, Purpose::kAugment, 3, 2);
  EXPECT_EQ(a.Next64(), b.Next64());
  EXPECT_NE(a.Next64(), c.Next64());
  double sum = 0, squares = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = a.Normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.03);
  EXPECT_NEAR(squares / kDraws, 1, 0.05);
}

TEST(Strings, NearestName) {
  EXPECT_EQ(Nearest("pretrian", {"phantom", "pretrain", "inspect"}), "pretrain");
  EXPECT_EQ(Nearest("zzz", {"phantom", "pretrain"}), "");
}

TEST(File, AtomicWriteGoesWhereALinkLeads) {
  const TempDir dir;
  const std::string real = dir.path() + "/real", link = dir.path() + "/link";
  std::filesystem::create_symlink("real", link);
  for (const char* text : {"made", "replaced"}) {
    WriteFileAtomic(link, text);
    EXPECT_EQ(ReadFile(real), text);
    EXPECT_TRUE(std::filesystem::is_symlink(link));
  }
  EXPECT_EQ(ListDir(dir.path()).size(), 2u);
}

TEST(File, NothingOfTheSystemIsReplaced) {
  const TempDir dir;
  const std::string path = dir.path() + "/file", link = dir.path() + "/link";
  WriteFileAtomic(path, "first ");
  const int fd = ::open(path.c_str(), O_WRONLY);
  ASSERT_GE(fd, 0);
  const std::string device = StrCat("/dev/fd/", fd);  // as /dev/stdout of `... >file`
  std::filesystem::create_symlink(device, link);
  WriteFileAtomic(device, "second ");
  WriteFileAtomic(link, "third");
  EXPECT_EQ(ReadFile(path), "first second third");
  ::close(fd);
}

TEST(File, WhatCannotBeLookedAtIsNotMissing) {
  const TempDir dir;
  const std::string loop = dir.path() + "/loop";
  EXPECT_TRUE(IsMissing(loop));
  std::filesystem::create_symlink("loop", loop);
  EXPECT_THROW(IsMissing(loop), Error);
}

TEST(File, AtomicWriteLeavesOldContentWhenTheDiskFills) {
  const TempDir dir;
  const std::string path = dir.path() + "/a.txt";
  WriteFileAtomic(path, "old");
  for (const FileOp op :
       {FileOp::kOpen, FileOp::kWrite, FileOp::kSync, FileOp::kClose, FileOp::kRename}) {
    SetFileFault([op](FileOp at, const std::string&) { return at == op ? ENOSPC : 0; });
    try {
      WriteFileAtomic(path, "new");
      ADD_FAILURE() << "no error for operation " << static_cast<int>(op);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kCannotCreate);
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("free some space"), std::string::npos);
    }
    SetFileFault(nullptr);
    EXPECT_EQ(ReadFile(path), "old");
    EXPECT_EQ(ListDir(dir.path()).size(), 1u);
  }
  EXPECT_THROW(WriteFileAtomic("/proc/nope", "x"), Error);
  EXPECT_THROW(
      {
        OutputFile full("/dev/full");
        full.Write("x");
        full.Close();
      },
      Error);
}

TEST(Log, AFileThatCannotBeOpenedIsToldOnTheScreen) {
  testing::internal::CaptureStderr();
  log::OpenFile("/proc/nope", 0);
  const std::string screen = testing::internal::GetCapturedStderr();
  EXPECT_NE(screen.find("warning: /proc/nope/rank-0000.log cannot be opened"), std::string::npos)
      << screen;
}

TEST(Isolated, ResultsErrorsAndEnds) {
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(RunIsolated([&] { return large; }), large);
  EXPECT_EQ(RunIsolated([] { return std::string(); }), "");
  const auto failure = [](const std::function<std::string()>& body, int seconds = 60) {
    try {
      RunIsolated(body, seconds);
    } catch (const Error& error) {
      return StrCat(static_cast<int>(error.code()), " ", error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(failure([]() -> std::string { Fail(ExitCode::kConfig, "no"); }), "78 no");
  EXPECT_EQ(failure([]() -> std::string { std::abort(); }),
            "65 the library that reads it gave up (signal 6)");
  EXPECT_EQ(failure(
                []() -> std::string {
                  while (true) ::usleep(1000);
                },
                1),
            "65 reading took longer than 1 s");
}

TEST(ProcessStatTest, AProcessThatEndsMeanwhileIsNone) {
  for (int child = 0; child < 300; ++child) {
    const pid_t pid = ::fork();
    if (pid == 0) ::_exit(0);
    std::thread reaper([pid] { ::waitpid(pid, nullptr, 0); });
    while (!ProcessStat(pid).empty()) {
    }
    reaper.join();
  }
}

}  // namespace
}  // namespace vesalius
