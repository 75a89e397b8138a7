# What demo.sh and pairs.sh share: start a training under mpirun, hit it about half way, start it again.
# Sourced with the project's root as the current folder; the caller sets `run` (the run's folder),
# `ranks` and `train` (the arguments of `vesalius pretrain`).
# shellcheck shell=bash disable=SC2034,SC2154

vesalius=build/bin/vesalius
# Under mpirun the ranks see no terminal: tell them of ours, for the living progress line.
[[ ! -t 2 ]] || export VESALIUS_COLUMNS="${COLUMNS:-$(tput cols 2> /dev/null || echo 80)}"
job=''
trap '[[ -z $job ]] || kill "$job" 2> /dev/null' EXIT
trap 'exit 130' INT TERM

say() { echo "== $*"; }
die() { local code=$1; shift; echo "${0##*/}: $*" >&2; exit "$code"; }

# The number of steps that the run is configured for.
configured_steps() {
  $vesalius pretrain "${train[@]}" --check |
    awk '/^trainer/ { inside = 1 } inside && $1 == "steps:" { print $2; inside = 0 }'
}

start_training() {
  mpirun -n "$ranks" $vesalius pretrain "${train[@]}" < /dev/null &
  job=$!
}

# Sets `status` to mpirun's exit status.
end_training() {
  status=0
  wait "$job" || status=$?
  job=''
}

# The last step in the metrics, 0 before the first; a line that is being written does not count.
last_step() {
  local step
  step=$(tail -n 2 "$run/metrics.jsonl" 2> /dev/null | jq -R 'fromjson? | .step' | tail -n 1)
  echo "${step:-0}"
}

# Blocks until the metrics show `step` $1; false when the training ends before.
wait_for_step() {
  until (($(last_step) >= $1)); do
    kill -0 "$job" 2> /dev/null || return 1
    sleep 0.2
  done
}

# The process of rank $1 in the newest attempt.
pid_of_rank() {
  local attempt
  attempt=$(find "$run/ranks" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)
  cat "$attempt/rank-$1.pid"
}

# The step of the newest good checkpoint.
newest_checkpoint() {
  $vesalius inspect "$run" --json "$run/inspect.json" > /dev/null
  jq .step "$run/inspect.json"
}

# The median of the samples a second of all steps.
median_samples_per_s() { jq -s 'map(.samples_per_s) | sort | .[length / 2 | floor]' "$run/metrics.jsonl"; }
