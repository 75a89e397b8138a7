#include "dist/peers.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/host.h"
#include "base/strings.h"

namespace vesalius::dist {

Peer ThisProcess() {
  Peer peer;
  peer.host = HostName();
  peer.machine = MachineId();
  char link[64] = {};
  if (readlink("/proc/self/ns/pid", link, sizeof(link) - 1) > 0) peer.pids = link;
  peer.pid = getpid();
  const char* declared = std::getenv("VESALIUS_DECLARED_NODE");
  peer.node = declared != nullptr && *declared != '\0' ? declared : peer.machine;
  return peer;
}

std::string Encode(const Peer& peer) {
  return StrCat(peer.host, "|", peer.machine, "|", peer.pids, "|", peer.pid, "|", peer.node);
}

Peer DecodePeer(const std::string& text) {
  const std::vector<std::string> fields = Split(text, '|');
  Invariant(fields.size() == 5, "a rank described itself as '", text, "'");
  return {fields[0], fields[1], fields[2], std::stoi(fields[3]), fields[4]};
}

std::pair<int, int> PlaceOnNode(const std::vector<Peer>& peers, int rank) {
  std::pair<int, int> place{0, 0};
  for (int r = 0; r < static_cast<int>(peers.size()); ++r) {
    if (peers[r].node != peers[rank].node) continue;
    if (r < rank) ++place.first;
    ++place.second;
  }
  return place;
}

std::vector<int> NodesOf(const std::vector<Peer>& peers) {
  std::vector<std::string> seen;
  std::vector<int> nodes;
  for (const Peer& peer : peers) {
    const std::string node = peer.node + " " + peer.pids;
    const auto found = std::ranges::find(seen, node);
    nodes.push_back(static_cast<int>(found - seen.begin()));
    if (found == seen.end()) seen.push_back(node);
  }
  return nodes;
}

PeerWatch::PeerWatch(const std::vector<Peer>& peers, const std::vector<int>& names, int rank) {
  const Peer& me = peers[rank];
  for (int r = 0; r < static_cast<int>(peers.size()); ++r) {
    const Peer& peer = peers[r];
    if (r == rank || peer.machine != me.machine || peer.pids != me.pids) continue;
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0));
    if (fd >= 0) {
      entries_.push_back(
          {r, fd, StrCat("rank ", names[r], " (process ", peer.pid, " on ", peer.host, ")")});
    }
  }
}

PeerWatch::~PeerWatch() {
  for (const Entry& entry : entries_) close(entry.fd);
}

std::optional<std::string> PeerWatch::FindDead() {
  for (const Entry& entry : entries_) {
    pollfd request{entry.fd, POLLIN, 0};
    if (poll(&request, 1, 0) == 1) return entry.description + " died";
  }
  return std::nullopt;
}

}  // namespace vesalius::dist
