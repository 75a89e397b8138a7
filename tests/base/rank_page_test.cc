// What an agent sees of a rank: a page that another process wrote, while it lives and when it
// ended.
#include "base/rank_page.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <stdexcept>
#include <thread>

#include "tests/util/temp_dir.h"

namespace vesalius::page {
namespace {

// What a process that did `body` on a page of its own left there.
std::shared_ptr<const Page> After(const std::string& folder, const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    Open(folder, 3);
    body();
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  const auto page = Read(folder, 3);
  EXPECT_NE(page, nullptr);
  EXPECT_EQ(page->pid, pid);
  return page;
}

std::int64_t EnteredAt(const Page& page, Section section) {
  return page.sections[static_cast<int>(section)].entered_at;
}

TEST(RankPageTest, IsNotThereBeforeTheRankOpensIt) {
  const TempDir dir;
  EXPECT_EQ(Read(dir.path(), 3), nullptr);
}

TEST(RankPageTest, ShowsStepsPhasesCollectivesAndErrors) {
  const TempDir dir;
  const auto page = After(dir.path(), [] {
    for (int step = 1; step <= 3; ++step) SetStep(100 + step, {1.F * step, 2, 3});
    SetCommitted(96);
    for (int i = 0; i < kCollectivesKept; ++i) Collective("bucket " + std::to_string(i));
    const Waiting waiting(
        Collective("a name that is longer than the forty-eight bytes of its slot"));
    SetError("no space left");
    std::_Exit(1);
  });
  EXPECT_EQ(page->step, 103);
  EXPECT_EQ(page->steps, 3);
  EXPECT_EQ(page->phases[2][0], 3.F);
  EXPECT_EQ(page->committed, 96);
  EXPECT_EQ(page->waiting, kCollectivesKept + 1U);
  EXPECT_EQ(CollectiveName(*page, page->waiting),
            "a name that is longer than the forty-eight bytes");
  EXPECT_EQ(CollectiveName(*page, kCollectivesKept), "bucket 63");
  EXPECT_EQ(CollectiveName(*page, 1), "") << "its slot was used again";
  EXPECT_EQ(page->error.Get(), "no space left");
  EXPECT_EQ(page->exit_code, -1) << "_exit says nothing";
}

TEST(RankPageTest, OuterSectionsStandStillDuringInnerOnes) {
  const TempDir dir;
  const auto page = After(dir.path(), [] {
    const In outer(Section::kStep);
    {
      const In inner(Section::kStage);
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
    }
    std::thread([] {
      const In other(Section::kWrite);
      std::_Exit(EnteredAt(Mine(), Section::kStep) > 0 ? 0 : 1);
    }).join();
  });
  EXPECT_EQ(EnteredAt(*page, Section::kStage), 0);
  EXPECT_GT(EnteredAt(*page, Section::kWrite), 0);
  EXPECT_LT(EnteredAt(*page, Section::kWrite) - EnteredAt(*page, Section::kStep), 50'000'000)
      << "the inner section's time must not count";
  EXPECT_GE(page->sections[static_cast<int>(Section::kStage)].longest, 60'000'000);
  EXPECT_EQ(page->sections[static_cast<int>(Section::kStage)].times, 1);
}

TEST(RankPageTest, NotesTheSectionThatAnErrorWasThrownIn) {
  const TempDir a, b, c;
  const auto fail = [] {
    const In load(Section::kLoad);
    const In inner(Section::kStage);
    throw std::runtime_error("no space left");
  };
  const auto caught = [&] {
    try {
      fail();
    } catch (const std::runtime_error&) {
    }
  };
  EXPECT_EQ(After(a.path(), caught)->failed_in, 1 + static_cast<int>(Section::kStage));
  EXPECT_EQ(After(b.path(),
                  [&] {
                    caught();
                    const In next(Section::kStep);
                    std::_Exit(1);
                  })
                ->failed_in,
            0)
      << "it went on";
  EXPECT_EQ(After(c.path(),
                  [&] {
                    const In outer(Section::kStep);
                    caught();
                  })
                ->failed_in,
            0)
      << "it went on";
}

TEST(RankPageTest, TellsHowAProcessEnded) {
  const TempDir a, b, c, d;
  EXPECT_EQ(After(a.path(), [] { std::exit(7); })->exit_code, 7);
  EXPECT_EQ(After(b.path(), [] { std::abort(); })->signal, SIGABRT);
  EXPECT_EQ(After(c.path(), [] { ::raise(SIGSEGV); })->signal, SIGSEGV);
  const auto killed = After(d.path(), [] { ::raise(SIGKILL); });
  EXPECT_EQ(killed->signal, 0);
  EXPECT_EQ(killed->exit_code, -1);
}

}  // namespace
}  // namespace vesalius::page
