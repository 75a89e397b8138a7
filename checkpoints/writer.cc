#include "checkpoints/writer.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "checkpoints/manifest.h"
#include "checkpoints/manifest.pb.h"
#include "checkpoints/plan.h"
#include "checkpoints/reader.h"
#include "checkpoints/retention.h"

namespace vesalius::checkpoints {
namespace {

constexpr double kSpaceFactor = 1.2;  // free space asked for, in sizes of the checkpoint

// Runs `work` and turns what it throws into a message for the other ranks.
template <typename Work>
void Try(OutcomeProto* outcome, const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    outcome->set_code(static_cast<int>(error.code()));
    outcome->set_message(error.what());
  } catch (const std::exception& error) {
    outcome->set_code(static_cast<int>(ExitCode::kCannotSave));
    outcome->set_message(error.what());
  }
}

void CheckSpace(const std::string& folder, std::uint64_t bytes) {
  struct statvfs info;
  if (::statvfs(folder.c_str(), &info) != 0) return;  // the write itself will tell
  const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  const auto needed = static_cast<std::uint64_t>(kSpaceFactor * static_cast<double>(bytes));
  Require(free >= needed, ExitCode::kCannotSave, "a checkpoint of ", HumanBytes(bytes), " needs ",
          HumanBytes(needed), " free in ", folder, " and there are ", HumanBytes(free),
          "; free some space or lower trainer.keep");
}

// False, and said in the log, when a byte of the checkpoint is damaged.
bool IsGood(const std::string& step_folder) {
  try {
    Reader(step_folder).Verify();
    return true;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInvalidData) throw;
    log::Warning(error.what(), "; it is moved to quarantine");
    return false;
  }
}

// What the caller left open of where and when the step was made.
void FillProvenance(StepInfo* info) {
  if (info->version.empty()) info->version = VESALIUS_VERSION;
  if (info->config_hash.empty()) info->config_hash = Hex64(Hash64(info->config_text));
  if (info->wall_time == 0)
    info->wall_time =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// One save on one rank. Every rank runs the same exchanges in the same order: what a rank could not
// do travels with them, so that all ranks fail alike and nobody waits for ever.
class Saving {
 public:
  Saving(const WriterOptions& options, const Attempt* attempt, const Exchange& exchange,
         const StepInfo& info, const std::vector<TensorView>& tensors)
      : options_(options), attempt_(attempt), exchange_(exchange), info_(info), tensors_(tensors) {
    if (attempt_ != nullptr) {
      info_.run_id = attempt_->run_id();
      info_.token = attempt_->token();
    }
    FillProvenance(&info_);
  }

  std::string Run() {
    try {
      AgreeOnPlan();
      WriteShards();
      return CommitTogether();
    } catch (...) {
      if (leader()) Drop();
      throw;
    }
  }

 private:
  bool leader() const { return options_.rank == 0; }

  // Every rank's message by rank.
  template <typename Proto>
  std::vector<Proto> Gather(const std::string& name, const Proto& mine) {
    std::vector<Proto> all;
    for (const std::string& bytes : exchange_(name, mine.SerializeAsString())) {
      all.emplace_back();
      Invariant(all.back().ParseFromString(bytes), "a message of ", name, " cannot be parsed");
    }
    Invariant(all.size() == static_cast<std::size_t>(options_.ranks), name, " gave ", all.size(),
              " messages for ", options_.ranks, " ranks");
    FailTogether(all);
    return all;
  }

  // Throws the first rank's failure, if any, on every rank.
  template <typename Proto>
  void FailTogether(const std::vector<Proto>& all) {
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      const OutcomeProto& outcome = all[rank].outcome();
      if (outcome.code() == 0) continue;
      const auto code = static_cast<ExitCode>(outcome.code());
      const bool keeps_code = code == ExitCode::kFenced || code == ExitCode::kBug;
      Fail(keeps_code ? code : ExitCode::kCannotSave, "the checkpoint of step ", info_.step,
           " was not saved, rank ", rank, ": ", outcome.message(),
           "; checkpoints saved before are untouched");
    }
  }

  void Drop() const {
    try {
      if (!temporary_.empty()) RemoveTree(temporary_);
    } catch (const Error& error) {
      log::Warning("an unfinished checkpoint stays until the next start: ", error.what());
    }
  }

  // Whether view i is another box of the tensor before it.
  bool Repeats(std::size_t i) const {
    return i > 0 && tensors_[i].meta.name == tensors_[i - 1].meta.name &&
           tensors_[i].meta.role == tensors_[i - 1].meta.role;
  }

  void AgreeOnPlan();
  void MakeTemporaryFolder();
  void Describe(PlanProto* plan) const;
  void WriteShards();
  void WriteShard(const std::vector<int>& mine, ShardProto* shard) const;
  Manifest Assemble() const;
  std::string CommitTogether();
  void Publish(const std::string& target);

  const WriterOptions& options_;
  const Attempt* attempt_;
  const Exchange& exchange_;
  StepInfo info_;
  const std::vector<TensorView>& tensors_;
  std::string temporary_;
  std::vector<std::vector<int>> writes_;
  std::vector<ShardProto> shards_;
};

