// A process says in which calls it is, when asked, and goes on.
#include "base/stack_dump.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/file.h"
#include "tests/util/temp_dir.h"

namespace vesalius::stack {
namespace {

using testing::HasSubstr;

TEST(StackDumpTest, NamesTheCallsAndGoesOn) {
  const TempDir dir;
  const pid_t pid = ::fork();
  if (pid == 0) {
    AnswerIn(dir.path(), 5);
    if (!Read(dir.path(), 5).empty()) std::_Exit(1);  // nobody has asked
    ::raise(Signal());
    std::_Exit(7);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_THAT(Read(dir.path(), 5), testing::Contains(HasSubstr("libc.so.6: __libc_start_main+0x")));
}

TEST(StackDumpTest, ATornAnswerIsNone) {
  const TempDir dir;
  WriteFileAtomic(dir.path() + "/rank-0.stack", "/lib/libc.so.6(pause+0x12) [0x1]\n");
  EXPECT_TRUE(Read(dir.path(), 0).empty());
  WriteFileAtomic(dir.path() + "/rank-0.stack",
                  "/lib/libx.so(_ZN1a1bEi+0x12) [0x1]\n/lib/libx.so(+0x34) [0x2]\nend\n");
  EXPECT_THAT(Read(dir.path(), 0),
              testing::ElementsAre("libx.so: a::b(int)+0x12", "libx.so: +0x34"));
}

}  // namespace
}  // namespace vesalius::stack
