#!/usr/bin/env bash
# `vesalius export` against timm, transformers and safetensors: export_parity.py says what is compared.
# Two models: the tiny preset, and one with the other choices of channels, positions and pooling.
source "$VESALIUS_SOURCE/tests/trainer/peer.sh"
require_python export_parity.py "timm and transformers"

quietly "$VESALIUS_PROGRAM" phantom --out "$folder/data" --samples 40
"$python" "$check" make "$folder"

# model NAME FLAGS...: a short run, its export, and what the program says of the inputs.
model() {
  local out=$folder/$1; shift
  quietly "$VESALIUS_PROGRAM" pretrain --preset tiny --data "$folder/data" --run "$out/run" \
    --set trainer.steps=6 --device cpu "$@"
  quietly "$VESALIUS_PROGRAM" export --checkpoint "$out/run" --out "$out/export"
  quietly "$VESALIUS_PROGRAM" embed --checkpoint "$out/run" --images "$folder/paths.txt" \
    --out "$out/images.safetensors"
  quietly "$VESALIUS_PROGRAM" embed --checkpoint "$out/run" --texts "$folder/texts.txt" \
    --out "$out/text.safetensors"
  "$VESALIUS_PROGRAM" tokenize --vocab "$out/export/text/vocab.txt" \
    < "$folder/texts.jsonl" > "$out/ids.jsonl"
}
model tiny
model other --set model.channels=3 --set model.positions=normal --set model.text.pooling=cls
HF_HUB_OFFLINE=1 "$python" "$check" check "$folder" tiny other
