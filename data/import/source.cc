#include "data/import/source.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "data/images/image_codec.h"
#include "data/text/tokenizer.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kLearntPieces = 8192;

}  // namespace

std::string SourceOptions::Words() const {
  return StrCat("size ", size, ", valid ", valid_share, ", test ", test_share, ", seed ", seed,
                ", boxes '", boxes, "', vocab '", vocab, "'");
}

void CheckShares(const SourceOptions& options) {
  Require(options.valid_share >= 0 && options.test_share >= 0 &&
              options.valid_share + options.test_share < 1,
          ExitCode::kConfig, "shares of ", options.valid_share, " (valid) and ", options.test_share,
          " (test) leave nothing to train on");
}

std::map<std::string, Split> DrawSplits(const std::set<std::string>& patients,
                                        const SourceOptions& options) {
  std::set<std::pair<std::uint64_t, std::string>> order;
  for (const std::string& patient : patients)
    order.insert({Random(options.seed, Purpose::kSplit, Hash64(patient)).Next64(), patient});
  const auto total = static_cast<double>(order.size());
  const auto count = [&](double share) {
    return share > 0 ? std::max(1L, std::lround(share * total)) : 0L;
  };
  const long tests = count(options.test_share), valids = count(options.valid_share);
  const long most = static_cast<long>(order.size()) - 1;
  std::map<std::string, Split> splits;
  long index = 0;
  for (const auto& [hash, patient] : order) {
    const bool train = index >= most || index >= tests + valids;
    splits[patient] = train ? Split::kTrain : index < tests ? Split::kTest : Split::kValid;
    ++index;
  }
  return splits;
}

View ParseView(std::string_view text) {
  const std::string view = Lower(Trim(text));
  if (view.starts_with("ap")) return View::kAp;
  if (view.starts_with("pa")) return View::kPa;
  if (view == "l" || view == "ll" || view == "rl" || view.starts_with("lat")) return View::kLateral;
  return View::kUnknown;
}

void SetReport(const std::string& text, Record* record) {
  record->report = Trim(text);
  if (record->report.empty()) throw Unusable("text empty", "its text is empty");
  record->report_hash = Hash64(NormalisedText(record->report));
}

void SetImage(const Image& image, int size, Record* record) {
  record->image = ResizePad(ToGrey(image), size, &record->geometry);
}

void AddBoxes(const std::vector<PixelBox>& boxes, const std::string& source, Converted* converted) {
  for (const std::string& fault : SetBoxes(boxes, &*converted->record))
    converted->quarantined.push_back({source, fault, true, "box left out"});
}

std::vector<std::string> Wordpieces(const std::string& vocab,
                                    const std::vector<std::string>& training_texts) {
  return vocab.empty() ? LearnVocabulary(training_texts, kLearntPieces)
                       : Tokenizer::FromFile(vocab).pieces();
}

std::string FileMark(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return StrCat(path, " absent");
  return StrCat(path, " ", info.st_size, " ", info.st_mtim.tv_sec, ".", info.st_mtim.tv_nsec);
}

}  // namespace vesalius::data
