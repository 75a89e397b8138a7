#include "data/import/openi_report.h"

#include <expat.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/strings.h"

namespace vesalius::data {
namespace {

std::string OneLine(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space)
      result += c;
    else if (!result.empty() && result.back() != ' ')
      result += ' ';
  }
  if (result.ends_with(' ')) result.pop_back();
  return result;
}

std::string Attribute(const char** attributes, std::string_view name) {
  for (; *attributes != nullptr; attributes += 2)
    if (name == attributes[0]) return attributes[1];
  return "";
}

// Fills the report as the parser walks through the elements.
struct Walk {
  OpenIReport report;
  std::string root, text;
  std::string label;  // of the section that is open
  bool in_mesh = false, in_image = false;

  static void Start(void* user, const char* name, const char** attributes) {
    Walk& walk = *static_cast<Walk*>(user);
    const std::string_view element = name;
    if (walk.root.empty()) walk.root = element;
    walk.text.clear();
    if (element == "uId") walk.report.id = Attribute(attributes, "id");
    if (element == "AbstractText") walk.label = Lower(Attribute(attributes, "Label"));
    if (element == "MeSH") walk.in_mesh = true;
    if (element == "parentImage") {
      walk.in_image = true;
      walk.report.images.push_back({Attribute(attributes, "id"), ""});
    }
  }
  static void Text(void* user, const char* text, int length) {
    static_cast<Walk*>(user)->text.append(text, static_cast<std::size_t>(length));
  }
  static void End(void* user, const char* name) {
    Walk& walk = *static_cast<Walk*>(user);
    const std::string_view element = name;
    const std::string text = OneLine(walk.text);
    if (element == "AbstractText" && !text.empty()) {
      std::string& section = walk.report.sections[walk.label];
      section += (section.empty() ? "" : " ") + text;
    }
    if (element == "MeSH") walk.in_mesh = false;
    if (element == "major" && walk.in_mesh && !text.empty()) walk.report.headings.push_back(text);
    if (element == "caption" && walk.in_image) walk.report.images.back().caption = text;
    if (element == "parentImage") walk.in_image = false;
    walk.text.clear();
  }
};

}  // namespace

std::string OpenIReport::Text() const {
  std::string text;
  for (const char* label : {"findings", "impression"})
    if (const auto section = sections.find(label); section != sections.end())
      text += (text.empty() ? "" : " ") + section->second;
  return text;
}

std::vector<std::string> OpenIReport::Concepts() const {
  std::vector<std::string> concepts;
  for (const std::string& heading : headings) {
    const std::string concept_name = Lower(Trim(heading.substr(0, heading.find('/'))));
    if (std::find(concepts.begin(), concepts.end(), concept_name) == concepts.end())
      concepts.push_back(concept_name);
  }
  return concepts;
}

OpenIReport ParseOpenIReport(std::string_view xml, const std::string& name) {
  Walk walk;
  const std::unique_ptr<XML_ParserStruct, void (*)(XML_Parser)> parser(XML_ParserCreate(nullptr),
                                                                       XML_ParserFree);
  Invariant(parser != nullptr, "no XML parser");
  XML_SetUserData(parser.get(), &walk);
  XML_SetElementHandler(parser.get(), Walk::Start, Walk::End);
  XML_SetCharacterDataHandler(parser.get(), Walk::Text);
  const XML_Status status =
      XML_Parse(parser.get(), xml.data(), static_cast<int>(xml.size()), XML_TRUE);
  Require(status == XML_STATUS_OK, ExitCode::kInvalidData, name, ", line ",
          XML_GetCurrentLineNumber(parser.get()),
          ": not valid XML: ", XML_ErrorString(XML_GetErrorCode(parser.get())));
  Require(walk.root == "eCitation" && !walk.report.id.empty(), ExitCode::kInvalidData, name,
          " is no Open-i report (root ", walk.root, ")");
  return std::move(walk.report);
}

}  // namespace vesalius::data
