#!/bin/bash
# PyTorch's checkpoints beside ours on the same state: runs checkpoint_peer.py, `bench checkpoint`,
# and the peer again, and prints all figures.
#   bench/checkpoint_pytorch.sh
# VESALIUS_PEER_PYTHON: an interpreter with torch.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
peer() {
  if [[ -z ${VESALIUS_PEER_PYTHON:-} ]]; then
    echo "PyTorch's checkpoints are left out: VESALIUS_PEER_PYTHON is not set" >&2
  else
    "$VESALIUS_PEER_PYTHON" "$here/bench/checkpoint_peer.py"
  fi
}
peer
"$here/build/bin/bench_checkpoint"
peer
