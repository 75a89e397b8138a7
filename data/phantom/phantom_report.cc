#include "data/phantom/phantom_report.h"

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/strings.h"
#include "data/loader/region_text.h"
#include "data/phantom/phantom_words.h"

namespace vesalius::data::phantom {
namespace {

constexpr double kAbnormal = .70;        // studies with findings
constexpr double kMeanFindings = 8.0;    // aimed at before overlapping ones are left out
constexpr double kMostOverlap = .30;     // of the smaller region
constexpr double kStockReport = .5;      // of the normal studies
constexpr double kParentMention = .30;   // a finding is said of its parent region, too
constexpr double kNormalMention = .30;   // of the regions without any finding
constexpr double kAbsenceMention = .20;  // of the regions that could have one

class Reporter {
 public:
  Reporter(const Layout& layout, const std::vector<Painted>& painted, const Vocabulary& vocabulary,
           Random& random, Record& record)
      : painted_(painted), vocabulary_(vocabulary), random_(random), record_(record) {
    record.region_labels.assign(kRegions * kFindings, -1);
    record.image_labels.assign(kFindings, -1);
    for (const Painted& p : painted) {
      truth_[p.region][p.finding] = true;
      if (vocabulary.parent[p.region] >= 0) truth_[vocabulary.parent[p.region]][p.finding] = true;
      for (int region = 0; region < kRegions; ++region) {
        if (region != p.region && Overlap(layout[region], layout[p.region]) > kMostOverlap) {
          hidden_[region][p.finding] = true;
        }
      }
    }
  }

  void Write() {
    if (painted_.empty() && random_.Bernoulli(kStockReport)) {
      WriteStock();
    } else {
      MentionFindings();
      for (int region = 0; region < kRegions; ++region) MentionAbsence(region);
    }
    for (int region = 0; region < kRegions; ++region) InheritNormal(region);
    if (!painted_.empty()) random_.Shuffle(said_);
    record_.report = Join(said_, " ");
    record_.report_hash = Hash64(NormalisedText(record_.report));
    LabelImage();
  }

 private:
  std::int8_t& Label(int region, int finding) {
    return record_.region_labels[static_cast<std::size_t>(region * kFindings + finding)];
  }

  bool Can(int region, int finding) const {
    return vocabulary_.can[static_cast<std::size_t>(region * kFindings + finding)] != 0;
  }

  void Say(int region, std::string text, int finding, int polarity) {
    said_.push_back(text);
    record_.sentences[region].push_back(
        {std::move(text), static_cast<std::int16_t>(finding), static_cast<std::int8_t>(polarity)});
  }

  void SayFinding(int region, int finding, bool present) {
    Say(region, FindingSentence(vocabulary_, region, finding, present, &random_), finding, present);
    Label(region, finding) = present;
    if (present) record_.region_abnormal[region] = 1;
  }

  void SayNormal(int region, Random* random) {
    Say(region, NormalSentence(vocabulary_, region, random), kNormalStatement, 0);
    SetNormal(region);
  }

  void SetNormal(int region) {
    record_.region_abnormal[region] = 0;
    for (int f = 0; f < kFindings; ++f) {
      if (Can(region, f)) Label(region, f) = 0;
    }
  }

  // The same words in every such report: duplicates, as in real archives.
  void WriteStock() {
    for (const int region :
         {0 + kLung, kLung + kLeft, 0 + kHeart, 0 + kMediastinum, 0 + kAbdomen}) {
      SayNormal(region, nullptr);
    }
  }

  void MentionFindings() {
    for (const Painted& p : painted_) {
      SayFinding(p.region, p.finding, true);
      const int parent = vocabulary_.parent[p.region];
      if (parent < 0) continue;
      Label(parent, p.finding) = 1;
      record_.region_abnormal[parent] = 1;
      if (random_.Bernoulli(kParentMention)) SayFinding(parent, p.finding, true);
    }
  }

  void MentionAbsence(int region) {
    bool clear = true;
    std::vector<int> absent;
    for (int f = 0; f < kFindings; ++f) {
      clear = clear && !truth_[region][f] && !hidden_[region][f];
      if (Can(region, f) && !truth_[region][f] && !hidden_[region][f]) absent.push_back(f);
    }
    if (clear && random_.Bernoulli(kNormalMention)) SayNormal(region, &random_);
    if (!absent.empty() && random_.Bernoulli(kAbsenceMention)) {
      SayFinding(region, absent[random_.Below(absent.size())], false);
    }
  }

  // A normal parent entails normal children.
  void InheritNormal(int region) {
    const int parent = vocabulary_.parent[region];
    if (parent < 0 || record_.region_abnormal[parent] != 0) return;
    if (record_.region_abnormal[region] == -1) SetNormal(region);
  }

  // Present anywhere: 1. Absent: 0 if the report denies it somewhere or the study is normal.
  void LabelImage() {
    for (int f = 0; f < kFindings; ++f) {
      bool present = false, denied = painted_.empty();
      for (int region = 0; region < kRegions; ++region) {
        present = present || truth_[region][f];
        denied = denied || Label(region, f) == 0;
      }
      if (present || denied) record_.image_labels[f] = present;
    }
  }

  const std::vector<Painted>& painted_;
  const Vocabulary& vocabulary_;
  Random& random_;
  Record& record_;
  std::vector<std::string> said_;
  using Table = std::array<std::array<bool, kFindings>, kRegions>;
  Table truth_{};   // painted there or in a child
  Table hidden_{};  // painted in another region that overlaps much
};

}  // namespace

std::vector<Painted> DrawFindings(const Layout& layout, Random& random) {
  std::vector<Painted> out;
  if (!random.Bernoulli(kAbnormal)) return out;
  std::vector<int> regions;
  std::size_t pairs = 0;
  for (int region = 0; region < kRegions; ++region) {
    pairs += Paintable()[region].size();
    if (!Paintable()[region].empty()) regions.push_back(region);
  }
  random.Shuffle(regions);
  for (const int region : regions) {
    const std::vector<int>& choices = Paintable()[region];
    const double p =
        kMeanFindings * static_cast<double>(choices.size()) / static_cast<double>(pairs);
    const bool wanted = random.Bernoulli(p);
    const bool free = std::all_of(out.begin(), out.end(), [&](const Painted& other) {
      return Overlap(layout[region], layout[other.region]) <= kMostOverlap;
    });
    if (wanted && free) out.push_back({region, choices[random.Below(choices.size())]});
  }
  return out;
}

void WriteReport(const Layout& layout, const std::vector<Painted>& painted,
                 const Vocabulary& vocabulary, Random& random, Record& record) {
  Reporter(layout, painted, vocabulary, random, record).Write();
}

}  // namespace vesalius::data::phantom