void Saving::MakeTemporaryFolder() {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (Repeats(i)) continue;
    const TensorView& view = tensors_[i];
    std::uint64_t bytes = 0;
    const std::size_t item = ItemSize(view.meta.dtype);
    Invariant(item > 0 && TensorBytes(view.meta.shape, item, &bytes), "tensor '", view.meta.name,
              "' has an unknown dtype ", view.meta.dtype, " or an impossible shape");
    total += bytes;
  }
  const std::string folder = CheckpointFolder(options_.run_folder);
  MakeDirs(folder, ExitCode::kCannotSave);
  CheckSpace(folder, total);
  temporary_ =
      StrCat(folder, "/.tmp-", StepName(info_.step).substr(5), "-", Replace(info_.token, "/", "_"));
  RemoveTree(temporary_);
  MakeDirs(temporary_, ExitCode::kCannotSave);
}

void Saving::Describe(PlanProto* plan) const {
  Digest list;
  plan->set_step(info_.step);
  for (const TensorView& view : tensors_) {
    list.Add(view.meta.name);
    list.Add(view.meta.dtype);
    list.Add(static_cast<std::int64_t>(view.meta.role));
    list.Add(static_cast<std::int64_t>(view.meta.shape.size()));
    for (const std::int64_t size : view.meta.shape) list.Add(size);
    HeldProto* held = plan->add_held();
    if (view.data == nullptr) {
      held->set_none(true);
      continue;
    }
    const Box box{view.offset, view.extent};
    Invariant(Inside(box, view.meta.shape), "tensor '", view.meta.name, "': the box ",
              ToString(box), " does not lie in it");
    Invariant(
        view.bytes == static_cast<std::size_t>(Volume(view.extent)) * ItemSize(view.meta.dtype),
        "tensor '", view.meta.name, "' is handed over with ", view.bytes, " bytes");
    if (box == Whole(view.meta.shape)) {
      held->set_whole(true);
      continue;
    }
    held->mutable_offset()->Add(box.offset.begin(), box.offset.end());
    held->mutable_extent()->Add(box.extent.begin(), box.extent.end());
  }
  plan->set_list_hash(Hash64(list.Hex()));
}

void Saving::AgreeOnPlan() {
  PlanProto plan;
  Try(plan.mutable_outcome(), [&] {
    if (leader()) MakeTemporaryFolder();
    plan.set_folder(temporary_);
    Describe(&plan);
  });
  const std::vector<PlanProto> plans = Gather("checkpoint.plan", plan);
  std::vector<std::vector<Box>> held(plans.size());
  std::vector<std::size_t> items;
  for (const TensorView& view : tensors_) items.push_back(ItemSize(view.meta.dtype));
  for (std::size_t rank = 0; rank < plans.size(); ++rank) {
    Invariant(
        plans[rank].step() == plans[0].step() && plans[rank].list_hash() == plans[0].list_hash(),
        "ranks 0 and ", rank, " want to save different tensors or steps");
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      const HeldProto& part = plans[rank].held(static_cast<int>(t));
      held[rank].push_back(part.none()    ? Box{{0}, {0}}
                           : part.whole() ? Whole(tensors_[t].meta.shape)
                                          : Box{{part.offset().begin(), part.offset().end()},
                                                {part.extent().begin(), part.extent().end()}});
    }
  }
  temporary_ = plans[0].folder();
  writes_ = AssignWriters(held, items);
}

