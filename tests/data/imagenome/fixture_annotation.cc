#include "tests/data/imagenome/fixture_annotation.h"

#include <algorithm>
#include <cmath>

namespace imagenome_fixture {
namespace {

using nlohmann::json;

struct Sign {
  std::string category, name;
};

const std::vector<Sign>& Signs() {
  static const std::vector<Sign> signs = {
      {"anatomicalfinding", "lung opacity"},
      {"anatomicalfinding", "consolidation"},
      {"anatomicalfinding", "pleural effusion"},
      {"anatomicalfinding", "pneumothorax"},
      {"anatomicalfinding", "linear/patchy atelectasis"},
      {"anatomicalfinding", "enlarged cardiac silhouette"},
      {"anatomicalfinding", "mass/nodule (not otherwise specified)"},
      {"anatomicalfinding", "calcified nodule"},
      {"disease", "pneumonia"},
      {"disease", "copd/emphysema"},
      {"tubesandlines", "endotracheal tube"},
      {"device", "sternotomy wires"},
      {"technicalassessment", "low lung volumes"}};
  return signs;
}

std::string Attribute(const Sign& sign, bool yes) {
  return sign.category + (yes ? "|yes|" : "|no|") + sign.name;
}

std::string Statement(const Sign& sign, bool yes) {
  return sign.category + "|" + sign.name + (yes ? "|1" : "|0");
}

// White space as report writers leave it, around and between words.
std::string Untidy(const std::string& text, Dice& dice) {
  std::string out = dice.OneIn(3) ? "  " : "";
  for (const char c : text) {
    if (c == ' ' && dice.OneIn(4)) out += dice.OneIn(2) ? "\n " : "  ";
    out += c;
  }
  return out + (dice.OneIn(3) ? " \n" : "");
}

Spoken Say(const std::string& text, std::vector<std::string> attributes, std::string statement,
           Dice& dice) {
  Spoken out;
  out.text = text;
  out.written = Untidy(text, dice);
  out.attributes = std::move(attributes);
  out.statement = std::move(statement);
  return out;
}

const std::string kNormal = "nlp|yes|normal", kAbnormal = "nlp|yes|abnormal";

// Something that a report says of a region.
Spoken DrawSpoken(const std::string& region, Dice& dice) {
  const Sign& sign = dice.Of(Signs());
  const Sign opacity = Signs()[0], pneumonia = Signs()[8];
  switch (dice.Below(9)) {
    case 0:  // named in the text, beside the general finding that the extraction adds
      return Say("There is " + sign.name + ".",
                 {Attribute(opacity, true), Attribute(sign, true), kAbnormal},
                 Statement(sign, true), dice);
    case 1:
      return Say("No " + sign.name + ".", {Attribute(sign, false), kNormal}, Statement(sign, false),
                 dice);
    case 2:
      return Say("The " + region + " is unremarkable.", {kNormal}, "normal|0", dice);
    case 3:  // not named, but only one
      return Say("Ill-defined shadow.", {Attribute(opacity, true), kAbnormal},
                 Statement(opacity, true), dice);
    case 4:  // two, none of which is named
      return Say("Patchy shadow.", {Attribute(opacity, true), Attribute(pneumonia, true)}, "free",
                 dice);
    case 5:  // two that are named
      return Say("Lung opacity, perhaps pneumonia.",
                 {Attribute(opacity, true), Attribute(pneumonia, true)}, "free", dice);
    case 6:
      return Say("Appears worse than before.", {kAbnormal}, "abnormal|1", dice);
    case 7:  // only qualities, which are no findings
      return Say("Coarse texture.", {"texture|yes|interstitial", "severity|yes|mild"}, "free",
                 dice);
    default:
      return Say("See the comment on the prior film.", {}, "free", dice);
  }
}

void DrawBoxes(Annotation* out, Dice& dice) {
  for (const Region& region : KnownRegions()) {
    if (dice.OneIn(12)) continue;  // not detected
    const double x = dice.Below(out->width * 6 / 10), y = dice.Below(out->height * 6 / 10);
    const double w = 8 + dice.Below(out->width * 3 / 10), h = 8 + dice.Below(out->height * 3 / 10);
    const std::vector<double> edges = {x, y, x + w, y + h};
    out->boxes.push_back({region.name, edges, edges});
  }
}

void DrawSpeech(Annotation* out, Dice& dice) {
  for (const Region& region : KnownRegions()) {
    if (dice.OneIn(2)) continue;  // the report says nothing of it
    std::set<std::string> said;
    for (int n = 1 + dice.Below(3); n > 0; --n) {
      const Spoken spoken = DrawSpoken(region.name, dice);
      if (said.insert(spoken.text).second) out->spoken[region.name].push_back(spoken);
    }
  }
}

void Drop(Rectangle* box, std::vector<double> written, const char* why, Annotation* out) {
  box->written = std::move(written);
  box->read.reset();
  out->kept.emplace_back("box left out", "'" + box->region + "' " + why);
}

void MakeBoxOdd(const std::string& oddity, Annotation* out, Dice& dice) {
  Rectangle& box = out->boxes[static_cast<std::size_t>(dice.Below(20))];
  const double w = out->width, h = out->height;
  if (oddity == "negative box") {
    box.written = {-25, -7.5, 60, 50};
    box.read = {{0, 0, 60, 50}};
  } else if (oddity == "box beyond the image") {
    box.written = {w - 40, h - 30, w + 300, h + 4};
    box.read = {{w - 40, h - 30, w, h}};
  } else if (oddity == "box without area") {
    Drop(&box, {50, 20, 50, 90}, "has no area", out);
  } else if (oddity == "box turned over") {
    Drop(&box, {90, 20, 30, 60}, "has no area", out);
  } else if (oddity == "box outside") {
    Drop(&box, {w + 5, 10, w + 50, 60}, "lies outside", out);
  } else if (oddity == "box at zero") {
    Drop(&box, {0, 0, 0, 0}, "has no area", out);
  } else if (oddity == "box without numbers") {
    box.written = {NAN, NAN, NAN, NAN};
    box.read.reset();
    out->kept.emplace_back("part of an annotation left out",
                           "box '" + box.region + "' has coordinates that are no numbers");
  } else if (oddity == "region twice") {  // the larger box counts
    Rectangle other = box;
    box.written = {10, 10, 20, 20};
    box.read.reset();
    other.written = {30, 40, 130, 120};
    other.read = other.written;
    out->boxes.push_back(other);
  }
}

void MakeSpeechOdd(const std::string& oddity, Annotation* out, Dice& dice) {
  const std::string region = dice.Of(KnownRegions()).name;
  std::vector<Spoken>& spoken = out->spoken[region];
  spoken.clear();
  const Sign fluid = Signs()[2], air = Signs()[3];
  if (oddity == "repeated phrases") {
    spoken.push_back(Say("No pneumothorax.", {Attribute(air, false)}, Statement(air, false), dice));
    Spoken again = spoken[0];
    again.written = " NO\n  pneumothorax. ";
    again.text.clear();  // already told
    spoken.push_back(again);
  } else if (oddity == "another section") {
    for (const char* section : {"preamble", "history", "", "wetread"}) {
      Spoken other = Say("History of sarcoma.", {"disease|yes|sarcoma", kAbnormal}, "", dice);
      other.section = section;
      spoken.push_back(other);
    }
  } else if (oddity == "contradiction") {
    spoken.push_back(Say("No pleural effusion.", {Attribute(fluid, false), kNormal},
                         Statement(fluid, false), dice));
    spoken.push_back(Say("Small pleural effusion.", {Attribute(fluid, true), kAbnormal},
                         Statement(fluid, true), dice));
    spoken.push_back(Say("Pleural effusion is not seen.", {Attribute(fluid, false), kNormal},
                         Statement(fluid, false), dice));
  } else if (oddity == "malformed attribute") {
    spoken.push_back(Say("Small pleural effusion.",
                         {"pleural effusion", "anatomicalfinding|perhaps|pneumothorax",
                          Attribute(fluid, true), "anatomicalfinding|yes|"},
                         Statement(fluid, true), dice));
    for (const char* words : {"'pleural effusion'", "|perhaps|", "|yes|'"})
      out->kept.emplace_back("part of an annotation left out", words);
  } else if (oddity == "one name, two categories") {
    spoken.push_back(Say("Old scar.", {"anatomicalfinding|yes|granuloma"},
                         "anatomicalfinding|granuloma|1", dice));
    spoken.push_back(
        Say("Granuloma unchanged.", {"disease|yes|granuloma"}, "disease|granuloma|1", dice));
  } else if (oddity == "letters beyond ASCII") {
    spoken.push_back(Say("Caf\u00e9-au-lait \"shadow\" \u2265 3\u00b0 C\\D, caf\u00e9 \U0001F600.",
                         {"Nlp|Yes|Abnormal"}, "abnormal|1", dice));
  } else if (oddity == "final report otherwise spelt") {
    spoken.push_back(Say("The lines are in place.", {kNormal}, "normal|0", dice));
    spoken.back().section = "FINAL REPORT";
  } else if (oddity == "empty phrase") {  // its attributes count, there is no sentence
    spoken.push_back(Say("", {Attribute(air, false)}, "", dice));
    spoken.back().written = " \n ";
    spoken.back().statement = "silent";
  }
}

}  // namespace

Annotation Draw(int width, int height, const std::string& oddity, Dice& dice) {
  Annotation out;
  out.width = width;
  out.height = height;
  DrawBoxes(&out, dice);
  DrawSpeech(&out, dice);
  MakeBoxOdd(oddity, &out, dice);
  static const std::set<std::string> kOfSpeech = {"repeated phrases",
                                                  "another section",
                                                  "contradiction",
                                                  "malformed attribute",
                                                  "one name, two categories",
                                                  "letters beyond ASCII",
                                                  "final report otherwise spelt",
                                                  "empty phrase"};
  if (kOfSpeech.contains(oddity)) MakeSpeechOdd(oddity, &out, dice);
  // Regions that are not among the 29: with boxes, with texts, or with both.
  for (const Region& region : OtherRegions()) {
    if (dice.OneIn(2)) continue;
    out.boxes.push_back({region.name, {1, 1, 50, 50}, std::nullopt});
    Spoken other = Say("Pacer in the " + region.name + ".", {"device|yes|unread device"}, "", dice);
    out.spoken[region.name].push_back(other);
  }
  out.framed = oddity == "no original coordinates";
  out.fault = oddity;
  return out;
}

std::map<std::string, std::set<std::string>> Named(const Annotation& annotation) {
  std::map<std::string, std::set<std::string>> out;
  const json expected = Expected(annotation, annotation.width, annotation.height, 64);
  for (const auto& [region, labels] : expected.at("labels").items())
    for (const auto& [finding, label] : labels.items()) out[region].insert(finding);
  return out;
}

json Expected(const Annotation& annotation, int copy_width, int copy_height, int side) {
  json out = {{"boxes", json::object()},
              {"sentences", json::object()},
              {"labels", json::object()},
              {"abnormal", json::object()}};
  // The copy at hand is fitted into the square: scaled by its longer side, centred on whole pixels.
  const double scale = static_cast<double>(side) / std::max(copy_width, copy_height);
  const double left = std::floor((side - std::round(copy_width * scale)) / 2);
  const double top = std::floor((side - std::round(copy_height * scale)) / 2);
  const double across = scale * copy_width / annotation.width;
  const double down = scale * copy_height / annotation.height;
  for (const Rectangle& box : annotation.boxes) {
    if (!box.read) continue;
    const std::vector<double>& e = *box.read;
    out["boxes"][box.region] = {((e[0] + e[2]) / 2 * across + left) / side,
                                ((e[1] + e[3]) / 2 * down + top) / side,
                                (e[2] - e[0]) * across / side, (e[3] - e[1]) * down / side};
  }
  for (const auto& [region, spoken] : annotation.spoken)
    for (const Spoken& one : spoken) {
      if (one.statement.empty()) continue;
      if (!one.text.empty()) out["sentences"][region].push_back({one.text, one.statement});
      for (const std::string& attribute : one.attributes) {
        const std::size_t first = attribute.find('|'), last = attribute.rfind('|');
        if (first == last || last + 1 == attribute.size()) continue;
        const std::string category = attribute.substr(0, first), name = attribute.substr(last + 1);
        const std::string word = attribute.substr(first + 1, last - first - 1);
        if (word == "perhaps" || category == "texture" || category == "severity") continue;
        const bool yes = word == "yes" || word == "Yes";
        json& place = category == "nlp" || category == "Nlp"
                          ? out["abnormal"][region]
                          : out["labels"][region][category + "|" + name];
        const int value = category == "nlp" || category == "Nlp"
                              ? (name == "abnormal" || name == "Abnormal" ? 1 : 0)
                              : yes;
        place = place.is_null() ? value : std::max(place.get<int>(), value);
      }
    }
  return out;
}

}  // namespace imagenome_fixture
