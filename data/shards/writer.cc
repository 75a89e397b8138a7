#include "data/shards/writer.h"

#include <unistd.h>

#include <cstdio>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/shards/fingerprint.h"
#include "data/shards/manifest.h"
#include "data/shards/shard_builder.h"

namespace vesalius::data {
namespace {

// A shard is laid out in memory, so its uncompressed pixels are bounded too.
constexpr std::uint64_t kMaxShardImageBytes = 128u << 20;

std::string ShardName(std::size_t index) {
  char name[32];
  std::snprintf(name, sizeof(name), "shard-%05zu.h5", index);
  return name;
}

}  // namespace

struct DatasetWriter::Impl {
  WriterOptions options;
  bool made_folder = false;
  bool finished = false;
  bool published = false;  // some shards already have their final names
  std::unique_ptr<ShardBuilder> builder;
  ShardShape shape;
  Manifest manifest;
  Fingerprint fingerprint;

  std::string Final(const ShardEntry& shard) const {
    return StrCat(options.folder, "/", shard.file);
  }
  std::string Temporary(const ShardEntry& shard) const {
    return StrCat(Final(shard), ".tmp-", ::getpid());
  }

  void FlushShard();
  void Publish();
  void Discard();
};

// Writes the gathered records under a temporary name.
void DatasetWriter::Impl::FlushShard() {
  if (!builder || builder->records() == 0) return;
  const std::string bytes = builder->Build();
  ShardEntry shard;
  shard.file = ShardName(manifest.shards.size());
  shard.records = builder->records();
  shard.bytes = bytes.size();
  shard.crc32c = Crc32c(bytes.data(), bytes.size());
  shard.splits = builder->splits();
  for (const Split split : shard.splits) ++manifest.split_counts[static_cast<int>(split)];
  manifest.shards.push_back(shard);  // before writing, so that Discard() knows of it
  OutputFile file(Temporary(shard));
  file.Write(bytes);
  file.Sync();
  file.Close();
  builder.reset();
}

void DatasetWriter::Impl::Publish() {
  const std::string path = ManifestPath(options.folder);
  Require(!Exists(path), ExitCode::kCannotCreate, path,
          " was written by another process meanwhile; give this data set a folder of its own");
  published = true;
  for (const ShardEntry& shard : manifest.shards) RenamePath(Temporary(shard), Final(shard));
  SyncDir(options.folder);
  WriteManifest(path, manifest);
  finished = true;
  // What writers that were killed left behind in this folder.
  for (const std::string& name : ListDir(options.folder))
    if (name.starts_with("shard-") && name.find(".h5.tmp-") != std::string::npos)
      ::unlink(StrCat(options.folder, "/", name).c_str());
}

void DatasetWriter::Impl::Discard() {
  if (published) ::unlink(ManifestPath(options.folder).c_str());
  for (const ShardEntry& shard : manifest.shards) {
    ::unlink(Temporary(shard).c_str());
    if (published) ::unlink(Final(shard).c_str());
  }
  if (made_folder) ::rmdir(options.folder.c_str());  // stays when others put something there
}

DatasetWriter::DatasetWriter(const WriterOptions& options) : impl_(std::make_unique<Impl>()) {
  Invariant(options.stored_size > 0 && options.records_per_shard > 0, "writer options");
  impl_->options = options;
  impl_->manifest.source = options.source;
  impl_->manifest.stored_size = options.stored_size;
  Require(!Exists(ManifestPath(options.folder)), ExitCode::kCannotCreate, options.folder,
          " already holds a data set; choose another folder or remove it first");
  impl_->made_folder = !Exists(options.folder);
  MakeDirs(options.folder);
}

DatasetWriter::~DatasetWriter() {
  if (!impl_->finished) impl_->Discard();
}

void DatasetWriter::Add(const Record& record) {
  Impl& impl = *impl_;
  if (impl.manifest.shards.empty() && !impl.builder) {
    impl.shape = {impl.options.stored_size, record.image.channels,
                  static_cast<int>(record.region_labels.size()) / kRegions,
                  static_cast<int>(record.image_labels.size())};
    impl.manifest.channels = impl.shape.channels;
  }
  if (!impl.builder) impl.builder = std::make_unique<ShardBuilder>(impl.shape);
  impl.builder->Add(record);
  impl.fingerprint.Add(record);
  if (impl.builder->records() >= impl.options.records_per_shard ||
      impl.builder->image_bytes() >= kMaxShardImageBytes)
    impl.FlushShard();
}

void DatasetWriter::Finish(const Vocabulary& vocabulary) {
  Impl& impl = *impl_;
  Invariant(!impl.finished, "a data set is finished twice");
  impl.FlushShard();
  Require(!impl.manifest.shards.empty(), ExitCode::kInvalidData, "no record was added to ",
          impl.options.folder, ": an empty data set is not written");
  Invariant(impl.shape.findings == static_cast<int>(vocabulary.findings.size()) &&
                impl.shape.image_labels == static_cast<int>(vocabulary.image_labels.size()),
            "the vocabulary has ", vocabulary.findings.size(), " findings and ",
            vocabulary.image_labels.size(), " image labels, the records ", impl.shape.findings,
            " and ", impl.shape.image_labels);
  Invariant(vocabulary.can.size() == kRegions * vocabulary.findings.size(),
            "the vocabulary has a region-finding table of ", vocabulary.can.size(), " entries for ",
            vocabulary.findings.size(), " findings");
  impl.manifest.vocabulary = vocabulary;
  impl.manifest.fingerprint = impl.fingerprint.Finish(vocabulary);
  impl.Publish();
}

}  // namespace vesalius::data
