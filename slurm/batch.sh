#!/bin/bash
# One generation of a training, rendered by `vesalius submit`: docs/cluster.md explains it.
@HEADER@
@PROLOGUE@
set -u
run=@RUN@ chain=@CHAIN@ requeue=@REQUEUE@
vesalius=(@VESALIUS@)
# shellcheck disable=SC2016  # what is quoted stays as it is
training=(@TRAINING@)

say() { echo "$(date '+%F %T') job $SLURM_JOB_ID, generation ${VESALIUS_GENERATION:-?}: $*"; }

# A line of the run record, beside those of ranks and agents.
event() { # KIND NAME TIME SECONDS CODE
  mkdir -p "$run/events"
  printf '{"t":%s,"dur":%s,"rank":-1,"host":"%s","step":-1,"kind":"%s","name":"%s","job":"%s",%s}\n' \
    "$3" "$4" "${SLURMD_NODENAME:-}" "$1" "$2" "$SLURM_JOB_ID" \
    "\"generation\":$VESALIUS_GENERATION,\"code\":$5" >> "$run/events/batch.jsonl"
}

# Nothing more is to run in this chain. The jobs that wait behind this one are cancelled by their
# ids: a name could be somebody's next training. A job that starts all the same finds the mark.
end_chain() {
  local job
  echo "$1" > "$chain/ended"
  while read -r job; do
    [[ $job == "$SLURM_JOB_ID" ]] || scancel --quiet "$job"
  done < "$chain/jobs"
}

# Notes nodes as bad (none: what RUN/failure.json blames), and keeps the jobs that wait off them.
avoid_nodes() { # REASON [NODE...]
  local reason=$1 avoid job nodes=()
  shift
  for job in "$@"; do nodes+=(--add "$job"); done
  avoid=$("${vesalius[@]}" bad-nodes "$run" "${nodes[@]}" --reason "$reason" --exclude-for @NODES@ \
    --of "$(sinfo --noheader --format=%D --partition="$SLURM_JOB_PARTITION")" --also=@EXCLUDE@) || return
  [[ -n $avoid ]] || return
  say "nodes to avoid: $avoid"
  while read -r job; do
    [[ $job == "$SLURM_JOB_ID" ]] ||  # Slurm takes it for jobs that wait alone
      scontrol update jobid="$job" excnodelist="$avoid" 2> /dev/null
  done < "$chain/jobs"
}

# Whether this is the third failure in a row since the newest checkpoint: a job that puts itself back
# would do so for ever.
in_vain() {
  local steps=("$run"/ckpt/step-*) times=0 newest=''
  [[ ! -e $chain/requeued ]] || read -r times newest < "$chain/requeued"
  [[ $newest == "${steps[-1]}" ]] || times=0
  echo "$((times + 1)) ${steps[-1]}" > "$chain/requeued"
  ((times >= 2))
}

# Those of a list of nodes that are in one of some states.
unfit_nodes() { sinfo --noheader --Node --nodes="$1" --states="$2" --format=%N | sort -u; }

# The generation that owns the run's folder; 0 when there is none yet.
newest_generation() {
  local generation=0
  [[ ! -e $run/ATTEMPT ]] || IFS=/ read -r _ generation _ < "$run/ATTEMPT"
  echo $((10#$generation))
}

[[ ! -e $chain/ended ]] || { say "this chain has ended: $(< "$chain/ended")"; exit 0; }
[[ ! -e $run/STOP ]] || { say "$run/STOP is there"; end_chain "STOP"; exit 0; }

VESALIUS_GENERATION=$(($(newest_generation) + 1))
export VESALIUS_GENERATION

# When Slurm will end this job: the trainer leaves in time by itself, should the signal not come.
if [[ -z ${SLURM_JOB_END_TIME:-} ]]; then
  SLURM_JOB_END_TIME=$(date -d "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e)" +%s) ||
    SLURM_JOB_END_TIME=
fi
export SLURM_JOB_END_TIME

# Nodes of the generation before that are down by now: it may not have lived to tell.
waited=first
if [[ -e $chain/nodes ]]; then
  waited=again
  mapfile -t lost < <(unfit_nodes "$(< "$chain/nodes")" down,fail,no_respond)
  [[ ${#lost[@]} == 0 ]] || avoid_nodes "down" "${lost[@]}"
fi
echo "$SLURM_JOB_NODELIST" > "$chain/nodes"

# USR2 comes ahead of the time limit and of preemption, and from the watch below: the ranks save and
# leave. TERM comes from Slurm when it takes the job away; the ranks get it as well.
step='' asked=0 taken=0
# shellcheck disable=SC2317  # the trap calls it
leave() { asked=1; say "asked to leave"; [[ -z $step ]] || kill -USR2 "$step" 2> /dev/null; }
trap leave USR2
trap 'taken=1; say "Slurm takes the job away"' TERM

# Slurm 22.05 loses a launch in a hundred otherwise; and srun forgets --cpus-per-task without this.
export SLURM_PMIX_FENCE=${SLURM_PMIX_FENCE:-ring}
[[ -z ${SLURM_CPUS_PER_TASK:-} ]] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

begun=$(date +%s.%N)
if [[ $waited == first ]] &&
  submitted=$(date -d "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%V)" +%s); then
  event span queue "$submitted" "$((${begun%.*} - submitted))" 0
fi
[[ $asked$taken == 00 ]] || exit 0
event instant generation.start "$begun" 0 0
say "starting on $SLURM_JOB_NODELIST"
@LAUNCH@ &
step=$!

# Leaves when a node of ours is being drained.
(
  trap - USR2 TERM
  while sleep 20; do
    [[ -n $(unfit_nodes "$SLURM_JOB_NODELIST" drain 2> /dev/null) ]] || continue
    kill -USR2 $$
    break
  done
) &
watch=$!

# A trap ends `wait` early; the step's own status is what the last one says.
while kill -0 "$step" 2> /dev/null; do wait "$step"; done
wait "$step"
code=$?
kill "$watch" 2> /dev/null
event instant generation.end "$(date +%s.%N)" 0 "$code"
say "the step ended with $code"
if (($(newest_generation) > VESALIUS_GENERATION)); then
  say "a newer generation has taken over: nothing of this one counts any more"
  exit 76
fi

case $code in
  0) end_chain "finished"; exit 0 ;;
  64 | 65 | 66 | 70 | 73 | 77 | 78 | 82 | 93)
    say "this needs a person: no further generation starts"
    end_chain "code $code"
    exit $code ;;
  79 | 80 | 81) avoid_nodes "code $code" ;;
esac
[[ ! -e $run/STOP ]] || end_chain "STOP"
if [[ $requeue == 1 && ! -e $chain/ended && $taken == 0 ]]; then
  if [[ $code != 75 ]] && in_vain; then
    say "three times in a row nothing was saved: this needs a person"
    end_chain "code $code"
    exit "$code"
  fi
  scontrol requeue "$SLURM_JOB_ID"
  sleep 60  # until Slurm takes the job back
fi
[[ $code == 75 ]] && exit 0
exit $code
