#!/usr/bin/env bash
# `vesalius export` against timm, transformers and safetensors: export_parity.py says what is compared.
# Two models: the tiny preset, and one with the other choices of channels, positions and pooling.
set -euo pipefail
python=${VESALIUS_PEER_PYTHON:-python3}
check=$VESALIUS_SOURCE/tests/trainer/export_parity.py
if ! command -v "$python" > /dev/null; then
  echo "skipped: no $python; VESALIUS_PEER_PYTHON names an interpreter with timm and transformers" >&2
  exit 77
fi
"$python" "$check" need

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
quietly() { "$@" > "$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }; }

quietly "$VESALIUS_PROGRAM" phantom --out "$folder/data" --samples 40
"$python" "$check" make "$folder"
for settings in "" "--set model.channels=3 --set model.positions=normal --set model.text.pooling=cls"; do
  echo "preset tiny $settings"
  # shellcheck disable=SC2086  # one word a flag
  quietly "$VESALIUS_PROGRAM" pretrain --preset tiny --data "$folder/data" --run "$folder/run" \
    --set trainer.steps=6 --device cpu $settings
  quietly "$VESALIUS_PROGRAM" export --checkpoint "$folder/run" --out "$folder/export"
  quietly "$VESALIUS_PROGRAM" embed --checkpoint "$folder/run" --images "$folder/paths.txt" \
    --out "$folder/images.safetensors"
  quietly "$VESALIUS_PROGRAM" embed --checkpoint "$folder/run" --texts "$folder/texts.txt" \
    --out "$folder/text.safetensors"
  "$VESALIUS_PROGRAM" tokenize --vocab "$folder/export/text/vocab.txt" \
    < "$folder/texts.jsonl" > "$folder/ids.jsonl"
  HF_HUB_OFFLINE=1 "$python" "$check" check "$folder" "$folder/export"
  rm -rf "$folder/run" "$folder/export"
done
