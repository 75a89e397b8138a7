#include "data/import/imagenome/survey.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bitset>
#include <exception>
#include <map>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "data/import/importer.h"

namespace vesalius::data {
namespace {

constexpr std::size_t kAtOnce = 64;  // images that a thread takes

using Regions = std::bitset<kRegions>;

class Surveyor {
 public:
  Surveyor(const StudyFiles& files, const std::vector<ListedImage>& images)
      : files_(files), images_(images), digests_(images.size()) {
    const auto training = std::count_if(images.begin(), images.end(), IsForTraining);
    text_step_ = static_cast<std::size_t>(training) / kMostTexts + 1;
  }

  ImagenomeSurvey Run(int threads) {
    std::vector<Share> shares(static_cast<std::size_t>(threads));
    std::vector<std::thread> running;
    for (Share& share : shares) running.emplace_back([&] { Work(&share); });
    for (std::thread& thread : running) thread.join();
    for (const Share& share : shares)
      if (share.error) std::rethrow_exception(share.error);
    return Join(shares);
  }

 private:
  struct Share {
    std::map<FindingKey, Regions> seen;
    std::map<std::size_t, std::string> texts;  // by image
    std::exception_ptr error;
  };

  static bool IsForTraining(const ListedImage& image) {
    return image.problem.empty() && image.split == Split::kTrain;
  }

  void Work(Share* share) {
    try {
      for (std::size_t first; (first = next_.fetch_add(kAtOnce)) < images_.size();)
        for (std::size_t i = first; i < std::min(first + kAtOnce, images_.size()); ++i)
          if (images_[i].problem.empty()) Look(i, share);
    } catch (...) {
      share->error = std::current_exception();
    }
  }

  void Look(std::size_t i, Share* share) {
    try {
      const SceneGraph graph = files_.Annotation(images_[i], &digests_[i]);
      for (int region = 0; region < kRegions; ++region)
        for (const Phrase& phrase : graph.phrases[region])
          for (const Attribute& attribute : phrase.attributes)
            if (NamesFinding(attribute.category))
              share->seen[{attribute.category, attribute.finding}].set(region);
      if (IsForTraining(images_[i]) && i % text_step_ == 0)
        share->texts[i] = files_.Report(images_[i]);
    } catch (const Error& error) {
      if (error.code() == ExitCode::kBug) throw;
    }
  }

  ImagenomeSurvey Join(std::vector<Share>& shares) const {
    std::map<FindingKey, Regions> seen;
    std::map<std::size_t, std::string> texts;
    for (Share& share : shares) {
      for (const auto& [key, regions] : share.seen) seen[key] |= regions;
      texts.merge(share.texts);
    }
    ImagenomeSurvey out;
    std::vector<FindingKey> keys;
    for (const auto& [key, regions] : seen) keys.push_back(key);
    for (int region = 0; region < kRegions; ++region)
      for (const auto& [key, regions] : seen) out.can.push_back(regions[region]);
    out.findings = FindingIndex(std::move(keys));
    for (auto& [i, text] : texts) out.texts.push_back(std::move(text));
    Digest digest;
    digest.Add(digests_.data(), digests_.size() * sizeof(digests_[0]));
    out.digest = digest.Hex();
    return out;
  }

  const StudyFiles& files_;
  const std::vector<ListedImage>& images_;
  std::vector<std::uint64_t> digests_;  // of the scene graphs
  std::size_t text_step_ = 1;
  std::atomic<std::size_t> next_{0};
};

}  // namespace

ImagenomeSurvey SurveyImagenome(const StudyFiles& files, const std::vector<ListedImage>& images,
                                int threads) {
  return Surveyor(files, images).Run(threads);
}

}  // namespace vesalius::data
