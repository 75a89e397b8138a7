#!/usr/bin/env bash
# ./run and its flows refuse what they do not know, before they do anything.
set -u
cd "$VESALIUS_SOURCE" || exit 1
failed=0

# expect STATUS WORDS COMMAND...: it must leave with STATUS and say WORDS.
expect() {
  local status=$1 words=$2 said got
  shift 2
  said=$("$@" 2>&1)
  got=$?
  if [[ $got != "$status" || $said != *"$words"* ]]; then
    echo "FAILED: $* left with $got (expected $status, saying '$words'): $said"
    failed=1
  fi
}

expect 64 "build demo test bench fuzz storm pairs format lint help" ./run biuld
expect 0 "usage: ./run" ./run help
expect 0 "usage: ./run" ./run
expect 64 "--cuda-runtime" ./run build --cuda
expect 64 "no 'nonsense'; there are:" ./run bench nonsense
expect 64 "no 'nonsense'; there are: " ./run fuzz nonsense
expect 64 "--minutes wants a number" ./run fuzz table --minutes many
expect 64 "--json wants a file" ./run bench --json
expect 64 "whole number" bash launch/demo.sh --seed many
expect 64 "unknown argument" bash launch/demo.sh --sed 1
expect 64 "which folder" bash launch/pairs.sh
expect 64 "number >= 1" bash launch/pairs.sh somewhere --ranks 0
exit $failed
