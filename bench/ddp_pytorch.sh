#!/bin/bash
# PyTorch DDP with Gloo beside ours on the same model: runs ddp_peer.py, `bench ddp`, and the peer
# again, and prints all figures.
#   bench/ddp_pytorch.sh
# VESALIUS_PEER_PYTHON: an interpreter with torch.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
peer() {
  if [[ -z ${VESALIUS_PEER_PYTHON:-} ]]; then
    echo "PyTorch DDP is left out: VESALIUS_PEER_PYTHON is not set" >&2
  else
    "$VESALIUS_PEER_PYTHON" "$here/bench/ddp_peer.py"
  fi
}
peer
"$here/build/bin/bench_ddp"
peer
