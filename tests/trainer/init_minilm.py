"""Sentence vectors of a MiniLM that `pretrain --init` loaded, against transformers'.

  init_minilm.py need               exit status 77 with a message where a package is missing
  init_minilm.py make DIR           inputs: DIR/texts.txt, DIR/identity.safetensors
  init_minilm.py check DIR MODEL    DIR/text.safetensors (of `vesalius embed`) against transformers' BertModel and
                                    BertTokenizer in MODEL: mean over tokens, unit length, each text by itself

Tolerance: 1e-4, absolute (float32).
"""
import importlib.util
import pathlib
import sys

TOLERANCE = 1e-4
TEXTS = [
    "There is pleural effusion in the left costophrenic angle.",
    "no nodule in the right hilar structures.",
    "The spine is normal.",
    "clear",
    "Naïve CAFÉ, (2) x-ray: 50% 漢字 unknownword; no fracture of the left clavicle!",
    "The cardiomediastinal silhouette is unchanged, " * 12 + "and the lungs are clear.",
]


def need():
    for package in ("torch", "safetensors", "transformers"):
        if importlib.util.find_spec(package) is None:
            print(f"skipped: {sys.executable} cannot import {package}; "
                  "VESALIUS_PEER_PYTHON names an interpreter that can", file=sys.stderr)
            sys.exit(77)


def make(folder):
    import torch
    from safetensors.torch import save_file
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    save_file({"text.projection.weight": torch.eye(384)}, folder / "identity.safetensors")


def check(folder, model):
    import torch
    from safetensors.torch import load_file
    from transformers import BertModel, BertTokenizer
    found = load_file(folder / "text.safetensors")["text"]
    tokenizer = BertTokenizer(str(model / "vocab.txt"))
    bert = BertModel.from_pretrained(model, add_pooling_layer=False).eval()
    expected = []
    with torch.no_grad():
        for text in TEXTS:
            hidden = bert(**tokenizer(text, return_tensors="pt")).last_hidden_state
            expected.append(torch.nn.functional.normalize(hidden.mean(1), dim=-1))
    worst = (found - torch.cat(expected)).abs().max().item()
    print(f"{len(TEXTS)} sentence vectors: largest difference {worst:.2e}")
    assert found.shape == (len(TEXTS), 384) and worst <= TOLERANCE, worst


if __name__ == "__main__":
    if sys.argv[1] == "need":
        need()
    elif sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]))
    else:
        check(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
