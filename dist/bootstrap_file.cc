// Ranks that are plain processes and share a folder: each exchange is one small file a rank,
// written atomically as FOLDER/NUMBER.RANK, whose first line is the exchange's name. A folder
// serves one attempt; a used one is refused, so that no rank can meet a ghost of the last attempt.
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "dist/backend_registry.h"
#include "dist/bootstrap_kinds.h"
#include "dist/node/node_communicator.h"
#include "dist/peers.h"
#include "dist/request.h"

namespace vesalius::dist {
namespace {

class FileBootstrap : public Bootstrap {
 public:
  FileBootstrap(std::string folder, int rank, int size, std::chrono::milliseconds limit)
      : folder_(std::move(folder)), rank_(rank), size_(size), limit_(limit) {
    Require(size_ >= 1 && rank_ < size_, ExitCode::kConfig, "VESALIUS_RANK=", rank_,
            " does not fit VESALIUS_SIZE=", size_, ": ranks count from 0");
    MakeDirs(folder_);
    Require(!Exists(Path(rank_)), ExitCode::kConfig, "VESALIUS_STORE ", folder_,
            " was used before (", Path(rank_), " exists): give every attempt a fresh folder");
    for (const std::string& text : Exchange("start", Encode(ThisProcess()))) {
      peers_.push_back(DecodePeer(text));
    }
    place_ = PlaceOnNode(peers_, rank_);
    watch_ = std::make_unique<PeerWatch>(peers_, MembersOfOneNode(rank_, size_).names, rank_);
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int node_rank() const override { return place_.first; }
  int node_size() const override { return place_.second; }
  const char* kind() const override { return "file"; }

  std::vector<std::string> Exchange(std::string_view name, std::string_view mine) override {
    WriteFileAtomic(Path(rank_), StrCat(name, "\n", mine));
    const auto deadline = Clock::now() + limit_;
    std::vector<std::string> all;
    for (int r = 0; r < size_; ++r) {
      WaitFor(r, name, deadline);
      const std::string content = ReadFile(Path(r));
      const std::size_t line = content.find('\n');
      Require(line != std::string::npos && content.substr(0, line) == name, ExitCode::kBug,
              "internal error: ranks disagree: rank ", rank_, " is at exchange '", name, "', rank ",
              r, " at '", content.substr(0, line), "'");
      all.push_back(content.substr(line + 1));
    }
    ++number_;
    return all;
  }

  std::unique_ptr<Communicator> MakeCommunicator(Device device,
                                                 const CommunicatorOptions& options) override {
    if (device == Device::kCuda) return MakeFromRegistry(device, *this, options);
    Require(
        OnOneNode(peers_), ExitCode::kConfig,
        "ranks of several nodes that meet through VESALIUS_STORE communicate on GPUs only; on CPU "
        "start them with mpirun");
    return MakeNodeCommunicator(*this, peers_, "node", options, nullptr);
  }

 private:
  std::string Path(int rank) const { return StrCat(folder_, "/", number_, ".", rank); }

  void WaitFor(int r, std::string_view name, Clock::time_point deadline) {
    auto pause = std::chrono::milliseconds(1);
    while (!Exists(Path(r))) {
      if (watch_) {
        const auto dead = watch_->FindDead();
        Require(!dead || Exists(Path(r)), ExitCode::kPeerLost, "exchange '", name,
                "': ", dead.value_or(""));
      }
      Require(Clock::now() < deadline, ExitCode::kPeerLost, "exchange '", name, "': rank ", r,
              " did not arrive in ", folder_, " within ", limit_.count(), " ms");
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::milliseconds(20));
    }
  }

  const std::string folder_;
  const int rank_;
  const int size_;
  const std::chrono::milliseconds limit_;
  std::int64_t number_ = 0;
  std::vector<Peer> peers_;
  std::pair<int, int> place_;
  std::unique_ptr<PeerWatch> watch_;
};

}  // namespace

std::unique_ptr<Bootstrap> MakeFileBootstrap(const std::string& folder, int rank, int size,
                                             std::chrono::milliseconds limit) {
  return std::make_unique<FileBootstrap>(folder, rank, size, limit);
}

}  // namespace vesalius::dist
