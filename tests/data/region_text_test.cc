// data/region_text: what a region's row says and whether that is true, by the shares of the
// sampling rule; determinism; data sets without findings or forms.
#include "data/loader/region_text.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr int kDraws = 20000;
constexpr int kRegion = 2;  // "right mid lung zone"

Vocabulary TwoFindings() {
  Vocabulary v;
  v.findings = {{"nodule", {"nodule", "rounded lesion"}}, {"fluid", {"fluid", "effusion"}}};
  v.can.assign(kRegions * 2, 0);
  v.can[kRegion * 2] = v.can[kRegion * 2 + 1] = 1;
  v.positive_forms = {"{f} in the {r}.", "the {r} shows {f}."};
  v.negative_forms = {"no {f} in the {r}.", "the {r} is free of {f}."};
  v.normal_forms = {"the {r} is normal.", "normal {r}."};
  return v;
}

Record WithSentence(const std::string& text, int finding, int polarity) {
  Record record;
  record.box_valid.fill(1);
  record.region_labels.assign(kRegions * 2, -1);
  record.sentences[kRegion].push_back(
      {text, static_cast<std::int16_t>(finding), static_cast<std::int8_t>(polarity)});
  return record;
}

std::optional<RegionText> Draw(const Record& record, const Vocabulary& v, double perturb, int i,
                               int region = kRegion) {
  Random random(11, Purpose::kRegionText, static_cast<std::uint64_t>(i), 0);
  return ChooseRegionText(record, region, v, perturb, random);
}

TEST(RegionText, OwnSentenceUntouchedWithoutPerturbing) {
  Record record = WithSentence("nodule here", 0, 1);
  record.sentences[kRegion].push_back({"no fluid here", 1, 0});
  std::map<std::string, int> seen;
  for (int i = 0; i < kDraws; ++i) {
    const auto text = Draw(record, TwoFindings(), 0, i);
    ASSERT_TRUE(text.has_value());
    EXPECT_TRUE(text->truth);
    EXPECT_EQ(text->finding, text->text == "nodule here" ? 0 : 1);
    EXPECT_EQ(text->polarity, text->text == "nodule here" ? 1 : 0);
    ++seen[text->text];
  }
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_NEAR(seen["nodule here"], kDraws / 2, 300);  // 4 standard deviations: 283
}

TEST(RegionText, PerturbedHalfNegatedHalfRephrased) {
  for (const int polarity : {0, 1}) {
    const Record record = WithSentence("free words", 0, polarity);
    int kept = 0, negated = 0, rephrased = 0;
    std::set<std::string> wordings;
    for (int i = 0; i < kDraws; ++i) {
      const auto text = Draw(record, TwoFindings(), 0.2, i);
      ASSERT_TRUE(text.has_value());
      EXPECT_EQ(text->finding, 0);
      if (text->text == "free words") {
        ++kept;
        EXPECT_TRUE(text->truth);
        EXPECT_EQ(text->polarity, polarity);
        continue;
      }
      (text->truth ? rephrased : negated) += 1;
      EXPECT_EQ(text->polarity, text->truth ? polarity : 1 - polarity);
      const bool says_no =
          text->text.find("no ") == 0 || text->text.find("free of") != text->text.npos;
      EXPECT_EQ(says_no, text->polarity == 0) << text->text;
      wordings.insert(text->text);
    }
    EXPECT_NEAR(kept, kDraws * 0.8, 250);
    EXPECT_NEAR(negated, kDraws * 0.1, 180);
    EXPECT_NEAR(rephrased, kDraws * 0.1, 180);
    EXPECT_EQ(wordings.size(), 8u);  // 2 polarities x 2 forms x 2 wordings
  }
}

TEST(RegionText, NormalIsOnlyRephrasedAndFreeTextStays) {
  const Record normal = WithSentence("looks fine", kNormalStatement, 0);
  const Record abnormal = WithSentence("looks bad", kNormalStatement, 1);
  const Record unknown = WithSentence("stable since May", kUnknownStatement, 0);
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) {
    const auto text = Draw(normal, TwoFindings(), 1, i);
    ASSERT_TRUE(text.has_value());
    EXPECT_TRUE(text->truth);
    EXPECT_EQ(text->finding, kNormalStatement);
    EXPECT_EQ(text->polarity, 0);
    seen.insert(text->text);
    EXPECT_EQ(Draw(abnormal, TwoFindings(), 1, i)->text, "looks bad");
    EXPECT_EQ(Draw(abnormal, TwoFindings(), 1, i)->polarity, 1);
    EXPECT_EQ(Draw(unknown, TwoFindings(), 1, i)->text, "stable since May");
    EXPECT_EQ(Draw(unknown, TwoFindings(), 1, i)->finding, kUnknownStatement);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"the right mid lung zone is normal.",
                                         "normal right mid lung zone."}));
}

