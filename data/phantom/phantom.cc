#include "data/phantom/phantom.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "data/phantom/phantom_anatomy.h"
#include "data/phantom/phantom_render.h"
#include "data/phantom/phantom_report.h"
#include "data/phantom/phantom_words.h"
#include "data/shards/writer.h"

namespace vesalius::data {
namespace {

using namespace phantom;

constexpr int kLeastSize = 16, kMostSize = 2048;
constexpr double kMissingBox = .01;
constexpr std::uint64_t kMostStudies = 3;  // of a patient

// Splits are dealt in blocks of 20 patients, shuffled: 16 train, 1 valid, 3 test. The first three
// patients get one each, so that the smallest set has every split.
constexpr std::size_t kBlock = 20, kTestShare = 3;

std::vector<Split> DealSplits(std::uint64_t seed, std::uint64_t block) {
  std::vector<Split> out(kBlock, Split::kTrain);
  std::fill_n(out.begin(), kTestShare, Split::kTest);
  out[kTestShare] = Split::kValid;
  Random random(seed, Purpose::kSplit, block);
  random.Shuffle(out);
  if (block == 0) {
    std::size_t to = 0;
    for (const Split split : {Split::kTrain, Split::kTest, Split::kValid}) {
      const auto at = std::find(out.begin() + static_cast<std::ptrdiff_t>(to), out.end(), split);
      std::swap(out[to++], *at);
    }
  }
  return out;
}

std::string Numbered(const char* format, std::uint64_t number) {
  char out[32];
  std::snprintf(out, sizeof(out), format, static_cast<unsigned long long>(number));
  return out;
}

void SetBoxes(const Layout& layout, const Pose& pose, Random& random, Record& record) {
  for (int region = 0; region < kRegions; ++region) {
    Box box = ToImage(layout[region], pose);
    const bool visible = ClipToFrame(box);
    const bool annotated = !random.Bernoulli(kMissingBox);
    record.box_valid[region] = visible && annotated;
    if (visible && annotated) record.boxes[region] = box;
  }
}

// One study of `patient`, without its names and split. What depends on the image's size draws last,
// so that a set of another size has the same reports, labels and boxes.
Record MakeStudy(const Patient& patient, const Vocabulary& vocabulary, int size, Random& random) {
  Record record;
  const std::vector<Painted> painted = DrawFindings(patient.layout, random);
  Layout layout = patient.layout;
  for (const Painted& p : painted) {
    if (p.finding == kEnlargement) Enlarge(layout, p.region);
  }
  const Pose pose = DrawPose(patient, random);
  const Exposure exposure = DrawExposure(random);
  SetBoxes(layout, pose, random, record);
  WriteReport(patient.layout, painted, vocabulary, random, record);

  Film film = RenderChest(layout, pose, size);
  for (const Painted& p : painted) {
    PaintFinding(film, ToImage(layout[p.region], pose), p.finding, random);
  }
  record.image = Expose(film, exposure, random);
  record.view = View::kPa;
  record.geometry.original_width = record.geometry.original_height = size;
  return record;
}

void Validate(const PhantomOptions& options) {
  Require(options.samples >= 1, ExitCode::kConfig, "a phantom set of ", options.samples,
          " studies cannot be made; ask for 1 or more");
  Require(options.size >= kLeastSize && options.size <= kMostSize, ExitCode::kConfig,
          "phantom images of ", options.size, " pixels cannot be made; the side is ", kLeastSize,
          " to ", kMostSize);
}

}  // namespace

void WritePhantom(const PhantomOptions& options) {
  Validate(options);
  DatasetWriter writer({.folder = options.out, .source = "phantom", .stored_size = options.size});
  const Vocabulary vocabulary = MakeVocabulary();
  std::vector<Split> splits;
  std::int64_t done = 0;
  for (std::uint64_t person = 0; done < options.samples; ++person) {
    if (person % kBlock == 0) splits = DealSplits(options.seed, person / kBlock);
    Random habit(options.seed, Purpose::kPhantom, person, 0);
    const Patient patient = DrawPatient(habit);
    const std::uint64_t studies = 1 + habit.Below(kMostStudies);
    for (std::uint64_t study = 1; study <= studies && done < options.samples; ++study) {
      Random random(options.seed, Purpose::kPhantom, person, study);
      Record record = MakeStudy(patient, vocabulary, options.size, random);
      record.patient_id = Numbered("p%06llu", person);
      record.study_id = record.patient_id + Numbered("-s%llu", study);
      record.image_id = record.study_id + "-i1";
      record.split = splits[person % kBlock];
      writer.Add(record);
      ++done;
      if (options.progress) options.progress(done, options.samples);
    }
  }
  writer.Finish(vocabulary);
}

}  // namespace vesalius::data
