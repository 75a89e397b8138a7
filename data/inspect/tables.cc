#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "data/inspect/inspect.h"
#include "data/record.h"

namespace vesalius::data {
namespace {

using nlohmann::json;
using Row = std::vector<std::string>;

constexpr std::size_t kShownShards = 8;

// Characters of UTF-8, as a terminal shows them.
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// Rows below their header, the first column to the left and the others to the right.
std::string Aligned(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text = "\n";
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - Width(row[i]), ' ');
      line += i == 0 ? row[i] + gap : "  " + gap + row[i];
    }
    line.resize(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string Shown(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number_float() ? Fixed(value.get<double>(), 1) : value.dump();
}

// "12.5 %" of a whole.
std::string Share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? Fixed(100.0 * double(part) / double(whole), 1) + " %" : "";
}

std::string Facts(const json& found) {
  std::string text;
  for (const char* key : {"path", "kind", "source", "fingerprint", "schema_version", "checksums",
                          "bytes", "stored_size", "channels", "wordpieces", "records", "patients",
                          "studies", "images_16_bit", "images_with_boxes"})
    if (found.contains(key)) {
      std::string name = key;
      name.resize(20, ' ');
      text += name + Shown(found[key]) + "\n";
    }
  return text;
}

std::string Splits(const json& found) {
  std::vector<Row> rows = {{"split", "records", "patients", "studies", "reports", "images"}};
  for (const char* split : {"train", "valid", "test"}) {
    const json& details = found.at("split_details").at(split);
    rows.push_back({split});
    for (const char* key : {"records", "patients", "studies", "reports", "images"})
      rows.back().push_back(Shown(details.at(key)));
  }
  const json& leaks = found.at("leaks");
  for (const auto& [name, key] : {std::pair{"in several splits", "in_several_splits"},
                                  {"in train and valid", "train_valid"},
                                  {"in train and test", "train_test"},
                                  {"in valid and test", "valid_test"}}) {
    rows.push_back({name, ""});
    for (const char* what : {"patients", "studies", "reports", "images"})
      rows.back().push_back(Shown(leaks.at(what).at(key)));
  }
  rows.push_back({"repeated", "", "", "", Shown(found.at("reports").at("duplicates")),
                  Shown(found.at("images").at("duplicates"))});
  return Aligned(rows);
}

std::string Distributions(const json& found) {
  std::vector<Row> rows = {{"of an image", "least", "mean", "median", "95 %", "most"}};
  const auto add = [&](const char* name, const json& lengths) {
    if (lengths.is_null()) return;
    rows.push_back({name});
    for (const char* key : {"least", "mean", "median", "p95", "most"})
      rows.back().push_back(Shown(lengths.at(key)));
  };
  add("width of the source", found.at("sizes").at("width"));
  add("height of the source", found.at("sizes").at("height"));
  add("report, characters", found.at("reports").at("characters"));
  add("report, tokens", found.at("reports").at("tokens"));
  add("sentences about regions", found.at("reports").at("sentences"));
  add("boxes", found.at("boxes_per_image"));
  return Aligned(rows);
}

std::string SizesAndViews(const json& found) {
  const std::int64_t records = found.at("records");
  std::vector<Row> rows = {
      {StrCat("size (", found.at("sizes").at("distinct").get<std::int64_t>(), " different)"),
       "images", "share"}};
  for (const json& size : found.at("sizes").at("common"))
    rows.push_back({StrCat(size.at("width").get<int>(), " x ", size.at("height").get<int>()),
                    Shown(size.at("images")), Share(size.at("images"), records)});
  std::vector<Row> views = {{"view", "images", "share"}};
  for (const auto& [view, count] : found.at("views").items())
    views.push_back({view, Shown(count), Share(count, records)});
  return Aligned(rows) + Aligned(views);
}

std::string Regions(const json& found) {
  std::vector<Row> rows = {{"region", "boxes", "sentences", "abnormal", "normal", "unknown"}};
  for (const char* name : kRegionNames) {
    const json& region = found.at("regions").at(name);
    const json& abnormal = region.at("abnormal");
    rows.push_back({name, Shown(region.at("boxes")), Shown(region.at("sentences")),
                    Shown(abnormal.at("yes")), Shown(abnormal.at("no")),
                    Shown(abnormal.at("not_mentioned"))});
  }
  return Aligned(rows);
}

std::string Labels(const char* title, const json& labels) {
  if (labels.empty()) return "";
  std::vector<Row> rows = {{title, "yes", "no", "unknown", "yes of known"}};
  for (const auto& [name, label] : labels.items()) {
    const std::int64_t yes = label.at("yes"), no = label.at("no");
    rows.push_back({name, Shown(label.at("yes")), Shown(label.at("no")),
                    Shown(label.at("not_mentioned")), Share(yes, yes + no)});
  }
  return Aligned(rows);
}

std::string Shards(const json& found) {
  if (!found.contains("shards")) return "";
  const json& shards = found.at("shards");
  std::vector<Row> rows = {{"shard", "records", "bytes", "crc32c"}};
  for (std::size_t i = 0; i < std::min(shards.size(), kShownShards); ++i)
    rows.push_back({Shown(shards[i].at("file")), Shown(shards[i].at("records")),
                    Shown(shards[i].at("bytes")), Shown(shards[i].at("crc32c"))});
  if (shards.size() > kShownShards)
    rows.push_back({StrCat("and ", shards.size() - kShownShards, " more")});
  return Aligned(rows);
}

}  // namespace

std::string InspectionTables(const json& found) {
  return Facts(found) + Splits(found) + Distributions(found) + SizesAndViews(found) +
         Regions(found) + Labels("label of an image", found.at("image_labels")) +
         Labels("label of a region", found.at("region_labels")) + Shards(found);
}

}  // namespace vesalius::data
