#include "checkpoints/reader.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "checkpoints/manifest.h"
#include "checkpoints/memory_tier.h"
#include "checkpoints/protections.h"

namespace vesalius::checkpoints {
namespace {

constexpr std::size_t kDigestSlab = std::size_t{64} << 20;

const char* RoleName(Role role) {
  switch (role) {
    case Role::kParameter:
      return "parameter";
    case Role::kMoment1:
      return "first moment";
    case Role::kMoment2:
      return "second moment";
    case Role::kScalar:
      return "scalar";
    case Role::kBuffer:
      return "buffer";
  }
  return "unknown";
}

}  // namespace

struct Reader::Impl {
  std::string folder;
  Manifest manifest;
  std::vector<TensorMeta> metas;
  std::map<std::pair<std::string, Role>, std::size_t> index;

  mutable std::atomic<std::uint64_t> bytes_read = 0;

  void Open(bool exact);

  // Reads bytes [begin, end) of the chunk, whole blocks, and checks them.
  void Load(const StoredTensor& tensor, const Chunk& chunk, std::uint64_t begin, std::uint64_t end,
            char* out) const {
    const std::string path = StrCat(folder, "/", manifest.files[chunk.file].name);
    ReadAt(path, chunk.position + begin, out, end - begin);
    bytes_read += end - begin;
    const std::uint64_t block = manifest.block_bytes;
    const std::vector<std::uint32_t> crcs = Crc32cBlocks(out, end - begin, block);
    for (std::size_t i = 0; i < crcs.size(); ++i) {
      const std::uint64_t from = begin + i * block;
      Require(crcs[i] == chunk.crcs[from / block] || !Protects(Protection::kChecksum),
              ExitCode::kInvalidData, path, " is damaged between bytes ", chunk.position + from,
              " and ", chunk.position + std::min(from + block, end), ": ",
              RoleName(tensor.meta.role), " '", tensor.meta.name, "' ", ToString(chunk.box),
              " does not match its checksum; use an older step (--resume auto finds the newest "
              "good one)");
    }
  }

  void Verify(const StoredTensor& tensor, const Chunk& chunk) const {
    const auto bytes = std::make_unique_for_overwrite<char[]>(chunk.bytes);
    Load(tensor, chunk, 0, chunk.bytes, bytes.get());
  }

