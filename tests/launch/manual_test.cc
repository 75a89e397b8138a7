// docs/manual.md says what the program says: every flag, every example, every exit code.
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "base/strings.h"
#include "launch/command.h"

namespace vesalius::launch {
namespace {

std::string Source(const std::string& path) {
  const char* root = std::getenv("VESALIUS_SOURCE");
  return ReadFile(StrCat(root == nullptr ? "." : root, "/", path));
}

// The part of the manual about one subcommand.
std::string Section(const std::string& manual, const std::string& name) {
  const std::size_t begin = manual.find("## vesalius " + name + "\n");
  if (begin == std::string::npos) return "";
  return manual.substr(begin, manual.find("\n## ", begin) - begin);
}

TEST(ManualTest, HasEveryFlagAndExample) {
  const std::string manual = Source("docs/manual.md");
  for (const Command& command : Commands()) {
    const std::string section = Section(manual, command.name);
    for (const Flag& flag : command.flags) {
      const std::string head =
          StrCat("| `--", flag.name, flag.value.empty() ? "" : " ", flag.value, "` | ", flag.help);
      EXPECT_NE(section.find(head), std::string::npos) << command.name << " lacks " << head;
    }
    for (const std::string& line : Split(command.example, '\n'))
      EXPECT_NE(section.find("    " + line + "\n"), std::string::npos)
          << command.name << " lacks " << line;
  }
}

TEST(ManualTest, HasEveryExitCodeOnce) {
  const std::string manual = Source("docs/manual.md");
  int codes = 0;
  for (const std::string& line : Split(Source("base/exit_codes.h"), '\n')) {
    const std::size_t equals = line.find(" = ");
    if (line.rfind("  k", 0) != 0 || equals == std::string::npos) continue;
    const std::string row = StrCat("\n| ", std::atoi(line.c_str() + equals + 3), " | ");
    const std::size_t at = manual.find(row);
    EXPECT_NE(at, std::string::npos) << "no row for" << line;
    EXPECT_EQ(manual.find(row, at + 1), std::string::npos) << "two rows for" << line;
    ++codes;
  }
  EXPECT_GE(codes, 15);
}

}  // namespace
}  // namespace vesalius::launch
