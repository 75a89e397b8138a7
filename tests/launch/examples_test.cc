// The examples of the help, pasted into a shell one after another: each must work as it stands.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/strings.h"
#include "launch/command.h"
#include "tests/util/program.h"
#include "tests/util/temp_dir.h"

namespace vesalius::launch {
namespace {

TEST(ExamplesTest, WorkWhenPasted) {
  const TempDir dir;
  for (const Command& command : Commands()) {
    const std::string lines =
        Replace(Replace(command.example, "vesalius ", "\001"), "\001", "\"$VESALIUS_PROGRAM\" ");
    const Outcome outcome = Shell("set -e\nexport TMPDIR=" + dir.path() + "\n" + lines);
    EXPECT_EQ(outcome.status, 0) << command.name << ":\n" << lines << "\n" << outcome.output;
  }
}

}  // namespace
}  // namespace vesalius::launch
