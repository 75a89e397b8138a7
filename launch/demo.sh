#!/usr/bin/env bash
# `./run demo [--seed S]`: a phantom set, the demo preset on two MPI ranks, one of them killed with
# SIGKILL about half way, resumed from the checkpoint, evaluated on patients never trained on.
# Which rank and at which step follows from the seed. All of it is left in build/demo.
set -euo pipefail

seed=1
while [[ $# -gt 0 ]]; do
  case $1 in
    --seed) seed=${2:-} ; shift ;;
    --seed=*) seed=${1#*=} ;;
    *) echo "demo: unknown argument $1 (there is only --seed S)" >&2; exit 64 ;;
  esac
  [[ $seed =~ ^[0-9]{1,9}$ ]] || { echo "demo: --seed wants a whole number" >&2; exit 64; }
  shift
done
seed=$((10#$seed))

out=build/demo run=build/demo/run ranks=2 began=$SECONDS
train=(--preset demo --data "$out/data" --run "$run" --set "seed=$seed")
source launch/drill.sh

rm -rf $out
mkdir -p $out
say "1/5 a phantom set: synthetic chest films, regions, findings and reports"
$vesalius phantom --out $out/data --samples 4000 --seed $((seed + 6))

RANDOM=$seed
killed_rank=$((RANDOM % ranks))
kill_step=$(($(configured_steps) * (40 + RANDOM % 21) / 100))

say "2/5 training on $ranks ranks; rank $killed_rank is killed once step $kill_step is done"
start_training
wait_for_step $kill_step || { end_training; die 1 "training ended early, with status $status"; }
killed_pid=$(pid_of_rank $killed_rank)
kill -KILL "$killed_pid"
end_training
killed_at_step=$(last_step)
[[ $status != 0 ]] || die 1 "the training of a killed rank claims success"
resumed_from_step=$(newest_checkpoint)
say "killed rank $killed_rank (process $killed_pid) at step $killed_at_step; the other left too"

say "3/5 the same command again: it resumes from step $resumed_from_step"
start_training
end_training
[[ $status == 0 ]] || die "$status" "the resumed training failed with status $status"

say "4/5 evaluation on held-out patients"
$vesalius evaluate --checkpoint $run --data $out/data --split test \
  --json $out/figures.json --pictures $out/pictures

jq --argjson wall_s $((SECONDS - began)) --argjson samples_per_s "$(median_samples_per_s)" \
  --argjson ranks $ranks --argjson killed_rank $killed_rank --argjson killed_pid "$killed_pid" \
  --argjson killed_at_step "$killed_at_step" --argjson resumed_from_step "$resumed_from_step" \
  '. + {$wall_s, $samples_per_s, $ranks, $killed_rank, $killed_pid, $killed_at_step,
        $resumed_from_step}' $out/figures.json > $out/report.json

say "5/5 held-out patients, seed $seed, after a kill at step $killed_at_step"
jq -r 'def r: if . == null then "-" else . * 1000 | round / 1000 end;
  "mean box IoU, 29 regions              \(.localisation.mean_iou | r)",
  "anatomy-wise zero-shot AUC            \(.anatomy.auc | r)",
  "region to phrase R@1, all             \(.region_to_phrase.r1 | r)",
  "region to phrase R@1, abnormal        \(.region_to_phrase.r1_abnormal | r)",
  "samples a second, median              \(.samples_per_s | r)",
  "seconds in all                        \(.wall_s)"' $out/report.json
say "pictures of predicted boxes: $out/pictures; all figures: $out/report.json; the run: $run"
