#include "data/loader/region_text.h"

#include "base/error.h"
#include "base/strings.h"

namespace vesalius::data {
namespace {

constexpr double kNormalShare =
    0.4;  // of the rows without a sentence; the rest get a false finding

const std::string& Pick(const std::vector<std::string>& choices, Random* random) {
  Invariant(!choices.empty(), "a sentence was asked of a vocabulary without forms for it");
  return choices[random == nullptr ? 0 : random->Below(choices.size())];
}

const std::vector<std::string>& Forms(const Vocabulary& vocabulary, int polarity) {
  return polarity == 1 ? vocabulary.positive_forms : vocabulary.negative_forms;
}

// The same said otherwise, or the contrary (then false). Nothing when the vocabulary cannot say it.
std::optional<RegionText> Perturb(const Sentence& sentence, int region,
                                  const Vocabulary& vocabulary, Random& random) {
  const bool negate = random.Bernoulli(0.5);
  if (sentence.finding ==
      kNormalStatement) {  // has no contrary that names a finding: only rephrased
    if (sentence.polarity != 0 || vocabulary.normal_forms.empty()) return std::nullopt;
    return RegionText{NormalSentence(vocabulary, region, &random), kNormalStatement, 0, true};
  }
  if (sentence.finding < 0) return std::nullopt;
  const int polarity = negate ? 1 - sentence.polarity : sentence.polarity;
  if (Forms(vocabulary, polarity).empty()) return std::nullopt;
  return RegionText{FindingSentence(vocabulary, region, sentence.finding, polarity, &random),
                    sentence.finding, polarity, !negate};
}

// A sentence about a region of which the report says nothing: that it is normal, or falsely that it
// has a finding.
std::optional<RegionText> Invent(const Record& record, int region, const Vocabulary& vocabulary,
                                 Random& random) {
  if (record.box_valid[region] == 0 || record.region_abnormal[region] == 1) return std::nullopt;
  const std::size_t findings = vocabulary.findings.size();
  std::vector<int> absent;
  for (std::size_t f = 0; f < findings; ++f) {
    const std::size_t at = static_cast<std::size_t>(region) * findings + f;
    if (!record.region_labels.empty() && record.region_labels[at] == 1) return std::nullopt;
    if (vocabulary.can[at] != 0) absent.push_back(static_cast<int>(f));
  }
  const bool can_normal = !vocabulary.normal_forms.empty();
  const bool can_finding = !absent.empty() && !vocabulary.positive_forms.empty();
  const bool want_normal = random.Bernoulli(kNormalShare);
  if (can_normal && (want_normal || !can_finding)) {
    return RegionText{NormalSentence(vocabulary, region, &random), kNormalStatement, 0, true};
  }
  if (!can_finding) return std::nullopt;
  const int finding = absent[random.Below(absent.size())];
  return RegionText{FindingSentence(vocabulary, region, finding, 1, &random), finding, 1, false};
}

}  // namespace

std::optional<RegionText> ChooseRegionText(const Record& record, int region,
                                           const Vocabulary& vocabulary, double perturb,
                                           Random& random) {
  const std::vector<Sentence>& sentences = record.sentences[region];
  if (sentences.empty()) return Invent(record, region, vocabulary, random);
  const Sentence& sentence = sentences[random.Below(sentences.size())];
  if (random.Bernoulli(perturb)) {
    if (auto changed = Perturb(sentence, region, vocabulary, random)) return changed;
  }
  return RegionText{sentence.text, sentence.finding, sentence.polarity, true};
}

std::string FillForm(const std::string& form, const std::string& finding, int region) {
  return Replace(Replace(form, "{f}", finding), "{r}", kRegionNames[region]);
}

std::string FindingSentence(const Vocabulary& vocabulary, int region, int finding, int polarity,
                            Random* random) {
  const std::string& form = Pick(Forms(vocabulary, polarity), random);
  const Finding& what = vocabulary.findings.at(static_cast<std::size_t>(finding));
  return FillForm(form, what.synonyms.empty() ? what.name : Pick(what.synonyms, random), region);
}

std::string NormalSentence(const Vocabulary& vocabulary, int region, Random* random) {
  return FillForm(Pick(vocabulary.normal_forms, random), "", region);
}

}  // namespace vesalius::data
