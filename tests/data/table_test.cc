// CSV by RFC 4180 with what real files do to it, and JSON Lines.
#include "data/import/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace vesalius::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Table, QuotesCommasNewlinesAndCrlf) {
  const Table table = ParseTable(
      "\xef\xbb\xbf"
      "file,text\r\n"
      "a.png,\"one, \"\"two\"\"\r\nthree\"\r\n"
      "\r\n"
      "b.png,plain \"inner\" quote\r\n"
      "c.png,\r\n"
      "\"d.png\",\"last\"",
      "t");
  EXPECT_THAT(table.columns, ElementsAre("file", "text"));
  ASSERT_EQ(table.rows.size(), 4u);
  EXPECT_THAT(table.rows[0].cells, ElementsAre("a.png", "one, \"two\"\r\nthree"));
  EXPECT_THAT(table.rows[1].cells, ElementsAre("b.png", "plain \"inner\" quote"));
  EXPECT_THAT(table.rows[2].cells, ElementsAre("c.png", ""));
  EXPECT_THAT(table.rows[3].cells, ElementsAre("d.png", "last"));
  EXPECT_EQ(table.rows[0].line, 2);
  EXPECT_EQ(table.rows[1].line, 5);
  for (const TableRow& row : table.rows) EXPECT_EQ(row.error, "");
}

TEST(Table, EmptyHeaderCellAndCaseOfNames) {
  const Table table = ParseTable(", Image ,TEXT\n0,a.png,hello\n", "t");
  EXPECT_THAT(table.columns, ElementsAre("", "Image", "TEXT"));
  EXPECT_EQ(table.Column("image"), 1);
  EXPECT_EQ(table.Column("text"), 2);
  EXPECT_EQ(table.Column("patient"), -1);
  EXPECT_THAT(table.rows[0].cells, ElementsAre("0", "a.png", "hello"));
}

TEST(Table, TabsSeparateWhereTheHeaderHasThem) {
  const Table table = ParseTable("filepath\ttitle\na.png\tone, two\n", "t");
  EXPECT_THAT(table.columns, ElementsAre("filepath", "title"));
  EXPECT_THAT(table.rows[0].cells, ElementsAre("a.png", "one, two"));
}

TEST(Table, RowsThatDoNotFitAreKeptWithTheReason) {
  const Table table = ParseTable("a,b\n1\n1,2,3\n1,2\n1,\"open\n", "t");
  ASSERT_EQ(table.rows.size(), 4u);
  EXPECT_THAT(table.rows[0].error, HasSubstr("1 cells under a header of 2"));
  EXPECT_THAT(table.rows[1].error, HasSubstr("3 cells"));
  EXPECT_EQ(table.rows[2].error, "");
  EXPECT_THAT(table.rows[3].error, HasSubstr("never closed"));
  for (const TableRow& row : table.rows) EXPECT_EQ(row.cells.size(), 2u);
}

TEST(Table, JsonLines) {
  const Table table = ParseTable(
      "{\"text\": \"x\\ny\", \"age\": 71, \"image\": \"a.png\"}\r\n"
      "\n"
      "{\"image\": \"b.png\", \"boxes\": {\"left lung\": [1, 2, 3, 4]}, \"text\": null}\n"
      "{\"image\": \n"
      "[1]\n",
      "t");
  ASSERT_EQ(table.rows.size(), 4u);
  const auto cell = [&](int row, const char* column) {
    return table.rows[row].cells[table.Column(column)];
  };
  EXPECT_EQ(cell(0, "text"), "x\ny");
  EXPECT_EQ(cell(0, "age"), "71");
  EXPECT_EQ(cell(0, "boxes"), "");
  EXPECT_EQ(cell(1, "boxes"), "{\"left lung\":[1,2,3,4]}");
  EXPECT_EQ(cell(1, "text"), "");
  EXPECT_EQ(table.rows[1].line, 3);
  EXPECT_THAT(table.rows[2].error, HasSubstr("not valid JSON"));
  EXPECT_THAT(table.rows[3].error, HasSubstr("not an object"));
}

TEST(Table, EmptyFileIsInvalid) {
  for (const char* text : {"", "\r\n", "\xef\xbb\xbf"}) {
    try {
      ParseTable(text, "pairs.csv");
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInvalidData);
      EXPECT_THAT(error.what(), HasSubstr("pairs.csv"));
    }
  }
}

}  // namespace
}  // namespace vesalius::data
