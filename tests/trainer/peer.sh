# Sourced by tests that compare with libraries in Python: `require_python CHECK PACKAGES` sets
# `python` (VESALIUS_PEER_PYTHON) and `check`, or skips the test with its reason; `folder` is a
# scratch folder; `quietly` runs a command and shows what it said only when it fails.
set -euo pipefail

require_python() {
  python=${VESALIUS_PEER_PYTHON:-python3}
  check=$VESALIUS_SOURCE/tests/trainer/$1
  if ! command -v "$python" > /dev/null; then
    echo "skipped: no $python; VESALIUS_PEER_PYTHON names an interpreter with $2" >&2
    exit 77
  fi
  "$python" "$check" need
}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
quietly() { "$@" > "$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }; }
