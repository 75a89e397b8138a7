#include "checkpoints/manifest.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
#include "checkpoints/manifest.pb.h"

namespace vesalius::checkpoints {
namespace {

using google::protobuf::Arena;

constexpr std::size_t kHeaderBytes = 8 + 4 + 8;  // magic, version, length of the body

template <typename T>
void Append(std::string* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out->push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}

template <typename T>
T Load(std::string_view bytes, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value |= static_cast<T>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

template <typename... Parts>
[[noreturn]] void Damaged(const std::string& path, const Parts&... parts) {
  Fail(ExitCode::kInvalidData, path, " is damaged: ", parts...,
       "; use an older step (--resume auto finds the newest good one)");
}

void ToProto(const StepInfo& info, ManifestProto* proto) {
  proto->set_step(info.step);
  proto->set_samples(info.samples);
  proto->set_run_id(info.run_id);
  proto->set_token(info.token);
  proto->set_config_hash(info.config_hash);
  proto->set_config_text(info.config_text);
  proto->set_world(info.world);
  proto->set_wall_time(info.wall_time);
  proto->set_program_version(info.version);
  for (const auto& [name, content] : info.blobs) {
    BlobProto* blob = proto->add_blobs();
    blob->set_name(name);
    blob->set_content(content);
    blob->set_crc32c(Crc32c(content.data(), content.size()));
  }
}

StepInfo FromProto(const ManifestProto& proto, const std::string& path) {
  StepInfo info;
  info.step = proto.step();
  info.samples = proto.samples();
  info.run_id = proto.run_id();
  info.token = proto.token();
  info.config_hash = proto.config_hash();
  info.config_text = proto.config_text();
  info.world = proto.world();
  info.wall_time = proto.wall_time();
  info.version = proto.program_version();
  for (const BlobProto& blob : proto.blobs()) {
    if (blob.crc32c() != Crc32c(blob.content().data(), blob.content().size()))
      Damaged(path, "the checksum of blob '", blob.name(), "' does not match");
    info.blobs[blob.name()] = blob.content();
  }
  return info;
}

void CheckChunk(const StoredTensor& tensor, const Chunk& chunk, const Manifest& manifest,
                const std::string& path) {
  const TensorMeta& meta = tensor.meta;
  const std::vector<StoredFile>& files = manifest.files;
  if (chunk.box.offset.size() != chunk.box.extent.size())
    Damaged(path, "tensor '", meta.name, "': a chunk with ", chunk.box.offset.size(),
            " offsets and ", chunk.box.extent.size(), " extents");
  const auto bad = [&](const char* what) {
    Damaged(path, "tensor '", meta.name, "', chunk ", ToString(chunk.box), ": ", what);
  };
  if (!Inside(chunk.box, meta.shape) || Volume(chunk.box.extent) == 0)
    bad("it does not lie in the tensor");
  if (chunk.bytes != static_cast<std::uint64_t>(Volume(chunk.box.extent)) * ItemSize(meta.dtype))
    bad("its length is not that of its shape");
  if (chunk.file >= files.size()) bad("it names a file that is not listed");
  if (chunk.position > files[chunk.file].bytes ||
      chunk.bytes > files[chunk.file].bytes - chunk.position)
    bad("it lies past the end of its file");
  if (chunk.crcs.size() != (chunk.bytes + manifest.block_bytes - 1) / manifest.block_bytes)
    bad("it has not one checksum for each block");
}

// Every element of the tensor in exactly one chunk.
void CheckTiling(const StoredTensor& tensor, const std::string& path) {
  std::vector<const Box*> boxes;
  std::uint64_t volume = 0;  // may wrap around with chunks that overlap, which is refused below
  for (const Chunk& chunk : tensor.chunks) {
    boxes.push_back(&chunk.box);
    volume += static_cast<std::uint64_t>(Volume(chunk.box.extent));
  }
  if (volume != static_cast<std::uint64_t>(Volume(tensor.meta.shape)))
    Damaged(path, "the chunks of tensor '", tensor.meta.name, "' hold ", volume, " elements of ",
            Volume(tensor.meta.shape));
  std::sort(boxes.begin(), boxes.end(), [](const Box* a, const Box* b) { return *a < *b; });
  Box common;
  for (std::size_t i = 0; i < boxes.size(); ++i)
    for (std::size_t j = i + 1; j < boxes.size(); ++j) {
      if (boxes[i]->offset.empty() ||
          boxes[j]->offset[0] >= boxes[i]->offset[0] + boxes[i]->extent[0])
        break;
      if (Intersect(*boxes[i], *boxes[j], &common))
        Damaged(path, "chunks of tensor '", tensor.meta.name, "' overlap at ", ToString(common));
    }
}

void CheckTensors(const Manifest& manifest, const std::string& path) {
  if (manifest.block_bytes == 0) Damaged(path, "its blocks have no bytes");
  std::set<std::pair<std::string, Role>> names;
  for (const StoredTensor& tensor : manifest.tensors) {
    const TensorMeta& meta = tensor.meta;
    std::uint64_t bytes = 0;
    if (ItemSize(meta.dtype) == 0 || !TensorBytes(meta.shape, ItemSize(meta.dtype), &bytes))
      Damaged(path, "tensor '", meta.name, "' has dtype '", meta.dtype,
              "' or a shape unknown here");
    if (!names.emplace(meta.name, meta.role).second)
      Damaged(path, "tensor '", meta.name, "' is listed twice");
    for (const Chunk& chunk : tensor.chunks) CheckChunk(tensor, chunk, manifest, path);
    CheckTiling(tensor, path);
  }
}

void CheckFiles(const Manifest& manifest, const std::string& path) {
  std::vector<std::map<std::uint64_t, const Chunk*>> chunks(manifest.files.size());
  for (const StoredTensor& tensor : manifest.tensors)
    for (const Chunk& chunk : tensor.chunks) chunks[chunk.file][chunk.position] = &chunk;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const StoredFile& file = manifest.files[i];
    if (file.name.empty() || file.name.find('/') != std::string::npos)
      Damaged(path, "it lists a file with the name '", file.name, "'");
    std::vector<std::uint32_t> ordered;
    for (const auto& [position, chunk] : chunks[i])
      ordered.insert(ordered.end(), chunk->crcs.begin(), chunk->crcs.end());
    if (CrcOfCrcs(ordered) != file.crc)
      Damaged(path, "the checksum of ", file.name, " is not that of its chunks");
  }
}

// The message lives in `arena`: thousands of chunks are many small allocations.
const ManifestProto& Unframe(std::string_view content, const std::string& path, Arena* arena) {
  if (content.size() < kHeaderBytes + 4 || content.substr(0, 8) != kManifestMagic)
    Damaged(path, "it does not begin like a checkpoint manifest (", content.size(), " bytes)");
  const auto version = Load<std::uint32_t>(content, 8);
  Require(version >= 1 && version <= kManifestVersion, ExitCode::kInvalidData, path,
          " has format version ", version, ", this program reads versions 1 to ", kManifestVersion,
          "; use the program that wrote it");
  const auto length = Load<std::uint64_t>(content, 12);
  if (length != content.size() - kHeaderBytes - 4)
    Damaged(path, "its body should have ", length, " bytes and has ",
            content.size() - kHeaderBytes - 4);
  const std::size_t end = content.size() - 4;
  if (Crc32c(content.data(), end) != Load<std::uint32_t>(content, end))
    Damaged(path, "its own checksum (at byte ", end, ") does not match");
  auto& proto = *Arena::CreateMessage<ManifestProto>(arena);
  if (!proto.ParseFromArray(content.data() + kHeaderBytes, static_cast<int>(length)))
    Damaged(path, "its body is not the expected Protobuf message");
  return proto;
}

}  // namespace

std::uint32_t CrcOfCrcs(const std::vector<std::uint32_t>& crcs) {
  std::string bytes;
  for (const std::uint32_t crc : crcs) Append(&bytes, crc);
  return Crc32c(bytes.data(), bytes.size());
}

std::string EncodeManifest(const Manifest& manifest) {
  Arena arena;
  auto& proto = *Arena::CreateMessage<ManifestProto>(&arena);
  ToProto(manifest.info, &proto);
  proto.set_block_bytes(manifest.block_bytes);
  for (const StoredFile& file : manifest.files) {
    FileProto* out = proto.add_files();
    out->set_name(file.name);
    out->set_bytes(file.bytes);
    out->set_crc32c(file.crc);
  }
  for (const StoredTensor& tensor : manifest.tensors) {
    TensorProto* out = proto.add_tensors();
    out->set_name(tensor.meta.name);
    out->set_dtype(tensor.meta.dtype);
    out->mutable_shape()->Add(tensor.meta.shape.begin(), tensor.meta.shape.end());
    out->set_role(static_cast<int>(tensor.meta.role));
    for (const Chunk& chunk : tensor.chunks) {
      ChunkProto* part = out->add_chunks();
      part->mutable_offset()->Add(chunk.box.offset.begin(), chunk.box.offset.end());
      part->mutable_extent()->Add(chunk.box.extent.begin(), chunk.box.extent.end());
      part->set_file(chunk.file);
      part->set_position(chunk.position);
      part->set_bytes(chunk.bytes);
      part->mutable_crc32c()->Add(chunk.crcs.begin(), chunk.crcs.end());
    }
  }
  std::string content(kManifestMagic);
  const std::string body = proto.SerializeAsString();
  Append(&content, kManifestVersion);
  Append(&content, static_cast<std::uint64_t>(body.size()));
  content += body;
  Append(&content, Crc32c(content.data(), content.size()));
  return content;
}

namespace {

void Check(const Manifest& manifest, const std::string& path) {
  CheckTensors(manifest, path);
  CheckFiles(manifest, path);
}

Manifest Decode(std::string_view content, const std::string& path, bool complete) {
  Arena arena;
  const ManifestProto& proto = Unframe(content, path, &arena);
  Manifest manifest;
  manifest.info = FromProto(proto, path);
  manifest.block_bytes = proto.has_block_bytes() ? proto.block_bytes() : kMaxChunkBytes;
  for (const FileProto& file : proto.files())
    manifest.files.push_back({file.name(), file.bytes(), file.crc32c()});
  for (const TensorProto& tensor : proto.tensors()) {
    StoredTensor stored;
    stored.meta.name = tensor.name();
    stored.meta.dtype = tensor.dtype();
    stored.meta.shape.assign(tensor.shape().begin(), tensor.shape().end());
    if (tensor.role() < 0 || tensor.role() > static_cast<int>(Role::kBuffer))
      Damaged(path, "tensor '", tensor.name(), "' has the unknown role ", tensor.role());
    stored.meta.role = static_cast<Role>(tensor.role());
    for (const ChunkProto& part : tensor.chunks())
      stored.chunks.push_back({{{part.offset().begin(), part.offset().end()},
                                {part.extent().begin(), part.extent().end()}},
                               part.file(),
                               part.position(),
                               part.bytes(),
                               {part.crc32c().begin(), part.crc32c().end()}});
    manifest.tensors.push_back(std::move(stored));
  }
  if (complete) Check(manifest, path);
  return manifest;
}

bool SameTensor(const TensorMeta& a, const TensorMeta& b) {
  return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.role == b.role;
}

}  // namespace

Manifest DecodeManifest(std::string_view content, const std::string& path) {
  return Decode(content, path, /*complete=*/true);
}

Manifest DecodePart(std::string_view content, const std::string& path) {
  return Decode(content, path, /*complete=*/false);
}

Manifest JoinParts(std::vector<Manifest> parts, const std::string& path) {
  Manifest all = std::move(parts.at(0));
  for (std::size_t p = 1; p < parts.size(); ++p) {
    const auto first_file = static_cast<std::uint32_t>(all.files.size());
    all.files.insert(all.files.end(), parts[p].files.begin(), parts[p].files.end());
    if (parts[p].tensors.size() != all.tensors.size() || parts[p].block_bytes != all.block_bytes)
      Damaged(path, "the part of rank ", p, " is not of the same save");
    for (std::size_t t = 0; t < all.tensors.size(); ++t) {
      StoredTensor& tensor = all.tensors[t];
      if (!SameTensor(tensor.meta, parts[p].tensors[t].meta))
        Damaged(path, "the part of rank ", p, " has another tensor than '", tensor.meta.name, "'");
      for (Chunk& chunk : parts[p].tensors[t].chunks) {
        chunk.file += first_file;
        tensor.chunks.push_back(std::move(chunk));
      }
    }
  }
  Check(all, path);
  return all;
}

std::string CheckpointFolder(const std::string& run_folder) { return run_folder + "/ckpt"; }

std::string StepName(std::int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "step-%08lld", static_cast<long long>(step));
  return name;
}

std::int64_t StepOfName(std::string_view name) {
  if (!name.starts_with("step-") || name.size() < 13 || name.size() > 23) return -1;
  std::int64_t step = 0;
  for (const char c : name.substr(5)) {
    if (c < '0' || c > '9') return -1;
    step = step * 10 + (c - '0');
  }
  return StepName(step) == name ? step : -1;
}

}  // namespace vesalius::checkpoints
