#include "data/fetched.h"

#include <map>
#include <vector>

#include "base/error.h"

namespace vesalius::data {
namespace {

class FetchedParts final : public Fetched {
 public:
  struct Part {
    const Fetched* fetched;
    std::size_t request;
  };
  FetchedParts(std::vector<std::unique_ptr<Fetched>> fetched, std::vector<Part> parts)
      : fetched_(std::move(fetched)), parts_(std::move(parts)) {}

  Record Decode(std::size_t i) const override {
    Invariant(i < parts_.size(), "request ", i, " of ", parts_.size());
    return parts_[i].fetched->Decode(parts_[i].request);
  }

 private:
  std::vector<std::unique_ptr<Fetched>> fetched_;
  std::vector<Part> parts_;  // by request of the batch
};

template <typename T>
void CutRows(const std::vector<T>& from, int from_width, int channels, const Window& window,
             std::vector<T>& to) {
  const auto row = static_cast<std::size_t>(window.width) * channels;
  to.reserve(row * window.height);
  for (int y = 0; y < window.height; ++y) {
    const auto first =
        from.begin() +
        (static_cast<std::ptrdiff_t>(window.y + y) * from_width + window.x) * channels;
    to.insert(to.end(), first, first + static_cast<std::ptrdiff_t>(row));
  }
}

}  // namespace

Image CutWindow(const Image& image, const Window& window) {
  Invariant(window.x >= 0 && window.y >= 0 && window.width > 0 && window.height > 0 &&
                window.x <= image.width - window.width && window.y <= image.height - window.height,
            "window ", window.x, ",", window.y, " ", window.width, " x ", window.height, " of ",
            image.width, " x ", image.height);
  Image cut{window.width, window.height, image.channels, {}, {}};
  if (image.deep())
    CutRows(image.u16, image.width, image.channels, window, cut.u16);
  else
    CutRows(image.u8, image.width, image.channels, window, cut.u8);
  return cut;
}

std::unique_ptr<Fetched> FetchFromSources(
    std::span<const SampleRequest> requests,
    const std::function<SourceRow(std::int64_t index)>& place,
    const std::function<std::unique_ptr<Fetched>(std::size_t source,
                                                 std::span<const SampleRequest>)>& fetch) {
  std::map<std::size_t, std::vector<SampleRequest>> by_source;
  std::vector<std::pair<std::size_t, std::size_t>> places;  // source, request of it
  for (const SampleRequest& request : requests) {
    const SourceRow row = place(request.index);
    std::vector<SampleRequest>& of_source = by_source[row.source];
    places.emplace_back(row.source, of_source.size());
    of_source.push_back({row.index, request.window});
  }
  std::vector<std::unique_ptr<Fetched>> fetched;
  std::map<std::size_t, const Fetched*> by_number;
  for (const auto& [source, of_source] : by_source) {
    fetched.push_back(fetch(source, of_source));
    by_number[source] = fetched.back().get();
  }
  std::vector<FetchedParts::Part> parts;
  for (const auto& [source, request] : places) parts.push_back({by_number[source], request});
  return std::make_unique<FetchedParts>(std::move(fetched), std::move(parts));
}

}  // namespace vesalius::data
