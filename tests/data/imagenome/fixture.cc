#include "tests/data/imagenome/fixture.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "tests/data/imagenome/fixture_annotation.h"
#include "tests/data/imagenome/fixture_files.h"
#include "tests/data/imagenome/fixture_report.h"

namespace imagenome_fixture {
namespace {

using nlohmann::json;

const std::vector<std::string> kChexpert = {"Atelectasis",
                                            "Cardiomegaly",
                                            "Consolidation",
                                            "Edema",
                                            "Enlarged Cardiomediastinum",
                                            "Fracture",
                                            "Lung Lesion",
                                            "Lung Opacity",
                                            "No Finding",
                                            "Pleural Effusion",
                                            "Pleural Other",
                                            "Pneumonia",
                                            "Pneumothorax",
                                            "Support Devices"};

// What may be odd about an image, and the kind of the reason for which that leaves it out ("" where
// it is imported).
const std::vector<std::pair<std::string, std::string>> kImageOddities = {
    {"negative box", ""},
    {"box beyond the image", ""},
    {"box without area", ""},
    {"box turned over", ""},
    {"box outside", ""},
    {"box at zero", ""},
    {"box without numbers", ""},
    {"region twice", ""},
    {"no original coordinates", ""},
    {"repeated phrases", ""},
    {"another section", ""},
    {"contradiction", ""},
    {"malformed attribute", ""},
    {"one name, two categories", ""},
    {"letters beyond ASCII", ""},
    {"final report otherwise spelt", ""},
    {"empty phrase", ""},
    {"ids written otherwise", ""},
    {"picture in colour", ""},
    {"smaller copy", ""},
    {"copy of another shape", ""},
    {"view of the metadata", ""},
    {"unequal lists: phrases", "scene graph with lists of unequal length"},
    {"unequal lists: sections", "scene graph with lists of unequal length"},
    {"unequal lists: attributes", "scene graph with lists of unequal length"},
    {"unequal lists: cues", "scene graph with lists of unequal length"},
    {"list missing", "scene graph lacks a list"},
    {"graph cut off", "scene graph unreadable"},
    {"graph not JSON", "scene graph unreadable"},
    {"graph empty", "scene graph unreadable"},
    {"graph with more behind it", "scene graph unreadable"},
    {"graph not UTF-8", "scene graph unreadable"},
    {"graph nested too deep", "scene graph unreadable"},
    {"graph missing", "scene graph missing"},
    {"graph of another image", "scene graph of another image"},
    {"graph of another patient", "scene graph of another image"},
    {"graph of another study", "scene graph of another image"},
    {"picture missing", "image missing"},
    {"picture cut off", "image unreadable"},
    {"picture empty", "image unreadable"},
    {"listed twice", ""},   // the second time it is left out
    {"in two splits", ""},  // likewise
    {"in no split", "in no split"},
};

struct Tables {
  std::map<std::string, std::string> splits;  // of Chest ImaGenome, by name
  std::string avoid, records, mimic_split, metadata, chexpert, gold_boxes, gold_attributes;
};

struct Image {
  std::string id, study, patient, split, view, oddity;
  int width = 0, height = 0;            // as published
  int copy_width = 0, copy_height = 0;  // of the file at hand
  Annotation annotation;
};

class Maker {
 public:
  explicit Maker(const Request& request) : request_(request), dice_(request.seed) {}
  json Make();

 private:
  void MakePatient(int number);
  void MakeStudy(const std::string& patient, const std::string& split, bool gold);
  void MakeSilver(Image image, const Study& study);
  void MakeGold(Image image, const Study& study);
  void MakeAvoided(Image image, bool in_train);
  Image NewImage(const std::string& patient, const std::string& study, const std::string& split);
  void WritePicture(const Image& image);
  void Survey(const Image& image);
  void WriteGoldRows(const Image& image);
  void List(const Image& image, const std::string& table);
  json Entry(const Image& image, const std::string& out) const;
  void Imported(const Image& image, const Study& study, const std::string& split);
  void WriteTables();

  std::string Row(const Image& image) const {
    return image.patient + "," + image.study + "," + image.id + ",files/" + Folder(image) + "/" +
           image.id + ".dcm," + image.view;
  }
  static std::string Folder(const Image& image) {
    return "p" + image.patient.substr(0, 2) + "/p" + image.patient + "/s" + image.study;
  }

