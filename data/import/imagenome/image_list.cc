#include "data/import/imagenome/image_list.h"

#include <algorithm>
#include <cctype>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/strings.h"
#include "data/import/imagenome/scene_graph_files.h"
#include "data/import/source.h"

namespace vesalius::data {
namespace {

bool IsNumber(const std::string& id) {
  return !id.empty() && id.size() <= 20 &&
         std::all_of(id.begin(), id.end(), [](unsigned char c) { return std::isdigit(c); });
}

// Letters, digits and dashes: nothing that leads out of a folder.
bool IsImageId(const std::string& id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_';
  });
}

struct Person {
  std::string patient_id, study_id;
  View view = View::kUnknown;
};

class Lister {
 public:
  Lister(const ImagenomeSources& sources, SplitSource splits, TestImages test)
      : sources_(sources), splits_(splits), test_(test) {}
  std::vector<ListedImage> List();

 private:
  void ReadGold();
  void ReadAvoided();
  void FindGoldPeople();
  void ReadSplits();
  void ReadSplitTable(const std::string& role);
  void AddSplitRow(const TableRow& row, const std::string& image, const Person& person,
                   const std::string& split_name);
  void AddUnlistedGraphs();
  void AddGold();
  void SettlePatients();
  void ReadMetadata();
  ListedImage& Add(const std::string& image, const Person& person);
  void LeaveOut(const std::string& image, const Person& person, const std::string& kind,
                const std::string& reason);

  const ImagenomeSources& sources_;
  SplitSource splits_;
  TestImages test_;
  std::unordered_set<std::string> graphs_, avoided_, gold_patients_;
  std::unordered_map<std::string, Person> gold_;
  std::unordered_map<std::string, Split> listed_;  // images that a split file has
  std::unordered_map<std::string, Split> patients_;
  std::vector<ListedImage> images_;
};

// Who a row is about, in the lists of both data sets.
struct PersonColumns {
  CellsOf image, patient, study, view;
  explicit PersonColumns(const Table& table)
      : image(table, "dicom_id"),
        patient(table, "subject_id"),
        study(table, "study_id"),
        view(table, "ViewPosition") {}
  Person operator()(const TableRow& row) const {
    return {patient(row), study(row), ParseView(view(row))};
  }
};

ListedImage& Lister::Add(const std::string& image, const Person& person) {
  ListedImage& added = images_.emplace_back();
  added.image_id = image;
  added.patient_id = person.patient_id;
  added.study_id = person.study_id;
  added.view = person.view;
  return added;
}

void Lister::LeaveOut(const std::string& image, const Person& person, const std::string& kind,
                      const std::string& reason) {
  ListedImage& out = Add(image, person);
  out.problem_kind = kind;
  out.problem = reason;
}

void Lister::ReadGold() {
  const Table boxes = sources_.Read("gold-boxes", {"image_id"});
  const CellsOf boxed(boxes, "image_id");
  for (const TableRow& row : boxes.rows)
    if (row.error.empty()) gold_[WithoutDcm(boxed(row))];
  const Table table = sources_.Read("gold-attributes", {"image_id"});
  const CellsOf image(table, "image_id"), patient(table, "patient_id"), study(table, "study_id");
  for (const TableRow& row : table.rows)
    if (row.error.empty()) gold_[WithoutDcm(image(row))] = {patient(row), study(row)};
  gold_.erase("");  // rows without an image
}

void Lister::ReadAvoided() {
  const Table table = sources_.Read("avoid", {"dicom_id"});
  const PersonColumns columns(table);
  for (const TableRow& row : table.rows) {
    if (!row.error.empty()) continue;
    const std::string image = WithoutDcm(columns.image(row));
    const Person person = columns(row);
    if (!person.patient_id.empty()) gold_patients_.insert(person.patient_id);
    const auto gold = gold_.find(image);
    if (gold != gold_.end())
      gold->second = person;
    else if (avoided_.insert(image).second)
      LeaveOut(image, person, "image to avoid",
               "images_to_avoid.csv names it, and it has no gold annotations");
  }
}

// Patients and studies of gold images, from the list of all records where no other table tells.
void Lister::FindGoldPeople() {
  const auto unknown = [](const auto& gold) { return gold.second.study_id.empty(); };
  if (std::any_of(gold_.begin(), gold_.end(), unknown)) {
    const Table table = sources_.Read("record-list", {"subject_id", "study_id", "dicom_id"});
    const PersonColumns columns(table);
    for (const TableRow& row : table.rows) {
      const auto gold = gold_.find(columns.image(row));
      if (gold != gold_.end() && gold->second.study_id.empty()) gold->second = columns(row);
    }
  }
  for (const auto& [image, person] : gold_)
    if (!person.patient_id.empty()) gold_patients_.insert(person.patient_id);
}

