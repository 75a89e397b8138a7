// A batch of records asked for at once: requests, and what has been read for them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "data/record.h"

namespace vesalius::data {

// A rectangle of the stored square, in its pixels; width 0 means all of it.
struct Window {
  int x = 0, y = 0, width = 0, height = 0;
};

struct SampleRequest {
  std::int64_t index = 0;  // of the record in its data set or shard
  Window window;
};

// What one Fetch() has read: bytes as they are stored, decoded on demand.
class Fetched {
 public:
  virtual ~Fetched() = default;
  // The record of request `i`; its image holds the requested window only. Thread-safe, also for
  // equal `i`. A record that could not be read or is damaged: Error(kInvalidData) naming file and
  // record, here and not in Fetch(), so that its neighbours stay usable.
  virtual Record Decode(std::size_t i) const = 0;
};

// Where a record lies when several sources (data sets, shards) make up one.
struct SourceRow {
  std::size_t source = 0;
  std::int64_t index = 0;  // in the source
};

// Fetches from each source what `requests` need of it, together. `place` tells where a record lies,
// `fetch` is the source's own.
std::unique_ptr<Fetched> FetchFromSources(
    std::span<const SampleRequest> requests,
    const std::function<SourceRow(std::int64_t index)>& place,
    const std::function<std::unique_ptr<Fetched>(std::size_t source,
                                                 std::span<const SampleRequest>)>& fetch);

// Cuts `window` out of the image. A window beyond the image is a bug of the caller's.
Image CutWindow(const Image& image, const Window& window);

}  // namespace vesalius::data
