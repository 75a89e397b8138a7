#include "data/import/imagenome/statements.h"

#include <algorithm>
#include <cctype>

#include "base/strings.h"

namespace vesalius::data {
namespace {

constexpr char kNormality[] = "nlp";

// 1, 0, or -1 when the phrase says nothing of it.
std::int8_t Abnormality(const Phrase& phrase) {
  std::int8_t said = -1;
  for (const Attribute& attribute : phrase.attributes) {
    if (attribute.category != kNormality || !attribute.yes) continue;
    if (attribute.finding == "abnormal") said = 1;
    if (attribute.finding == "normal") said = std::max<std::int8_t>(said, 0);
  }
  return said;
}

// Whether `name` stands in `text` as words of its own; both in lower case.
bool Names(const std::string& text, const std::string& name) {
  const auto is_word = [&](std::size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1))
    if ((at == 0 || !is_word(at - 1)) && !is_word(at + name.size())) return true;
  return false;
}

Sentence Say(const Phrase& phrase, const std::map<int, std::int8_t>& said,
             const FindingIndex& findings) {
  Sentence sentence;
  sentence.text = phrase.text;
  const auto state = [&](int finding, std::int8_t polarity) {
    sentence.finding = static_cast<std::int16_t>(finding);
    sentence.polarity = polarity;
  };
  std::vector<int> named;
  const std::string text = NormalisedText(phrase.text);
  for (const auto& [finding, polarity] : said)
    if (Names(text, findings.text(finding))) named.push_back(finding);
  const std::int8_t abnormal = Abnormality(phrase);
  if (named.size() == 1)
    state(named[0], said.at(named[0]));
  else if (said.size() == 1)
    state(said.begin()->first, said.begin()->second);
  else if (said.empty() && abnormal >= 0)
    state(kNormalStatement, abnormal);
  return sentence;
}

}  // namespace

bool NamesFinding(const std::string& category) {
  for (const char* other :
       {kNormality, "texture", "severity", "temporal", "laterality", "comparison"})
    if (category == other) return false;
  return true;
}

FindingIndex::FindingIndex(std::vector<FindingKey> keys) : keys_(std::move(keys)) {}

int FindingIndex::Find(const Attribute& attribute) const {
  const FindingKey key{attribute.category, attribute.finding};
  const auto at = std::lower_bound(keys_.begin(), keys_.end(), key);
  return at != keys_.end() && *at == key ? static_cast<int>(at - keys_.begin()) : -1;
}

std::vector<Finding> FindingIndex::Findings() const {
  std::map<std::string, int> sharing;
  for (const auto& [category, text] : keys_) ++sharing[text];
  std::vector<Finding> out;
  for (const auto& [category, text] : keys_)
    out.push_back({sharing[text] > 1 ? StrCat(text, " (", category, ")") : text, {text}});
  return out;
}

void SetStatements(const SceneGraph& graph, const FindingIndex& findings, Record* record) {
  const auto count = static_cast<std::size_t>(findings.size());
  record->region_labels.assign(kRegions * count, -1);
  record->region_abnormal.fill(-1);
  for (int region = 0; region < kRegions; ++region) {
    for (const Phrase& phrase : graph.phrases[region]) {
      std::map<int, std::int8_t> said;
      for (const Attribute& attribute : phrase.attributes) {
        const int finding = findings.Find(attribute);
        if (finding < 0) continue;
        std::int8_t& label = record->region_labels[region * count + finding];
        std::int8_t& here = said.emplace(finding, std::int8_t{-1}).first->second;
        here = std::max<std::int8_t>(here, attribute.yes);
        label = std::max(label, here);
      }
      record->region_abnormal[region] =
          std::max(record->region_abnormal[region], Abnormality(phrase));
      if (!phrase.text.empty()) record->sentences[region].push_back(Say(phrase, said, findings));
    }
  }
}

}  // namespace vesalius::data
