#include "data/shards/dataset_files.h"

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "data/shards/fingerprint.h"

namespace vesalius::data {
namespace {

constexpr char kRemedy[] = "; copy the data set again from its source or import it anew";

std::string ShardPath(const std::string& folder, const ShardEntry& entry) {
  return StrCat(folder, "/", entry.file);
}

std::unique_ptr<ShardReader> OpenEntry(const std::string& folder, const Manifest& manifest,
                                       const ShardEntry& entry) {
  const std::string path = ShardPath(folder, entry);
  Require(Exists(path), ExitCode::kInputMissing, path, " is missing, though the manifest names it",
          kRemedy);
  const std::uint64_t bytes = FileSize(path);
  Require(bytes == entry.bytes, ExitCode::kInvalidData, path, " has ", bytes, " bytes instead of ",
          entry.bytes, ": it was cut short or changed", kRemedy);
  std::unique_ptr<ShardReader> shard = OpenShard(path);
  const ShardShape expected{manifest.stored_size, manifest.channels,
                            static_cast<int>(manifest.vocabulary.findings.size()),
                            static_cast<int>(manifest.vocabulary.image_labels.size())};
  Require(shard->records() == entry.records && shard->shape() == expected, ExitCode::kInvalidData,
          path, " does not belong to this manifest (other record count, image size or labels)",
          kRemedy);
  return shard;
}

std::uint32_t FileCrc(const std::string& path) {
  constexpr std::uint64_t kBlock = 4 << 20;
  const std::uint64_t size = FileSize(path);
  std::string block;
  std::uint32_t crc = 0;
  for (std::uint64_t offset = 0; offset < size; offset += block.size()) {
    block.resize(std::min(kBlock, size - offset));
    ReadAt(path, offset, block.data(), block.size());
    crc = Crc32c(block.data(), block.size(), crc);
  }
  return crc;
}

class Verifier {
 public:
  Verifier(const std::string& folder, const std::function<void(const Record&)>& visit)
      : folder_(folder), visit_(visit) {}

  std::vector<Damage> Run() {
    const std::string path = ManifestPath(folder_);
    Require(Exists(path), ExitCode::kInputMissing, path,
            " does not exist: the folder holds no data set");
    Try(path, -1, [&] { manifest_ = ReadManifest(path); });
    if (!damages_.empty()) return damages_;
    for (const ShardEntry& entry : manifest_.shards) VerifyShard(entry);
    if (damages_.empty()) {
      const std::string actual = fingerprint_.Finish(manifest_.vocabulary);
      if (actual != manifest_.fingerprint &&
          streamed_.Finish(manifest_.vocabulary) != manifest_.fingerprint)
        damages_.push_back({path, -1,
                            StrCat(path, " has fingerprint ", manifest_.fingerprint,
                                   ", its records have ", actual, kRemedy)});
    }
    return damages_;
  }

 private:
  template <typename Action>
  void Try(const std::string& file, std::int64_t record, const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      damages_.push_back({file, record, error.what()});
    }
  }

  void VerifyShard(const ShardEntry& entry) {
    const std::string path = ShardPath(folder_, entry);
    std::unique_ptr<ShardReader> shard;
    Try(path, -1, [&] { shard = OpenEntry(folder_, manifest_, entry); });
    if (!shard) return;
    const std::size_t before = damages_.size();
    for (std::int64_t row = 0; row < entry.records; ++row)
      Try(path, row, [&] { VerifyRecord(path, entry, row, shard->Read(row)); });
    if (damages_.size() > before) return;
    // No record is damaged: a wrong file checksum is told only now, as the less exact finding.
    Try(path, -1, [&] {
      Require(FileCrc(path) == entry.crc32c, ExitCode::kInvalidData, path,
              " has a wrong checksum, though all its records are whole", kRemedy);
    });
  }

  void VerifyRecord(const std::string& path, const ShardEntry& entry, std::int64_t row,
                    const Record& record) {
    fingerprint_.Add(record);
    streamed_.Add(record);
    Require(record.split == entry.splits[static_cast<std::size_t>(row)], ExitCode::kInvalidData,
            path, ", record ", row, " belongs to another split than the manifest says", kRemedy);
    if (visit_) visit_(record);
  }

  std::string folder_;
  const std::function<void(const Record&)>& visit_;
  Manifest manifest_;
  Fingerprint fingerprint_;
  StreamedFingerprint streamed_;
  std::vector<Damage> damages_;
};

}  // namespace

DatasetFiles OpenDatasetFiles(const std::string& folder) {
  Require(Exists(folder), ExitCode::kInputMissing, folder,
          " does not exist; check the spelling of the data set folder");
  DatasetFiles files;
  files.manifest = ReadManifest(ManifestPath(folder));
  for (const ShardEntry& entry : files.manifest.shards)
    files.shards.push_back(OpenEntry(folder, files.manifest, entry));
  return files;
}

std::vector<Damage> VerifyDataset(const std::string& folder,
                                  const std::function<void(const Record&)>& visit) {
  return Verifier(folder, visit).Run();
}

}  // namespace vesalius::data
