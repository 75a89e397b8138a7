// Who the other ranks' processes are, and whether those of this node still live: a wait for a rank
// that was killed ends within a fraction of a second instead of at the deadline.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vesalius::dist {

struct Peer {
  std::string host;     // its name
  std::string machine;  // boot id: equal for processes of one running kernel
  std::string pids;     // its process-id namespace
  int pid = 0;
  std::string node;  // machine, or what VESALIUS_DECLARED_NODE says (tests, with one machine)
};

Peer ThisProcess();
std::string Encode(const Peer& peer);  // under 200 bytes for ordinary host names
Peer DecodePeer(const std::string& text);

// This rank's place among the ranks of its node: {rank, size}.
std::pair<int, int> PlaceOnNode(const std::vector<Peer>& peers, int rank);

// Which ranks can share memory: a number by rank, counting from 0 in order of the first ranks.
std::vector<int> NodesOf(const std::vector<Peer>& peers);

// Watches the processes of this node by file descriptor, so that a reused process id or a zombie
// cannot pass for a living rank. Not thread-safe.
class PeerWatch {
 public:
  // `names`: the ranks' numbers in messages.
  PeerWatch(const std::vector<Peer>& peers, const std::vector<int>& names, int rank);
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