TEST(RegionText, UnmentionedRegionIsNormalOrFalselyAccused) {
  Record record;
  record.box_valid.fill(1);
  record.region_labels.assign(kRegions * 2, -1);
  for (const int abnormal : {-1, 0}) {
    record.region_abnormal[kRegion] = static_cast<std::int8_t>(abnormal);
    int normal = 0;
    std::array<int, 2> accused{};
    for (int i = 0; i < kDraws; ++i) {
      const auto text = Draw(record, TwoFindings(), 0.2, i);
      ASSERT_TRUE(text.has_value());
      EXPECT_EQ(text->truth, text->finding == kNormalStatement);
      if (text->truth) {
        ++normal;
        EXPECT_EQ(text->polarity, 0);
      } else {
        EXPECT_EQ(text->polarity, 1);
        ++accused.at(static_cast<std::size_t>(text->finding));
      }
    }
    EXPECT_NEAR(normal, kDraws * 0.4, 290);
    EXPECT_NEAR(accused[0], kDraws * 0.3, 270);
    EXPECT_NEAR(accused[1], kDraws * 0.3, 270);
  }
  // Nothing may be named for region 5: always normal.
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Draw(record, TwoFindings(), 0.2, i, 5)->truth);
}

TEST(RegionText, LeftOutRows) {
  Record record;
  record.box_valid.fill(1);
  record.region_labels.assign(kRegions * 2, -1);
  Record child = record;  // abnormal through a child, without a sentence of its own
  child.region_abnormal[kRegion] = 1;
  Record label = record;  // the same, known from the label alone
  label.region_labels[kRegion * 2 + 1] = 1;
  Record unseen = record;
  unseen.box_valid[kRegion] = 0;
  Record unseen_but_said = WithSentence("nodule here", 0, 1);
  unseen_but_said.box_valid[kRegion] = 0;
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(Draw(child, TwoFindings(), 0.2, i).has_value());
    EXPECT_FALSE(Draw(label, TwoFindings(), 0.2, i).has_value());
    EXPECT_FALSE(Draw(unseen, TwoFindings(), 0.2, i).has_value());
    EXPECT_TRUE(Draw(unseen_but_said, TwoFindings(), 0.2, i).has_value());
  }
}

TEST(RegionText, WithoutFindingsOnlyOwnSentences) {
  const Vocabulary empty;
  Record record;
  record.box_valid.fill(1);
  record.sentences[kRegion].push_back({"some note", kUnknownStatement, 0});
  record.sentences[kRegion + 1].push_back({"fine", kNormalStatement, 0});
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(Draw(record, empty, 1, i)->text, "some note");
    EXPECT_EQ(Draw(record, empty, 1, i, kRegion + 1)->text, "fine");
    EXPECT_FALSE(Draw(record, empty, 1, i, 0).has_value());
  }
}

TEST(RegionText, SameStreamSameText) {
  const Record record = WithSentence("free words", 0, 1);
  int different = 0;
  for (int i = 0; i < 300; ++i) {
    const auto a = Draw(record, TwoFindings(), 0.9, i), b = Draw(record, TwoFindings(), 0.9, i);
    EXPECT_EQ(a->text, b->text);
    EXPECT_EQ(a->truth, b->truth);
    different += a->text != Draw(record, TwoFindings(), 0.9, i + 1)->text;
  }
  EXPECT_GT(different, 150);
}

TEST(RegionText, PromptsUseTheFirstFormAndWording) {
  const Vocabulary v = TwoFindings();
  EXPECT_EQ(FindingSentence(v, 28, 1, 1, nullptr), "fluid in the abdomen.");
  EXPECT_EQ(FindingSentence(v, 28, 1, 0, nullptr), "no fluid in the abdomen.");
  EXPECT_EQ(NormalSentence(v, 28, nullptr), "the abdomen is normal.");
  EXPECT_THROW(NormalSentence(Vocabulary(), 28, nullptr), Error);
}

}  // namespace
}  // namespace vesalius::data
