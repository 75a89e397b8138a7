#!/usr/bin/env python3
"""One figure of a Python loader on the files of `bench hdf5`: images a second, two workers, batches
of 32, one round after a warm-up, measured by data_peers.py of the shared folder.

    hdf5_peers.py FOLDER KIND IMAGES ROUND

KIND: h5_gz, h5_raw (PyTorch's DataLoader over h5py, FOLDER/gz.h5 and raw.h5), streaming (the better of
MosaicML Streaming's zstd shards, already inflated, and PNG samples; made in FOLDER when first asked).
VESALIUS_SHARED: the shared folder, else the one beside the source tree.
"""
import io
import os
import sys
import types

SHARED = os.environ.get("VESALIUS_SHARED") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../shared")
sys.path.insert(0, os.path.join(SHARED, "peers"))
import data_peers  # noqa: E402

WORKERS = 2


def make_streaming(folder, images):
    """The images of gz.h5 as data_peers.make writes them."""
    import h5py
    from PIL import Image
    from streaming import MDSWriter

    side = data_peers.H
    with h5py.File(f"{folder}/gz.h5") as f:
        zstd = MDSWriter(out=f"{folder}/mds_zstd", columns=dict(id="int", image=f"ndarray:uint16:{side},{side}"), compression="zstd", size_limit=1 << 26)
        png = MDSWriter(out=f"{folder}/mds_png", columns=dict(id="int", image="bytes"), size_limit=1 << 26)
        with zstd, png:
            for i in range(images):
                image = f["image"][i]
                bytes_ = io.BytesIO()
                Image.fromarray(image).save(bytes_, "PNG")
                zstd.write(dict(id=i, image=image))
                png.write(dict(id=i, image=bytes_.getvalue()))


def main():
    folder, kind, images, round_ = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    import torch

    torch.set_num_threads(1)
    setting = types.SimpleNamespace(dir=folder, n=images, batch=32, per=256)
    kinds = [kind]
    if kind == "streaming":
        kinds = ["mds_zstd", "mds_png"]
        if not os.path.exists(f"{folder}/mds_png/index.json"):
            make_streaming(folder, images)
            data_peers.rate("mds_zstd", 1, setting, round_)  # inflates the shards
    print(max(data_peers.rate(k, WORKERS, setting, round_)[0] for k in kinds))


if __name__ == "__main__":
    main()