  void Fill(const StoredTensor& tensor, const Box& wanted, void* data) const {
    const std::size_t item = ItemSize(tensor.meta.dtype);
    const std::uint64_t block = manifest.block_bytes;
    Box common;
    for (const Chunk& chunk : tensor.chunks) {
      if (!Intersect(chunk.box, wanted, &common)) continue;
      const auto [first, last] = Span(chunk.box, common);
      const std::uint64_t begin = first * item / block * block;
      const std::uint64_t end =
          std::min(chunk.bytes, (last * item + item + block - 1) / block * block);
      const auto bytes = std::make_unique_for_overwrite<char[]>(end - begin);
      Load(tensor, chunk, begin, end, bytes.get());
      CopyBox(common, chunk.box, bytes.get() - begin, wanted, data, item);
    }
  }
};

Reader::Reader(const std::string& folder, const MemoryStep& step)
    : impl_(std::make_unique<Impl>()) {
  impl_->folder = WithoutSlash(folder);
  impl_->manifest = MemoryManifest(impl_->folder, step);
  impl_->Open(/*exact=*/false);
}

Reader::Reader(const std::string& step_folder) : impl_(std::make_unique<Impl>()) {
  impl_->folder = WithoutSlash(step_folder);
  Require(IsDir(impl_->folder), ExitCode::kInputMissing, "no checkpoint folder ", impl_->folder,
          "; check the spelling of the path");
  const std::string path = StrCat(impl_->folder, "/", kManifestName);
  Require(!IsMissing(path), ExitCode::kInvalidData, impl_->folder,
          " has no MANIFEST: it is no checkpoint, or a damaged one; use another step");
  impl_->manifest = DecodeManifest(ReadFile(path), path);
  const std::int64_t named = StepOfName(std::filesystem::path(impl_->folder).filename().string());
  Require(named < 0 || named == info().step, ExitCode::kInvalidData, impl_->folder, " holds step ",
          info().step, ": the folder was renamed; give it its own name back");
  impl_->Open(/*exact=*/true);
}

// What every use needs: files of the right length, tensors by name. A slot in memory may be longer
// than the share in it.
void Reader::Impl::Open(bool exact) {
  for (const StoredFile& file : manifest.files) {
    const std::string shard = StrCat(folder, "/", file.name);
    Require(!IsMissing(shard), ExitCode::kInvalidData, shard,
            " is missing, the checkpoint is damaged; use an older step");
    const std::uint64_t bytes = FileSize(shard);
    Require(bytes == file.bytes || (!exact && bytes > file.bytes), ExitCode::kInvalidData, shard,
            " has ", bytes, " bytes and should have ", file.bytes,
            ": it is truncated or not of this checkpoint; use an older step");
  }
  for (const StoredTensor& tensor : manifest.tensors) {
    index[{tensor.meta.name, tensor.meta.role}] = metas.size();
    metas.push_back(tensor.meta);
  }
}

Reader::~Reader() = default;

const StepInfo& Reader::info() const { return impl_->manifest.info; }
const std::vector<TensorMeta>& Reader::tensors() const { return impl_->metas; }

bool Reader::Has(const std::string& name, Role role) const {
  return impl_->index.contains({name, role});
}

void Reader::Read(const TensorView& view) const {
  const auto found = impl_->index.find({view.meta.name, view.meta.role});
  Require(found != impl_->index.end(), ExitCode::kInvalidData, impl_->folder, " has no ",
          RoleName(view.meta.role), " '", view.meta.name,
          "'; it was written for another model or by another configuration");
  const StoredTensor& tensor = impl_->manifest.tensors[found->second];
  Require(tensor.meta.dtype == view.meta.dtype && tensor.meta.shape == view.meta.shape,
          ExitCode::kInvalidData, impl_->folder, ": ", RoleName(view.meta.role), " '",
          view.meta.name, "' is ", tensor.meta.dtype, " ", ToString(Whole(tensor.meta.shape)),
          " and ", view.meta.dtype, " ", ToString(Whole(view.meta.shape)),
          " is wanted; it was written for another model or by another configuration");
  const Box wanted{view.offset, view.extent};
  Invariant(
      Inside(wanted, view.meta.shape) &&
          view.bytes == static_cast<std::size_t>(Volume(view.extent)) * ItemSize(view.meta.dtype),
      "tensor '", view.meta.name, "': ", view.bytes, " bytes cannot take the box ",
      ToString(wanted));
  if (view.bytes > 0) impl_->Fill(tensor, wanted, view.data);
}

void Reader::Verify() const { VerifyShare(0, 1, {}); }

void Reader::VerifyShare(int share, int shares, const std::set<TensorKey>& without) const {
  std::uint64_t before = 0;  // bytes of the chunks up to here: equal shares of them
  std::uint64_t total = 0;
  for (const StoredFile& file : impl_->manifest.files) total += file.bytes;
  const std::uint64_t each = total / static_cast<std::uint64_t>(shares) + 1;
  for (const StoredTensor& tensor : impl_->manifest.tensors) {
    if (without.contains({tensor.meta.name, tensor.meta.role})) continue;
    for (const Chunk& chunk : tensor.chunks) {
      if (before / each == static_cast<std::uint64_t>(share)) impl_->Verify(tensor, chunk);
      before += chunk.bytes;
    }
  }
}

std::uint64_t Reader::bytes_read() const { return impl_->bytes_read; }

std::string Reader::ParametersDigest() const {
  std::map<std::string, const StoredTensor*> parameters;
  for (const StoredTensor& tensor : impl_->manifest.tensors)
    if (tensor.meta.role == Role::kParameter) parameters[tensor.meta.name] = &tensor;
  Digest digest;
  for (const auto& [name, tensor] : parameters) {
    const TensorMeta& meta = tensor->meta;
    digest.Add(name);
    digest.Add(meta.dtype);
    digest.Add(static_cast<std::int64_t>(meta.shape.size()));
    for (const std::int64_t size : meta.shape) digest.Add(size);
    const std::size_t item = ItemSize(meta.dtype);
    for (const Box& slab : Split(Whole(meta.shape), item, kDigestSlab)) {
      std::string bytes(static_cast<std::size_t>(Volume(slab.extent)) * item, '\0');
      impl_->Fill(*tensor, slab, bytes.data());
      digest.Add(bytes.data(), bytes.size());
    }
  }
  return digest.Hex();
}

std::vector<std::string> ListSteps(const std::string& run_folder) {
  const std::string folder = CheckpointFolder(WithoutSlash(run_folder));
  std::vector<std::int64_t> steps;
  Require(!IsMissing(folder) || !std::filesystem::is_symlink(folder), ExitCode::kInputMissing,
          folder, " is a link that leads nowhere: is its file system mounted?");
  if (!IsMissing(folder))
    for (const std::string& name : ListDir(folder))
      if (StepOfName(name) >= 0 && !IsMissing(StrCat(folder, "/", name)) &&
          IsDir(StrCat(folder, "/", name)))
        steps.push_back(StepOfName(name));
  std::sort(steps.rbegin(), steps.rend());
  std::vector<std::string> folders;
  for (const std::int64_t step : steps) folders.push_back(StrCat(folder, "/", StepName(step)));
  return folders;
}

std::string OwnStep(const std::string& run_folder, const std::string& path) {
  std::error_code none;  // `path` may be missing
  for (const std::string& folder : ListSteps(run_folder))
    if (std::filesystem::equivalent(folder, path, none)) return folder;
  return "";
}

std::string ResolveStep(const std::string& path, std::vector<std::string>* skipped) {
  std::string clean = WithoutSlash(path);
  Require(IsDir(clean), ExitCode::kInputMissing, "no run or checkpoint folder ", clean,
          "; check the spelling of the path");
  const std::string name = std::filesystem::path(clean).filename();
  if (StepOfName(name) >= 0 || Exists(StrCat(clean, "/", kManifestName))) return clean;
  std::vector<std::string> reasons;
  for (const std::string& folder : ListSteps(clean)) {
    try {
      Reader(folder).Verify();
      return folder;
    } catch (const Error& error) {
      if (IsMissing(folder)) continue;  // a living run does not keep it any more
      if (error.code() != ExitCode::kInvalidData) throw;
      reasons.push_back(StrCat(folder, ": ", error.what()));
      if (skipped != nullptr) skipped->push_back(reasons.back());
    }
  }
  Require(reasons.empty(), ExitCode::kInvalidData, "no checkpoint in ", clean,
          " is good: ", Join(reasons, "; "),
          "; name another one (--resume PATH, --checkpoint PATH), or start a new run folder");
  Fail(ExitCode::kInputMissing, clean, " has no checkpoint yet (", CheckpointFolder(clean),
       " is empty or missing)");
}

void Quarantine(const std::string& step_folder) {
  const std::filesystem::path from = WithoutSlash(step_folder);
  const std::string folder = (from.parent_path() / "quarantine").string();
  MakeDirs(folder);
  std::string to = StrCat(folder, "/", from.filename().string());
  for (int copy = 2; Exists(to); ++copy)
    to = StrCat(folder, "/", from.filename().string(), "-", copy);
  RenamePath(from.string(), to);
  SyncDir(folder);
  SyncDir(from.parent_path().string());
}

}  // namespace vesalius::checkpoints
