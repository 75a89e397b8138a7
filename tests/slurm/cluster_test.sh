#!/usr/bin/env bash
# cluster.sh is clean, refuses what it does not know, and brings a cluster up and down without
# leaving a process behind; nodes that are killed, frozen and started again are seen as such.
set -uo pipefail
cd "$VESALIUS_SOURCE" || exit 1
fail() { echo "FAILED: $*"; exit 1; }
if command -v shellcheck > /dev/null; then shellcheck tests/slurm/cluster.sh || exit 1; fi
[[ $(bash tests/slurm/cluster.sh nonsense 2>&1) == *"unknown word"* ]] || fail "nonsense was taken"
[[ -n ${VESALIUS_SLURM:-} ]] || { echo "Slurm tests run with ./run test --slurm"; exit 77; }

folder=$(mktemp -d)
export VESALIUS_CLUSTER=$folder/c
cluster() { bash tests/slurm/cluster.sh "$@"; }
trap 'cluster down; rm -rf "$folder"' EXIT
cluster up 3 || fail "up"
eval "$(cluster env)"
# shellcheck disable=SC2016  # the tasks' variable
[[ $(srun --nodes=3 --ntasks=3 bash -c 'echo $SLURMD_NODENAME' | sort | xargs) == "n1 n2 n3" ]] ||
  fail "srun on three nodes"
[[ $(bash tests/slurm/cluster.sh up 3 2>&1) == *"already runs"* ]] || fail "a second cluster"
sed -n 's/.*Port=\([0-9]*\).*/\1/p' "$folder/c/etc/slurm.conf" > "$folder/ports"
while read -r port; do
  # the kernel's own list: 0100007F is 127.0.0.1, 0A is listening
  row=$(printf ':%04X 00000000:0000 0A' "$port")
  grep -q "0100007F$row" /proc/net/tcp || fail "nothing listens on loopback port $port"
  [[ $(cat /proc/net/tcp /proc/net/tcp6 | grep -c "$row") == 1 ]] || fail "port $port beyond loopback"
done < "$folder/ports"

state() { scontrol -o show node "$1" | tr ' ' '\n' | sed -n 's/^State=//p'; }
cluster kill n3 || fail "kill"
cluster start n3 || fail "start"
for _ in $(seq 20); do [[ $(state n3) == IDLE ]] && break; sleep 1; done
[[ $(state n3) == IDLE ]] || fail "n3 is $(state n3) after its start"

echo x > "$folder/c/flags/health.n2"
for _ in $(seq 20); do [[ $(state n2) == *DRAIN* ]] && break; sleep 1; done
[[ $(state n2) == *DRAIN* ]] || fail "the health check did not drain n2: $(state n2)"

cluster down
left() { grep -la "$folder/c/" /proc/[0-9]*/cmdline 2> /dev/null; }
for _ in $(seq 50); do [[ -n $(left) ]] || break; sleep 0.1; done
[[ -z $(left) ]] || fail "left running: $(left | xargs cat | tr '\0' ' ')"
