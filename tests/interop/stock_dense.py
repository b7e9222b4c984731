"""Reads files with images and fields of bytes with stock ffcv, in a process of its own.

    python stock_dense.py SIZE FILE.beton:FIELD,...:INTEGER,... ...

``FILE.npz`` then has ``image`` (the centre square, resized to SIZE) and the fields: padded bytes, and integers.
"""

from __future__ import annotations

import sys

import numpy as np


def read(size: str, path: str, names: str, numbers: str) -> None:
    from ffcv.fields.decoders import BytesDecoder, CenterCropRGBImageDecoder, IntDecoder
    from ffcv.loader import Loader, OrderOption

    pipelines = {"image": [CenterCropRGBImageDecoder((int(size), int(size)), ratio=1)]}
    pipelines |= {name: [BytesDecoder()] for name in names.split(",")}
    pipelines |= {name: [IntDecoder()] for name in filter(None, numbers.split(","))}
    loader = Loader(
        path, batch_size=3, num_workers=1, order=OrderOption.SEQUENTIAL, drop_last=False, pipelines=pipelines
    )
    order = list(loader.reader.field_names)
    batches = [[np.array(value) for value in batch] for batch in loader]
    columns = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    np.savez(path.removesuffix(".beton") + ".npz", **dict(zip(order, columns, strict=True)))


if __name__ == "__main__":
    for file in sys.argv[2:]:
        read(sys.argv[1], *file.split(":"))
