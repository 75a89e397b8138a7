#include "data/import/imagenome/mimic_report.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "base/strings.h"
#include "data/import/imagenome/scene_graph.h"
#include "data/record.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kLongestName = 80;

// The name of the section that `line` begins, and in `rest` what follows its colon; "" for a line
// that begins none.
std::string SectionName(std::string_view line, std::string_view* rest) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon > kLongestName) return "";
  const std::string name(Trim(line.substr(0, colon)));
  int letters = 0;
  for (const unsigned char c : name) {
    if (std::islower(c)) return "";
    letters += std::isupper(c) != 0;
  }
  if (letters < 2 || !std::isupper(static_cast<unsigned char>(name.front()))) return "";
  *rest = line.substr(colon + 1);
  return name;
}

void Append(const std::string& text, std::string* to) {
  if (text.empty()) return;
  if (!to->empty()) *to += ' ';
  *to += text;
}

// The lines behind "FINAL REPORT", or all of them.
std::vector<std::string> FinalLines(std::string_view text) {
  std::vector<std::string> lines = vesalius::Split(text, '\n');
  const auto final_line = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
    return NormalisedText(line) == "final report";
  });
  if (final_line != lines.end()) lines.erase(lines.begin(), final_line + 1);
  return lines;
}

}  // namespace

std::string MimicReport::Text() const {
  std::string text = findings;
  Append(impression, &text);
  return text.empty() ? other : text;
}

MimicReport ParseMimicReport(std::string_view text) {
  MimicReport report;
  std::string name, section, paragraph;
  const auto end_section = [&] {
    const std::string squeezed = Squeezed(section);
    if (name.find("FINDING") != std::string::npos)
      Append(squeezed, &report.findings);
    else if (name.find("IMPRESSION") != std::string::npos || name.starts_with("CONCLUSION"))
      Append(squeezed, &report.impression);
    section.clear();
  };
  const auto end_paragraph = [&] {
    const std::string squeezed = Squeezed(paragraph);
    if (!squeezed.empty()) report.other = squeezed;
    paragraph.clear();
  };
  for (const std::string& line : FinalLines(text)) {
    std::string_view rest = line;
    const std::string begun = SectionName(line, &rest);
    if (!begun.empty()) {
      end_section();
      name = begun;
    }
    if (!begun.empty() || Trim(line).empty()) end_paragraph();
    section += StrCat(rest, "\n");
    paragraph += StrCat(rest, "\n");
  }
  end_section();
  end_paragraph();
  if (!report.findings.empty() || !report.impression.empty()) report.other.clear();
  return report;
}

}  // namespace vesalius::data
