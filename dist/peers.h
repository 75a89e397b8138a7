// Who the other ranks' processes are, and whether those of this node still live: a wait for a rank
// that was killed ends within a fraction of a second instead of at the deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vesalius::dist {

struct Peer {
  std::string host;     // its name
  std::string machine;  // boot id: equal for processes of one running kernel
  std::string pids;     // its process-id namespace
  int pid = 0;
};

Peer ThisProcess();
std::string Encode(const Peer& peer);  // under 200 bytes for ordinary host names
Peer DecodePeer(const std::string& text);

// This rank's place among the ranks of its node: {rank, size}.
std::pair<int, int> PlaceOnNode(const std::vector<Peer>& peers, int rank);

// Watches the processes of this node by file descriptor, so that a reused process id or a zombie
// cannot pass for a living rank. Not thread-safe.
class PeerWatch {
 public:
  PeerWatch(const std::vector<Peer>& peers, int rank);
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  // "rank 1 (process 4711 on node7) died", or nothing. Ranks of other nodes are not watched.
  std::optional<std::string> FindDead();

 private:
  struct Entry {
    int rank;
    int fd;
    std::string description;
  };
  std::vector<Entry> entries_;
};

}  // namespace vesalius::dist
