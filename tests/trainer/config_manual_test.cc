// docs/config.md says what the program does: every key once, its default, whether it may change on
// resume.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "base/file.h"
#include "base/strings.h"
#include "trainer/config.h"
#include "trainer/config_changes.h"

namespace vesalius::trainer {
namespace {

struct Row {
  std::string default_value;
  bool may_change = false;
};

// The table's rows by key; a row may hold several keys with as many defaults.
std::map<std::string, Row> Documented() {
  const char* root = std::getenv("VESALIUS_SOURCE");
  std::map<std::string, Row> rows;
  for (const std::string& line :
       Split(ReadFile(StrCat(root == nullptr ? "." : root, "/docs/config.md")), '\n')) {
    if (line.rfind("| `", 0) != 0) continue;
    const std::vector<std::string> cells = Split(line, '|');
    const std::vector<std::string> keys = Split(cells.at(1), ','), values = Split(cells.at(2), ',');
    EXPECT_EQ(keys.size(), values.size()) << line;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::string key = Replace(std::string(Trim(keys[i])), "`", "");
      const bool fresh =
          rows.emplace(key, Row{std::string(Trim(values.at(i))), Trim(cells.at(4)) == "yes"})
              .second;
      EXPECT_TRUE(fresh) << key << " is there twice";
    }
  }
  return rows;
}

// The same configuration with another value on line `index`.
std::string Changed(std::vector<std::string> lines, std::size_t index) {
  const std::size_t colon = lines[index].find(": ");
  const std::string value = lines[index].substr(colon + 2);
  lines[index].resize(colon + 2);
  lines[index] += value == "true"    ? "false"
                  : value == "false" ? "true"
                  : value[0] == '"'  ? "\"x\""
                                     : "7";
  return Join(lines, "\n");
}

TEST(ConfigManual, HasEveryKeyWithDefaultAndResume) {
  std::map<std::string, Row> rows = Documented();
  const std::string text = ParseConfig("").text;
  const std::vector<std::string> lines = Split(text, '\n');
  std::vector<std::string> blocks;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string line(Trim(lines[i]));
    const std::size_t colon = line.find(": ");
    if (line == "}") blocks.pop_back();
    if (line.ends_with(" {")) blocks.push_back(line.substr(0, line.size() - 1) + ".");
    if (colon == std::string::npos) continue;
    const std::string key = Replace(Join(blocks, "") + line.substr(0, colon), " ", "");
    const std::string value = line.substr(colon + 2);
    ASSERT_TRUE(rows.contains(key)) << "docs/config.md lacks " << key;
    const Row row = rows.extract(key).mapped();
    if (std::isdigit(value.back())) {
      EXPECT_EQ(std::stod(row.default_value), std::stod(value)) << key;
    } else {
      EXPECT_EQ(row.default_value, value) << key;
    }
    EXPECT_EQ(ForbiddenChanges(text, Changed(lines, i)).empty(), row.may_change) << key;
  }
  for (const auto& [key, row] : rows)
    ADD_FAILURE() << "docs/config.md has " << key << ", which is no key";
}

}  // namespace
}  // namespace vesalius::trainer
