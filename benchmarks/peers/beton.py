"""ffprep's loader and stock ffcv's, on .beton files."""

from __future__ import annotations

from typing import Any

from peers.common import Epoch

from ffprep.inspect.timing.runners import imagenet_loader, stock_loader


def ffprep(path: str, touch: str = "value", **options: Any) -> Epoch:
    """ffprep's preset for training."""
    loader = imagenet_loader(path, **options)
    return Epoch(lambda: (images for images, *_ in loader), touch)


def ffcv(path: str, touch: str = "value", **options: Any) -> Epoch:
    """Stock ffcv's loader, with its own decoder or with ffprep's (``decoders="ffprep+all"``)."""
    loader = stock_loader(path, **options)
    return Epoch(lambda: (images for images, *_ in loader), touch)
