#!/usr/bin/env bash
# `./run pairs DIR [--ranks N]`: imports the image-report pairs of DIR, trains the pairs preset on N
# MPI ranks, stops it with SIGTERM about half way, starts it again, and evaluates on patients never
# trained on. All of it is left in build/pairs.
set -euo pipefail

usage() { echo "pairs: $1; ./run pairs DIR [--ranks N]" >&2; exit 64; }
in='' ranks=2
while [[ $# -gt 0 ]]; do
  case $1 in
    --ranks) ranks=${2:-} ; shift ;;
    --ranks=*) ranks=${1#*=} ;;
    -*) usage "unknown argument $1" ;;
    *) [[ -z $in ]] || usage "one folder, please"; in=$1 ;;
  esac
  [[ $ranks =~ ^[1-9][0-9]{0,3}$ ]] || usage "--ranks wants a number >= 1"
  shift
done
[[ -n $in ]] || usage "which folder?"

out=build/pairs run=build/pairs/run
train=(--preset pairs --data "$out/data" --run "$run")
source launch/drill.sh

rm -rf $out
mkdir -p $out
say "1/4 importing $in"
$vesalius import pairs --in "$in" --out $out/data | tee $out/import.txt
read -r imported quarantined < <(
  sed -n 's/^imported \([0-9]*\) of.*quarantined \([0-9]*\)$/\1 \2/p' $out/import.txt)
[[ $quarantined == 0 ]] || say "what was left out, and why: $out/data/quarantine.jsonl"

stop_step=$(($(configured_steps) / 2))
say "2/4 training on $ranks ranks; they are told to stop once step $stop_step is done"
start_training
wait_for_step $stop_step || { end_training; die 1 "training ended early, with status $status"; }
for ((rank = 0; rank < ranks; ++rank)); do kill -TERM "$(pid_of_rank $rank)"; done
end_training
[[ $status == 75 ]] || die 1 "a stopped training should leave with 75 (saved), not with $status"

say "3/4 the same command again: it resumes from step $(newest_checkpoint)"
start_training
end_training
[[ $status == 0 ]] || die "$status" "the resumed training failed with status $status"

say "4/4 evaluation on held-out patients"
$vesalius evaluate --checkpoint $run --data $out/data --split test \
  --json $out/test.json --pictures $out/pictures
$vesalius evaluate --checkpoint $run --data $out/data --split train --task localisation \
  --json $out/train.json > /dev/null

jq --slurpfile train $out/train.json --argjson imported "$imported" \
  --argjson quarantined "$quarantined" \
  'def lungs($figure): [.localisation.regions["right lung", "left lung"][$figure]] | add / length;
   . + {$imported, $quarantined,
        train_lung_iou: ($train[0] | lungs("iou")),
        constant_box_lung_iou: ($train[0] | lungs("constant_box_iou")),
        held_out_lung_iou: lungs("iou"),
        held_out_constant_box_lung_iou: lungs("constant_box_iou")}' \
  $out/test.json > $out/report.json

jq -r 'def r: if . == null then "-" else . * 1000 | round / 1000 end;
  "pairs imported, quarantined     \(.imported), \(.quarantined)",
  "lung IoU of training patients   \(.train_lung_iou | r) (a constant box: \(.constant_box_lung_iou | r))",
  "lung IoU of held-out patients   \(.held_out_lung_iou | r) (a constant box: \(.held_out_constant_box_lung_iou | r))",
  "image to report R@1             \(.image_report.i2t_r1 | r) of \(.image_report.gallery) reports"' \
  $out/report.json
say "pictures of predicted boxes: $out/pictures; all figures: $out/report.json; the run: $run"
