// What a rank writes of a save, and where in its shard each piece goes: agreed by all ranks once
// and used until what they hold changes. The image of the shard in memory is the shard on disk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoints/boxes.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/manifest.h"
#include "checkpoints/manifest.pb.h"

namespace vesalius::checkpoints {

// A chunk before its checksums are known.
struct Piece {
  int view = 0;  // in the caller's list
  Box box;
  std::uint64_t position = 0;  // in the shard
  std::uint64_t in_view = 0;   // first byte in the view's memory
  std::uint64_t bytes = 0;
};

struct SavePlan {
  std::vector<TensorMeta> tensors;  // each once, in the caller's order
  std::vector<std::size_t> tensor;  // of each view
  std::vector<Piece> pieces;        // this rank's, by position
  std::uint64_t bytes = 0;          // of this rank's shard
  std::uint64_t total_bytes = 0;    // of all tensors
};

// Of names, types and shapes alone, and of the boxes that this rank holds too.
std::uint64_t ListHash(const std::vector<TensorView>& views);
std::uint64_t LayoutHash(const std::vector<TensorView>& views);

// What this rank tells the others. A view that does not fit its tensor is a bug.
PlanProto DescribeViews(const std::vector<TensorView>& views);

// `plans` of all ranks. Lists that differ are a bug.
SavePlan MakeSavePlan(const std::vector<TensorView>& views, const std::vector<PlanProto>& plans,
                      int rank);

// Copies the pieces to `buffer`, zeros between them.
void Stage(const SavePlan& plan, const std::vector<TensorView>& views, char* buffer);

// "rank-0003.shard" and "rank-0003.part".
std::string ShardName(int rank);
std::string PartName(int rank);

// This rank's part of the manifest of the staged save. Takes the checksums from `buffer`.
Manifest DescribeShard(const SavePlan& plan, const StepInfo& info, int rank, const char* buffer);

}  // namespace vesalius::checkpoints