  Request request_;
  Dice dice_;
  Tables tables_;
  json images_ = json::array();
  std::map<std::string, json> chexpert_;  // by study
  std::set<std::string> findings_;
  std::map<std::string, std::set<std::string>> can_;
  int studies_ = 0, silver_ = 0, lines_ = 1;
};

Image Maker::NewImage(const std::string& patient, const std::string& study,
                      const std::string& split) {
  Image image;
  for (int i = 0; i < 5; ++i) image.id += (i > 0 ? "-" : "") + dice_.Hex(8);
  image.patient = patient;
  image.study = study;
  image.split = split;
  image.view = dice_.OneIn(2) ? "AP" : "PA";
  const std::vector<std::pair<int, int>> sizes = {{254, 305}, {305, 254}, {250, 250}, {203, 311}};
  std::tie(image.width, image.height) = dice_.Of(sizes);
  image.copy_width = image.width;
  image.copy_height = image.height;
  return image;
}

json Maker::Entry(const Image& image, const std::string& out) const {
  return {{"image_id", image.id},
          {"patient_id", image.patient},
          {"study_id", image.study},
          {"oddity", image.oddity},
          {"out", out},
          {"kept", json::array()}};
}

// The oracle's entry of an image that must be imported.
void Maker::Imported(const Image& image, const Study& study, const std::string& split) {
  json entry = Entry(image, "");
  entry.update(Expected(image.annotation, image.copy_width, image.copy_height, request_.side));
  if (image.oddity == "copy of another shape") entry["boxes"] = json::object();
  entry["split"] = split;
  entry["view"] = image.oddity == "view of the metadata" ? "LATERAL" : image.view;
  entry["report"] = study.text;
  entry["width"] = image.copy_width;
  entry["height"] = image.copy_height;
  entry["chexpert"] = chexpert_.at(image.study);
  for (const auto& [kind, words] : image.annotation.kept) entry["kept"].push_back({kind, words});
  images_.push_back(entry);
}

void Maker::WritePicture(const Image& image) {
  const std::string view = image.oddity == "view of the metadata" ? "LATERAL" : image.view;
  tables_.metadata += image.id + "," + image.patient + "," + image.study + ",\"CHEST (PA, LAT)\"," +
                      view + "," + std::to_string(image.height) + "," +
                      std::to_string(image.width) + "\n";
  tables_.mimic_split += image.id + "," + image.study + "," + image.patient + "," +
                         (image.split == "valid" ? "validate" : image.split) + "\n";
  const std::string path =
      request_.folder + "/mimic-cxr-jpg/2.1.0/files/" + Folder(image) + "/" + image.id + ".jpg";
  if (image.oddity == "picture missing") return;
  std::string bytes =
      Picture(image.copy_width, image.copy_height, image.oddity == "picture in colour");
  if (image.oddity == "picture cut off") bytes.resize(bytes.size() / 2);
  if (image.oddity == "picture empty") bytes.clear();
  WriteText(path, bytes);
}

void Maker::List(const Image& image, const std::string& table) {
  tables_.splits[table] += std::to_string(lines_++) + "," + Row(image) + "\n";
}

void Maker::MakeSilver(Image image, const Study& study) {
  std::string out = study.out;
  if (out.empty() && silver_++ % 2 == 1) {
    const auto& [oddity, kind] =
        kImageOddities[static_cast<std::size_t>(silver_ / 2) % kImageOddities.size()];
    image.oddity = oddity;
    out = kind;
  }
  if (image.oddity == "in two splits" && image.split == "train")
    image.oddity.clear();  // there is nothing less held out than train
  if (image.oddity == "smaller copy") {
    image.width = image.copy_width * 10;
    image.height = image.copy_height * 10;
  } else if (image.oddity == "copy of another shape") {
    image.width = 254;
    image.height = 305;
    image.copy_width = image.copy_height = 224;
  }
  image.annotation = Draw(image.width, image.height, image.oddity, dice_);
  if (image.oddity == "copy of another shape")
    for (const Rectangle& box : image.annotation.boxes)
      if (box.read) image.annotation.kept.emplace_back("box left out", "was drawn on an image of");

  WritePicture(image);
  const std::string graph = request_.folder + "/chest-imagenome/1.0.0/silver_dataset/scene_graph/" +
                            image.id + "_SceneGraph.json";
  if (image.oddity != "graph missing")
    WriteText(graph,
              SceneGraphText(image.annotation, image.id, image.study, image.patient, image.view));
  if (image.oddity != "in no split") List(image, image.split);
  if (image.oddity == "listed twice") {
    List(image, image.split);
    images_.push_back(Entry(image, "listed twice"));
  } else if (image.oddity == "in two splits") {
    List(image, "train");
    images_.push_back(Entry(image, "patient in several splits"));
  }
  if (out.empty())
    Imported(image, study, image.split);
  else
    images_.push_back(Entry(image, out));
  // What a reader may know of: everything that is listed soundly and whose graph can be read.
  if (!out.starts_with("scene graph") && image.oddity != "in no split") Survey(image);
}

void Maker::WriteGoldRows(const Image& image) {
  for (const Rectangle& box : image.annotation.boxes) {
    const std::vector<double>& e = box.written;
    std::ostringstream row;
    row << image.id << ".dcm,0,0,0,0,0,0," << box.region << ",1," << e[0] << "," << e[2] << ","
        << e[1] << "," << e[3] << ",0,0,merged,\"[0, 0, 0, 0]\",\"[" << e[0] << ", " << e[1] << ", "
        << e[2] << ", " << e[3] << "]\"\n";
    tables_.gold_boxes += row.str();
  }
  for (const auto& [region, spoken] : image.annotation.spoken)
    for (const Spoken& one : spoken)
      for (const std::string& attribute : one.attributes) {
        const std::size_t first = attribute.find('|'), last = attribute.rfind('|');
        const std::string polarity = attribute.substr(first + 1, last - first - 1);
        std::string sentence = one.written;
        std::replace(sentence.begin(), sentence.end(), '\n', ' ');
        tables_.gold_attributes += image.patient + "\t" + image.study + "\t" + image.id + ".dcm\t" +
                                   region + "\t" + (polarity == "yes" ? "1" : "0") + "\t" +
                                   attribute.substr(last + 1) + "\t" + polarity + "\t" +
                                   attribute.substr(0, first) + "\t" + image.study + "|1\t" +
                                   sentence + "\t" + one.section + "\n";
      }
}

void Maker::MakeGold(Image image, const Study& study) {
  image.annotation = Draw(image.width, image.height, "", dice_);
  for (auto& [region, spoken] : image.annotation.spoken)  // a row tells of an attribute
    std::erase_if(spoken, [](const Spoken& one) { return one.attributes.empty(); });
  WritePicture(image);
  WriteGoldRows(image);
  tables_.avoid += Row(image) + "\n";
  // The silver graph of a gold image must not be read.
  Annotation other = Draw(image.width, image.height, "another section", dice_);
  for (auto& [region, spoken] : other.spoken)
    for (Spoken& one : spoken) one.attributes = {"disease|yes|unread of gold"};
  WriteText(request_.folder + "/chest-imagenome/1.0.0/silver_dataset/scene_graph/" + image.id +
                "_SceneGraph.json",
            SceneGraphText(other, image.id, image.study, image.patient, image.view));
  if (study.out.empty())
    Imported(image, study, "test");
  else
    images_.push_back(Entry(image, study.out));
  Survey(image);
}

void Maker::Survey(const Image& image) {
  for (const auto& [region, names] : Named(image.annotation)) {
    can_[region].insert(names.begin(), names.end());
    findings_.insert(names.begin(), names.end());
  }
}

// Another image of a gold patient, either in the list of those to avoid or, by mistake, in train.
void Maker::MakeAvoided(Image image, bool in_train) {
  image.annotation = Draw(image.width, image.height, "", dice_);
  image.annotation.spoken["carina"] = {};
  Spoken secret;
  secret.text = secret.written = "Something secret.";
  secret.attributes = {"disease|yes|unread of avoided"};
  image.annotation.spoken["carina"].push_back(secret);
  WritePicture(image);
  WriteText(request_.folder + "/chest-imagenome/1.0.0/silver_dataset/scene_graph/" + image.id +
                "_SceneGraph.json",
            SceneGraphText(image.annotation, image.id, image.study, image.patient, image.view));
  if (in_train)
    List(image, "train");
  else
    tables_.avoid += Row(image) + "\n";
  images_.push_back(Entry(image, in_train ? "image of a gold patient" : "image to avoid"));
}

void Maker::MakeStudy(const std::string& patient, const std::string& split, bool gold) {
  const std::string study_id = std::to_string(50000000 + 7 * ++studies_);
  const Study study = DrawReport(studies_, dice_);
  if (study.written)
    WriteText(request_.folder + "/mimic-cxr-reports/files/p" + patient.substr(0, 2) + "/p" +
                  patient + "/s" + study_id + ".txt",
              *study.written);
  json labels = json::array();
  std::string row = patient + "," + study_id;
  const bool listed = !dice_.OneIn(15);
  for (std::size_t i = 0; i < kChexpert.size(); ++i) {
    const std::vector<std::pair<std::string, int>> values = {
        {"", -1}, {"1.0", 1}, {"0.0", 0}, {"-1.0", -1}};
    const auto& [cell, value] = dice_.Of(values);
    row += "," + cell;
    labels.push_back(listed ? value : -1);
  }
  chexpert_[study_id] = labels;
  if (listed) tables_.chexpert += row + "\n";
  std::vector<Image> images;
  for (int n = 1 + dice_.Below(2); n > 0; --n) images.push_back(NewImage(patient, study_id, split));
  if (gold) {
    MakeGold(images[0], study);
    MakeAvoided(NewImage(patient, study_id, split), false);
    if (studies_ % 3 == 0) MakeAvoided(NewImage(patient, study_id, split), true);
  } else {
    for (const Image& image : images) MakeSilver(image, study);
  }
}

void Maker::MakePatient(int number) {
  const std::string patient = std::to_string(10000000 + number * 95951);
  const std::string split = number % 10 == 3   ? "valid"
                            : number % 10 == 6 ? "test"
                            : number % 10 == 8 ? "test"
                                               : "train";
  for (int n = 1 + dice_.Below(3); n > 0; --n) MakeStudy(patient, split, number % 10 == 9);
}

void Maker::WriteTables() {
  const std::string mimic = request_.folder + "/mimic-cxr-jpg/2.1.0/mimic-cxr-2.0.0-";
  const std::string silver = request_.folder + "/chest-imagenome/1.0.0/silver_dataset/splits/";
  const std::string gold = request_.folder + "/chest-imagenome/1.0.0/gold_dataset/";
  // Rows that cannot be used: too few cells, ids that lead elsewhere, an empty id.
  tables_.splits["train"] +=
      "900,10000001\n901,p1,50000001,../../secret,x,AP\n902,10000001,50000001,,x,PA\n";
  for (int i = 0; i < 3; ++i)
    images_.push_back({{"image_id", ""},
                       {"oddity", "unreadable row"},
                       {"out", "unreadable row of a list"},
                       {"kept", json::array()}});
  const std::string header = "subject_id,study_id,dicom_id,path,ViewPosition\n";
  for (const char* name : {"train", "valid", "test"}) {
    const std::string text = "," + header + tables_.splits[name];
    if (std::string(name) == "valid")
      WriteText(silver + name + ".csv", "\xef\xbb\xbf" + text);
    else
      WriteText(silver + name + ".csv", text);
  }
  WriteText(silver + "images_to_avoid.csv", header + tables_.avoid);
  WriteText(
      gold + "gold_bbox_coordinate_annotations_1000images.csv",
      "image_id,x1,y1,x2,y2,width,height,bbox_name,annot_id,original_x1,original_x2,original_y1,"
      "original_y2,original_width,original_height,annotator,coord224,coord_original\n" +
          tables_.gold_boxes);
  WriteText(
      gold + "gold_object_attribute_with_coordinates.txt",
      "patient_id\tstudy_id\timage_id\tbbox\trelation\tlabel_name\tcontext\tcategoryID\trow_id\t"
      "sentence\tsection\n" +
          tables_.gold_attributes);
  std::string labels = "subject_id,study_id";
  for (const std::string& name : kChexpert) labels += "," + name;
  WriteGzip(mimic + "chexpert.csv.gz", labels + "\r\n" + tables_.chexpert);
  std::string metadata =
      "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns\n";
  WriteGzip(mimic + "metadata.csv.gz", metadata + tables_.metadata);
  WriteGzip(mimic + "split.csv.gz", "dicom_id,study_id,subject_id,split\n" + tables_.mimic_split);
}

json Maker::Make() {
  for (int number = 0; number < request_.patients; ++number) MakePatient(number);
  WriteTables();
  json can = json::object();
  for (const auto& [region, names] : can_) can[region] = names;
  return {{"images", images_}, {"findings", findings_}, {"can", can}, {"chexpert", kChexpert}};
}

}  // namespace

json Write(const Request& request) { return Maker(request).Make(); }

}  // namespace imagenome_fixture