void Saving::WriteShard(const std::vector<int>& mine, ShardProto* shard) const {
  char name[32];
  std::snprintf(name, sizeof(name), "rank-%04d.shard", options_.rank);
  OutputFile file(StrCat(temporary_, "/", name), ExitCode::kCannotSave);
  const std::string padding(kChunkAlignment, '\0');
  std::vector<std::uint32_t> crcs;
  for (const int index : mine) {
    const TensorView& view = tensors_[static_cast<std::size_t>(index)];
    const auto* data = static_cast<const char*>(view.data);
    const std::size_t item = ItemSize(view.meta.dtype);
    for (const Box& box : Split({view.offset, view.extent}, item, kMaxChunkBytes)) {
      file.Write(padding.data(),
                 (kChunkAlignment - file.size() % kChunkAlignment) % kChunkAlignment);
      const auto bytes = static_cast<std::size_t>(Volume(box.extent)) * item;
      crcs.push_back(Crc32c(data, bytes));
      ChunkProto* chunk = shard->add_chunks();
      chunk->mutable_offset()->Add(box.offset.begin(), box.offset.end());
      chunk->mutable_extent()->Add(box.extent.begin(), box.extent.end());
      chunk->set_position(file.size());
      chunk->set_bytes(bytes);
      chunk->set_crc32c(crcs.back());
      shard->add_tensor(static_cast<std::uint32_t>(index));
      file.Write(data, bytes);
      data += bytes;
    }
  }
  file.Sync();
  file.Close();
  shard->mutable_file()->set_name(name);
  shard->mutable_file()->set_bytes(file.size());
  shard->mutable_file()->set_crc32c(CrcOfCrcs(crcs));
}

void Saving::WriteShards() {
  ShardProto shard;
  const std::vector<int>& mine = writes_[static_cast<std::size_t>(options_.rank)];
  if (!mine.empty()) Try(shard.mutable_outcome(), [&] { WriteShard(mine, &shard); });
  shards_ = Gather("checkpoint.shards", shard);
}

Manifest Saving::Assemble() const {
  Manifest manifest;
  manifest.info = info_;
  std::vector<std::size_t> entry;  // of each view
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (!Repeats(i)) manifest.tensors.push_back({tensors_[i].meta, {}});
    entry.push_back(manifest.tensors.size() - 1);
  }
  for (const ShardProto& shard : shards_) {
    if (!shard.has_file()) continue;
    const auto file = static_cast<std::uint32_t>(manifest.files.size());
    manifest.files.push_back({shard.file().name(), shard.file().bytes(), shard.file().crc32c()});
    for (int i = 0; i < shard.chunks_size(); ++i) {
      const ChunkProto& part = shard.chunks(i);
      manifest.tensors[entry[shard.tensor(i)]].chunks.push_back(
          {{{part.offset().begin(), part.offset().end()},
            {part.extent().begin(), part.extent().end()}},
           file,
           part.position(),
           part.bytes(),
           part.crc32c()});
    }
  }
  return manifest;
}

// Leader only. The order is the promise: nothing is visible before all of it is on disk.
void Saving::Publish(const std::string& target) {
  const std::string content = EncodeManifest(Assemble());
  const std::string path = StrCat(temporary_, "/", kManifestName);
  try {
    DecodeManifest(content, path);
  } catch (const Error& error) {
    Invariant(false, "ranks do not hold every tensor exactly: ", error.what());
  }
  OutputFile file(path, ExitCode::kCannotSave);
  file.Write(content);
  file.Sync();
  file.Close();
  SyncDir(temporary_, ExitCode::kCannotSave);
  attempt_->CheckFence();
  if (Exists(target)) {
    if (IsGood(target)) {
      log::Info(target, " is there already and good: it stays, the new copy is dropped");
      RemoveTree(temporary_);
      return;
    }
    Quarantine(target);
    attempt_->CheckFence();
  }
  RenamePath(temporary_, target, ExitCode::kCannotSave);
  SyncDir(CheckpointFolder(options_.run_folder), ExitCode::kCannotSave);
  if (ReadFile(StrCat(target, "/", kManifestName)) != content) {
    Quarantine(target);
    Fail(ExitCode::kCannotSave, target, "/", kManifestName,
         " reads back different from what was written: the disk is not to be trusted");
  }
}

std::string Saving::CommitTogether() {
  const std::string target =
      StrCat(CheckpointFolder(options_.run_folder), "/", StepName(info_.step));
  CommitProto commit;
  if (leader()) Try(commit.mutable_outcome(), [&] { Publish(target); });
  Gather("checkpoint.commit", commit);
  return target;
}

}  // namespace

Writer::Writer(WriterOptions options, const Attempt* attempt, Exchange exchange)
    : options_(std::move(options)), attempt_(attempt), exchange_(std::move(exchange)) {
  Require(options_.keep >= 2, ExitCode::kConfig, "trainer.keep is ", options_.keep,
          " and must be at least 2: one checkpoint could be damaged");
  Invariant((attempt_ != nullptr) == (options_.rank == 0), "only rank 0 holds the attempt");
  if (options_.rank == 0) SweepLeftovers(options_.run_folder);
}

std::string Writer::Save(const StepInfo& info, const std::vector<TensorView>& tensors) {
  std::string folder = Saving(options_, attempt_, exchange_, info, tensors).Run();
  if (options_.rank == 0) RemoveOldSteps(options_.run_folder, options_.keep, info.step);
  return folder;
}

}  // namespace vesalius::checkpoints