void Lister::AddSplitRow(const TableRow& row, const std::string& image, const Person& person,
                         const std::string& split_name) {
  const std::string where = StrCat("line ", row.line, " of the list of splits");
  if (!row.error.empty() || !IsImageId(image) || !IsNumber(person.patient_id) ||
      !IsNumber(person.study_id))
    return LeaveOut(image, person, "unreadable row of a list",
                    StrCat(where, ": ",
                           row.error.empty() ? "the ids of patient, study and image are not usable"
                                             : row.error));
  if (splits_ == SplitSource::kMimic && !graphs_.contains(image)) return;
  if (gold_.contains(image) || avoided_.contains(image)) return;
  Split split = Split::kTrain;
  try {
    split = ParseSplit(split_name);
  } catch (const Error& error) {
    return LeaveOut(image, person, "unreadable row of a list", StrCat(where, ": ", error.what()));
  }
  const auto [known, is_new] = listed_.emplace(image, split);
  if (!is_new && known->second == split)
    return LeaveOut(image, person, "listed twice", StrCat(where, ": it was listed before"));
  Split& settled = patients_.emplace(person.patient_id, split).first->second;
  settled = std::max(settled, split);
  ListedImage& added = Add(image, person);
  added.split = split;
}

void Lister::ReadSplitTable(const std::string& role) {
  const Table table = sources_.Read(role, {"subject_id", "study_id", "dicom_id"});
  const PersonColumns columns(table);
  const CellsOf split(table, "split");
  for (const TableRow& row : table.rows)
    AddSplitRow(row, WithoutDcm(columns.image(row)), columns(row),
                splits_ == SplitSource::kMimic ? split(row) : role);
}

void Lister::ReadSplits() {
  std::vector<std::string> roles = {"train", "valid", "test"};
  const auto is_absent = [&](const std::string& role) { return !sources_.tables.contains(role); };
  if (std::all_of(roles.begin(), roles.end(), is_absent)) splits_ = SplitSource::kMimic;
  if (splits_ == SplitSource::kMimic) roles = {"split"};
  std::erase_if(roles, is_absent);
  Require(!roles.empty() || graphs_.empty(), ExitCode::kInputMissing,
          "no list tells the splits: neither train.csv, valid.csv and test.csv in "
          "silver_dataset/splits/ nor mimic-cxr-2.0.0-split.csv.gz is found");
  for (const std::string& role : roles) ReadSplitTable(role);
}

void Lister::AddUnlistedGraphs() {
  for (const std::string& image : graphs_)
    if (!listed_.contains(image) && !gold_.contains(image) && !avoided_.contains(image))
      LeaveOut(image, {}, "in no split", "it has a scene graph, but no list tells its split");
}

void Lister::AddGold() {
  if (test_ == TestImages::kSilver) return;
  for (const auto& [image, person] : gold_) {
    if (!IsImageId(image) || !IsNumber(person.patient_id) || !IsNumber(person.study_id)) {
      LeaveOut(image, person, "gold image of an unknown patient",
               "no list tells the patient and the study of this gold image");
      continue;
    }
    ListedImage& added = Add(image, person);
    added.gold = true;
    added.split = Split::kTest;
  }
}

void Lister::SettlePatients() {
  if (test_ == TestImages::kGold)
    std::erase_if(images_, [](const ListedImage& image) {
      return image.problem.empty() && image.split == Split::kTest && !image.gold;
    });
  for (ListedImage& image : images_) {
    if (!image.problem.empty() || image.gold) continue;
    const Split settled = patients_.at(image.patient_id);
    if (gold_patients_.contains(image.patient_id)) {
      image.problem_kind = "image of a gold patient";
      image.problem = "its patient is in the gold set";
    } else if (settled != image.split) {
      image.problem_kind = "patient in several splits";
      image.problem = StrCat("it is listed in ", SplitName(image.split), ", its patient in ",
                             SplitName(settled), " too");
    }
  }
}

void Lister::ReadMetadata() {
  if (!sources_.tables.contains("metadata")) return;
  std::unordered_map<std::string_view, ListedImage*> wanted;
  for (ListedImage& image : images_)
    if (image.problem.empty()) wanted[image.image_id] = &image;
  const Table table = sources_.Read("metadata", {"dicom_id"});
  const PersonColumns columns(table);
  const CellsOf width(table, "Columns"), height(table, "Rows");
  for (const TableRow& row : table.rows) {
    const auto image = wanted.find(columns.image(row));
    if (image == wanted.end()) continue;
    const View view = ParseView(columns.view(row));
    if (view != View::kUnknown) image->second->view = view;
    image->second->columns = std::atoi(width(row).c_str());
    image->second->rows = std::atoi(height(row).c_str());
  }
}

std::vector<ListedImage> Lister::List() {
  for (std::string& id : ListSceneGraphs(sources_.scene_graphs)) graphs_.insert(std::move(id));
  ReadGold();
  ReadAvoided();
  FindGoldPeople();
  ReadSplits();
  AddUnlistedGraphs();
  AddGold();
  SettlePatients();
  std::sort(images_.begin(), images_.end(), [](const ListedImage& a, const ListedImage& b) {
    return std::tie(a.patient_id, a.study_id, a.image_id, a.split, a.problem) <
           std::tie(b.patient_id, b.study_id, b.image_id, b.split, b.problem);
  });
  ReadMetadata();
  return std::move(images_);
}

}  // namespace

std::string ListedImage::StudyPath() const {
  return StrCat("p", patient_id.substr(0, 2), "/p", patient_id, "/s", study_id);
}

std::vector<ListedImage> ListImages(const ImagenomeSources& sources, SplitSource splits,
                                    TestImages test) {
  return Lister(sources, splits, test).List();
}

std::string WithoutDcm(std::string_view name) {
  name = Trim(name);
  if (name.ends_with(".dcm")) name.remove_suffix(4);
  return std::string(name);
}

}  // namespace vesalius::data
