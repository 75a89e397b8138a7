#!/bin/bash
# open_clip's own losses beside ours: runs loss_peers.py of the shared folder (one process with two
# threads, then two Gloo ranks), then `bench loss` and `bench siglip`, and prints all figures.
#   bench/open_clip_losses.sh [ROUNDS]
# VESALIUS_PEER_PYTHON: an interpreter with torch and open_clip_torch.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
peers=$here/../shared/peers/loss_peers.py
if [[ -z ${VESALIUS_PEER_PYTHON:-} ]]; then
  echo "open_clip is left out: VESALIUS_PEER_PYTHON is not set" >&2
elif [[ ! -f $peers ]]; then
  echo "open_clip is left out: there is no $peers" >&2
else
  echo "open_clip:"
  "$VESALIUS_PEER_PYTHON" "$peers" --rounds "${1:-7}" --skip unequal
fi
echo "ours:"
for name in loss siglip; do "$here/build/bin/bench_$name"; done
