"""The export of a checkpoint, loaded by timm, transformers and safetensors, gives what vesalius gives.

  export_parity.py need            exit status 77 with a message where a package is missing
  export_parity.py make DIR        inputs: DIR/N.png, DIR/paths.txt, DIR/texts.txt, DIR/texts.jsonl
  export_parity.py check DIR MODEL...   for each folder MODEL in DIR: images.safetensors, text.safetensors
                                   and ids.jsonl (of `vesalius embed` and `tokenize`) against MODEL/export

Tolerance: 2e-6, absolute, for unit vectors, presence and boxes as shares of the square (float32).
"""
import importlib.util
import json
import pathlib
import sys

TOLERANCE = 2e-6
SIDE = 64
TEXTS = [
    "There is pleural effusion in the left costophrenic angle.",
    "no nodule in the right hilar structures.",
    "The spine is normal.",
    "clear",
    "Naïve CAFÉ, (2) x-ray: 50% 漢字 unknownword; no fracture of the left clavicle!",
]


def need():
    for package in ("numpy", "PIL", "torch", "safetensors", "timm", "transformers"):
        if importlib.util.find_spec(package) is None:
            print(f"skipped: {sys.executable} cannot import {package}; "
                  "VESALIUS_PEER_PYTHON names an interpreter that can", file=sys.stderr)
            sys.exit(77)


def make(folder):
    import numpy
    from PIL import Image
    rng = numpy.random.default_rng(5)
    ramp = numpy.add.outer(numpy.arange(SIDE), 2 * numpy.arange(SIDE))
    pictures = [
        rng.integers(0, 256, (SIDE, SIDE)).astype(numpy.uint8),
        ramp.astype(numpy.uint8),
        (rng.integers(0, 65536, (SIDE, SIDE)) // 2 + 150 * ramp).astype(numpy.uint16),
        ramp[:, :40].astype(numpy.uint8),  # narrower than high: centred on zeros
        ramp[:30].astype(numpy.uint8),
    ]
    paths = []
    for index, pixels in enumerate(pictures):
        paths.append(folder / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    (folder / "paths.txt").write_text("".join(f"{path}\n" for path in paths))
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in TEXTS))


def prepared(path, config):
    """Normalised square [C, SIDE, SIDE], and (width, height, pad left, pad top) of the original."""
    import numpy
    from PIL import Image
    image = Image.open(path)
    deep = image.mode.startswith("I")
    pixels = numpy.asarray(image).astype(numpy.float64) / (65535 if deep else 255)
    height, width = pixels.shape
    assert max(height, width) == SIDE, "only images that need no resampling"
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    square = numpy.zeros((SIDE, SIDE))
    square[top:top + height, left:left + width] = pixels
    square = (square - config["image_mean"]) / config["image_std"]
    channels = config["vision"]["args"]["in_chans"]
    return square[None].repeat(channels, 0).astype(numpy.float32), (width, height, left, top)


def tensors(path):
    from safetensors.torch import load_file
    return load_file(path)


def images_expected(folder, export, config):
    import numpy
    import torch
    from timm.models.vision_transformer import VisionTransformer
    from torch.nn.functional import linear, normalize, relu
    vit = VisionTransformer(**json.loads((export / "vision.json").read_text())["args"]).eval()
    vit.load_state_dict(tensors(export / "vision.safetensors"), strict=True)
    head = tensors(export / "model.safetensors")
    squares, places = zip(*(prepared(path, config)
                            for path in (folder / "paths.txt").read_text().split()))
    tokens = vit.forward_features(torch.from_numpy(numpy.stack(squares)))
    regions = len(config["regions"])
    cls, anatomy, patches = tokens[:, 0], tokens[:, 1:1 + regions], tokens[:, 1 + regions:]
    context = patches.mean(1, keepdim=True).expand_as(anatomy)

    def layer(x, name):
        return linear(x, head[name + ".weight"], head.get(name + ".bias"))

    box = layer(relu(layer(relu(layer(anatomy, "box_head.0")), "box_head.1")), "box_head.2").sigmoid()
    half = box[..., 2:] / 2
    corners = torch.cat([box[..., :2] - half, box[..., :2] + half], -1) * SIDE
    boxes = []
    for row, (width, height, left, top) in zip(corners, places):
        moved = row - torch.tensor([left, top, left, top])
        limit = torch.tensor([width, height, width, height])
        boxes.append(torch.minimum(moved.clamp_min(0), limit) / SIDE)
    return {
        "global": normalize(layer(cls, "global_head"), dim=-1),
        "regions": normalize(layer(torch.cat([anatomy, context], -1), "enrich"), dim=-1),
        "boxes": torch.stack(boxes),
        "presence": layer(anatomy, "presence_head").squeeze(-1).sigmoid(),
    }


def texts_expected(export, config, ids):
    import torch
    from torch.nn.functional import linear, normalize
    from transformers import BertModel
    bert, info = BertModel.from_pretrained(export / "text", add_pooling_layer=False,
                                           output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    bert = bert.eval()
    length = max(map(len, ids))
    padded = torch.tensor([row + [0] * (length - len(row)) for row in ids])
    mask = (padded != 0).long()
    hidden = bert(input_ids=padded, attention_mask=mask).last_hidden_state
    if config["pooling"] == "cls":
        pooled = hidden[:, 0]
    else:
        pooled = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
    weight = tensors(export / "model.safetensors")["text.projection.weight"]
    return {"text": normalize(linear(pooled, weight), dim=-1)}


def differs(model, expected):
    """Prints and judges the differences of one model's vectors."""
    found = {}
    for name in ("images", "text"):
        found.update(tensors(model / f"{name}.safetensors"))
    assert set(found) == set(expected), (set(found), set(expected))
    failed = False
    for key, value in expected.items():
        ours = found[key] / (SIDE if key == "boxes" else 1)
        assert ours.shape == value.shape, (key, ours.shape, value.shape)
        difference = (ours - value).abs().max().item()
        failed |= not difference <= TOLERANCE  # also where it is not a number
        print(f"{model.name:8} {key:10} {tuple(value.shape)}  largest difference {difference:.2e}")
    return failed


def check(folder, *models):
    import torch
    from transformers import BertTokenizer
    torch.set_num_threads(1)
    failed = False
    for name in models:
        model = folder / name
        export = model / "export"
        config = json.loads((export / "config.json").read_text())
        ids = [json.loads(line) for line in (model / "ids.jsonl").read_text().splitlines()]
        tokenizer = BertTokenizer.from_pretrained(export / "text")
        for text, ours in zip(TEXTS, ids, strict=True):
            theirs = tokenizer(text)["input_ids"]
            assert theirs == ours, f"ids of {text!r}: vesalius {ours}, transformers {theirs}"
        with torch.no_grad():
            expected = images_expected(folder, export, config) | texts_expected(export, config, ids)
        failed |= differs(model, expected)
    sys.exit(f"differences above {TOLERANCE}" if failed else 0)


if __name__ == "__main__":
    word, *folders = sys.argv[1:]
    {"need": need, "make": make, "check": check}[word](*map(pathlib.Path, folders))
