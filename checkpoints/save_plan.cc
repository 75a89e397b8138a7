#include "checkpoints/save_plan.h"

#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoints/plan.h"

namespace vesalius::checkpoints {
namespace {

// Whether view i is another box of the tensor before it.
bool Repeats(const std::vector<TensorView>& views, std::size_t i) {
  return i > 0 && views[i].meta.name == views[i - 1].meta.name &&
         views[i].meta.role == views[i - 1].meta.role;
}

void AddMeta(const TensorMeta& meta, Digest* digest) {
  digest->Add(meta.name);
  digest->Add(meta.dtype);
  digest->Add(static_cast<std::int64_t>(meta.role));
  digest->Add(static_cast<std::int64_t>(meta.shape.size()));
  for (const std::int64_t size : meta.shape) digest->Add(size);
}

std::string RankFile(int rank, const char* kind) {
  char name[32];
  std::snprintf(name, sizeof(name), "rank-%04d.%s", rank, kind);
  return name;
}

std::uint64_t Aligned(std::uint64_t position) {
  return (position + kChunkAlignment - 1) / kChunkAlignment * kChunkAlignment;
}

// Box of every view on every rank; an empty one where it holds none.
std::vector<std::vector<Box>> HeldBoxes(const std::vector<TensorView>& views,
                                        const std::vector<PlanProto>& plans) {
  std::vector<std::vector<Box>> held(plans.size());
  for (std::size_t rank = 0; rank < plans.size(); ++rank) {
    Invariant(plans[rank].list_hash() == plans[0].list_hash(), "ranks 0 and ", rank,
              " want to save different tensors or steps");
    for (std::size_t t = 0; t < views.size(); ++t) {
      const HeldProto& part = plans[rank].held(static_cast<int>(t));
      held[rank].push_back(part.none()    ? Box{{0}, {0}}
                           : part.whole() ? Whole(views[t].meta.shape)
                                          : Box{{part.offset().begin(), part.offset().end()},
                                                {part.extent().begin(), part.extent().end()}});
    }
  }
  return held;
}

}  // namespace

std::uint64_t ListHash(const std::vector<TensorView>& views) {
  Digest digest;
  for (const TensorView& view : views) AddMeta(view.meta, &digest);
  return Hash64(digest.Hex());
}

std::uint64_t LayoutHash(const std::vector<TensorView>& views) {
  Digest digest;
  for (const TensorView& view : views) {
    AddMeta(view.meta, &digest);
    digest.Add(static_cast<std::int64_t>(view.data == nullptr ? 0 : view.offset.size() + 1));
    for (const std::int64_t offset : view.offset) digest.Add(offset);
    for (const std::int64_t extent : view.extent) digest.Add(extent);
  }
  return Hash64(digest.Hex());
}

PlanProto DescribeViews(const std::vector<TensorView>& views) {
  PlanProto plan;
  plan.set_list_hash(ListHash(views));
  for (const TensorView& view : views) {
    HeldProto* held = plan.add_held();
    std::uint64_t bytes = 0;
    const std::size_t item = ItemSize(view.meta.dtype);
    Invariant(item > 0 && TensorBytes(view.meta.shape, item, &bytes), "tensor '", view.meta.name,
              "' has an unknown dtype ", view.meta.dtype, " or an impossible shape");
    if (view.data == nullptr) {
      held->set_none(true);
      continue;
    }
    const Box box{view.offset, view.extent};
    Invariant(Inside(box, view.meta.shape), "tensor '", view.meta.name, "': the box ",
              ToString(box), " does not lie in it");
    Invariant(view.bytes == static_cast<std::size_t>(Volume(view.extent)) * item, "tensor '",
              view.meta.name, "' is handed over with ", view.bytes, " bytes");
    if (box == Whole(view.meta.shape)) {
      held->set_whole(true);
      continue;
    }
    held->mutable_offset()->Add(box.offset.begin(), box.offset.end());
    held->mutable_extent()->Add(box.extent.begin(), box.extent.end());
  }
  return plan;
}

SavePlan MakeSavePlan(const std::vector<TensorView>& views, const std::vector<PlanProto>& plans,
                      int rank) {
  std::vector<std::size_t> items;
  SavePlan plan;
  for (std::size_t i = 0; i < views.size(); ++i) {
    items.push_back(ItemSize(views[i].meta.dtype));
    if (!Repeats(views, i)) {
      plan.tensors.push_back(views[i].meta);
      plan.total_bytes += static_cast<std::uint64_t>(Volume(views[i].meta.shape)) * items.back();
    }
    plan.tensor.push_back(plan.tensors.size() - 1);
  }
  const std::vector<std::vector<int>> writes = AssignWriters(HeldBoxes(views, plans), items);
  for (const int index : writes[static_cast<std::size_t>(rank)]) {
    const TensorView& view = views[static_cast<std::size_t>(index)];
    const std::size_t item = ItemSize(view.meta.dtype);
    std::uint64_t in_view = 0;
    for (const Box& box : Split({view.offset, view.extent}, item, kMaxChunkBytes)) {
      const std::uint64_t bytes = static_cast<std::uint64_t>(Volume(box.extent)) * item;
      plan.pieces.push_back({index, box, Aligned(plan.bytes), in_view, bytes});
      plan.bytes = plan.pieces.back().position + bytes;
      in_view += bytes;
    }
  }
  return plan;
}

void Stage(const SavePlan& plan, const std::vector<TensorView>& views, char* buffer) {
  std::uint64_t end = 0;
  for (const Piece& piece : plan.pieces) {
    const auto* data = static_cast<const char*>(views[static_cast<std::size_t>(piece.view)].data);
    std::memset(buffer + end, 0, piece.position - end);
    std::memcpy(buffer + piece.position, data + piece.in_view, piece.bytes);
    end = piece.position + piece.bytes;
  }
  if (plan.bytes > 0) std::memset(buffer + end, 0, Aligned(end) - end);
}

std::string ShardName(int rank) { return RankFile(rank, "shard"); }
std::string PartName(int rank) { return RankFile(rank, "part"); }

Manifest DescribeShard(const SavePlan& plan, const StepInfo& info, int rank, const char* buffer) {
  Manifest part;
  part.info = info;
  for (const TensorMeta& meta : plan.tensors) part.tensors.push_back({meta, {}});
  std::vector<std::uint32_t> all;
  for (const Piece& piece : plan.pieces) {
    std::vector<std::uint32_t> crcs =
        Crc32cBlocks(buffer + piece.position, piece.bytes, kBlockBytes);
    all.insert(all.end(), crcs.begin(), crcs.end());
    part.tensors[plan.tensor[static_cast<std::size_t>(piece.view)]].chunks.push_back(
        {piece.box, 0, piece.position, piece.bytes, std::move(crcs)});
  }
  if (!plan.pieces.empty()) part.files.push_back({ShardName(rank), plan.bytes, CrcOfCrcs(all)});
  return part;
}

}  // namespace vesalius::checkpoints
