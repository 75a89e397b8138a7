// How ranks meet: the file store (with threads as ranks, each with a bootstrap of its own), what
// the environment must say, and who is watched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "dist/bootstrap.h"
#include "dist/bootstrap_kinds.h"
#include "dist/peers.h"
#include "tests/dist/conformance.h"
#include "tests/util/message_of.h"
#include "tests/util/temp_dir.h"

namespace vesalius::dist {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

TEST(FileStore, RanksMeetAndExchange) {
  const TempDir folder;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto bootstrap = MakeFileBootstrap(folder.path(), rank, 3, milliseconds(10'000));
      EXPECT_STREQ(bootstrap->kind(), "file");
      EXPECT_EQ(bootstrap->node_rank(), rank);
      EXPECT_EQ(bootstrap->node_size(), 3);
      for (const std::string suffix : {"\na\0b", "", "x"}) {
        const auto all = bootstrap->Exchange("ids", std::to_string(rank) + suffix);
        for (int r = 0; r < 3; ++r) EXPECT_EQ(all[r], std::to_string(r) + suffix);
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  // A second attempt in the same folder would meet the ghosts of the first.
  EXPECT_THAT(MessageOf(ExitCode::kConfig,
                        [&] { MakeFileBootstrap(folder.path(), 0, 3, milliseconds(100)); }),
              AllOf(HasSubstr(folder.path()), HasSubstr("fresh folder")));
}

// Threads stand for the processes of one node.
TEST(FileStore, RanksOfOneNodeCommunicateThroughSharedMemory) {
  for (int size : {1, 2, 3}) {
    const TempDir folder;
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back([&, rank] {
        const auto bootstrap = MakeFileBootstrap(folder.path(), rank, size, milliseconds(10'000));
        const auto comm = bootstrap->MakeCommunicator(Device::kCpu, {});
        EXPECT_STREQ(comm->backend(), "node");
        RunConformance(*comm, true);
      });
    }
    for (std::thread& rank : ranks) rank.join();
  }
}

// In a child, since limits and signals are a process's own.
TEST(FileStore, SharedMemoryThatCannotBeHadIsSaidOnAllRanks) {
  const TempDir folder;
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1 << 16, 1 << 16};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::atomic<int> told = 0;
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < 2; ++rank) {
      ranks.emplace_back([&, rank] {
        try {
          const auto bootstrap = MakeFileBootstrap(folder.path(), rank, 2, milliseconds(10'000));
          bootstrap->MakeCommunicator(Device::kCpu, {});
        } catch (const Error& error) {
          const std::string message = error.what();
          const bool clear = error.code() == ExitCode::kNodeUnhealthy &&
                             message.find("File too large") != message.npos &&
                             message.find("rank 0") != message.npos;
          if (clear) ++told;
        }
      });
    }
    for (std::thread& rank : ranks) rank.join();
    _exit(told == 2 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(FileStore, AMissingRankIsNamed) {
  const TempDir folder;
  EXPECT_THAT(MessageOf(ExitCode::kPeerLost,
                        [&] { MakeFileBootstrap(folder.path(), 0, 2, milliseconds(100)); }),
              AllOf(HasSubstr("'start'"), HasSubstr("rank 1 did not arrive")));
}

TEST(FileStore, DifferentExchangesAreNamed) {
  const TempDir folder;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto bootstrap = MakeFileBootstrap(folder.path(), rank, 2, milliseconds(10'000));
      EXPECT_THAT(
          MessageOf(ExitCode::kBug, [&] { bootstrap->Exchange(rank == 0 ? "here" : "there", ""); }),
          AllOf(HasSubstr("'here'"), HasSubstr("'there'")));
    });
  }
  for (std::thread& rank : ranks) rank.join();
}

TEST(FileStore, WrongNumbersAreRefused) {
  const TempDir folder;
  EXPECT_THAT(MessageOf(ExitCode::kConfig,
                        [&] { MakeFileBootstrap(folder.path(), 2, 2, milliseconds(100)); }),
              HasSubstr("VESALIUS_RANK=2"));
}

TEST(MakeBootstrap, AloneWithoutALauncher) {
  const auto bootstrap = MakeBootstrap();
  EXPECT_STREQ(bootstrap->kind(), "single");
  EXPECT_EQ(bootstrap->size(), 1);
  EXPECT_EQ(bootstrap->Exchange("ids", "me"), std::vector<std::string>{"me"});
  const auto comm = bootstrap->MakeCommunicator(Device::kCpu, {});
  EXPECT_STREQ(comm->backend(), "local");
  EXPECT_THAT(MessageOf(ExitCode::kConfig, [&] { bootstrap->MakeCommunicator(Device::kCuda, {}); }),
              HasSubstr("--device cpu"));
}

TEST(MakeBootstrap, AStoreNeedsRankAndSize) {
  const TempDir folder;
  setenv("VESALIUS_STORE", folder.path().c_str(), 1);
  EXPECT_THAT(MessageOf(ExitCode::kConfig, [] { MakeBootstrap(); }), HasSubstr("VESALIUS_RANK"));
  setenv("VESALIUS_RANK", "0", 1);
  setenv("VESALIUS_SIZE", "one", 1);
  EXPECT_THAT(MessageOf(ExitCode::kConfig, [] { MakeBootstrap(); }),
              HasSubstr("VESALIUS_SIZE=one"));
  setenv("VESALIUS_SIZE", "1", 1);
  const auto bootstrap = MakeBootstrap();
  EXPECT_STREQ(bootstrap->kind(), "file");
  for (const char* name : {"VESALIUS_STORE", "VESALIUS_RANK", "VESALIUS_SIZE"}) unsetenv(name);
}

TEST(MakeBootstrap, SrunWithoutPmixSaysWhatToDo) {
  setenv("SLURM_STEP_NUM_TASKS", "4", 1);
  setenv("SLURM_PROCID", "1", 1);
  EXPECT_THAT(MessageOf(ExitCode::kConfig, [] { MakeBootstrap(); }), HasSubstr("--mpi=pmix"));
  unsetenv("SLURM_STEP_NUM_TASKS");
  unsetenv("SLURM_PROCID");
}

TEST(PeerWatch, SeesAKilledProcessAlsoBeforeItIsReaped) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  Peer other = ThisProcess();
  other.pid = child;
  Peer elsewhere = other;
  elsewhere.machine = elsewhere.node = "another node";
  const std::vector<Peer> peers{ThisProcess(), DecodePeer(Encode(other)), elsewhere};
  EXPECT_EQ(PlaceOnNode(peers, 1), std::make_pair(1, 2));
  EXPECT_EQ(NodesOf(peers), (std::vector<int>{0, 0, 1}));
  PeerWatch watch(peers, {0, 1, 2}, 0);
  EXPECT_EQ(watch.FindDead(), std::nullopt);
  kill(child, SIGKILL);
  std::optional<std::string> dead;
  for (int i = 0; i < 500 && !dead; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    dead = watch.FindDead();
  }
  EXPECT_THAT(dead.value_or(""), AllOf(HasSubstr("rank 1"), HasSubstr(std::to_string(child))));
  waitpid(child, nullptr, 0);
}

TEST(WidenAffinity, LeavesADeliberateBindingAlone) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "one processor only";
  EXPECT_EQ(WidenAffinity(2), "");
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  sched_setaffinity(0, sizeof(one), &one);
  EXPECT_THAT(WidenAffinity(2), HasSubstr("taskset"));
  EXPECT_EQ(WidenAffinity(1), "");
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  EXPECT_THAT(WidenAffinity(1), HasSubstr("it may now use"));
  unsetenv("OMPI_COMM_WORLD_SIZE");
  cpu_set_t after;
  sched_getaffinity(0, sizeof(after), &after);
  EXPECT_GE(CPU_COUNT(&after), 2);
}

}  // namespace
}  // namespace vesalius::dist
