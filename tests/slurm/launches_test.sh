#!/usr/bin/env bash
# launches_test.sh PROGRAM COUNT: so many launches of eight ranks over four nodes; all must start
# and add up. Says how many did, and how long one takes.
set -uo pipefail
program=$1 count=$2
[[ -n ${VESALIUS_SLURM:-} ]] || { echo "Slurm tests run with ./run test --slurm"; exit 77; }
folder=$(mktemp -d)
export VESALIUS_CLUSTER=$folder/c
cluster() { bash "$VESALIUS_SOURCE/tests/slurm/cluster.sh" "$@"; }
trap 'cluster down; rm -rf "$folder"' EXIT
cluster up 4 || exit 1
eval "$(cluster env)"
good=0 start=$SECONDS
for ((launch = 1; launch <= count; launch++)); do
  if said=$(timeout 100 srun --mpi=pmix --nodes=4 --ntasks-per-node=2 "$program" 2>&1) &&
    [[ $said == *"8 ranks, sum 28"* ]]; then
    good=$((good + 1))
  else
    echo "launch $launch failed: $said"
  fi
done
echo "$good of $count launches, $(((SECONDS - start) * 1000 / count)) ms each"
[[ $good == "$count" ]]
