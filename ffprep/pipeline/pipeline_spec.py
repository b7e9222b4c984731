"""ffcv's ``PipelineSpec``: several outputs from one field, or an output under another name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class PipelineSpec:
    """How one output of a loader is made.

    Parameters
    ----------
    source : str or operation
        Name of the field to read; or an operation of another pipeline, whose result this one continues.
    decoder : decoder, optional
        By default the field's own.
    transforms : sequence of operations, optional
        What follows the decoder. The list may begin with the decoder itself. By default ``[ToTensor()]``.
    draws : str, optional
        Name of the output whose random draws this one shares. A decoder of masks, boxes or keypoints follows all that
        happens to that output's image; an image with the same decoder and flips is cropped and flipped alike.
    """

    def __init__(
        self, source: Any, decoder: Any = None, transforms: Sequence[Any] | None = None, draws: str | None = None
    ) -> None:
        self.source = source
        self.decoder = decoder
        self.transforms = list(transforms or ())
        self.draws = draws
        self.default_pipeline = decoder is None and not self.transforms and isinstance(source, str)

    def __repr__(self) -> str:
        draws = f", draws={self.draws!r}" if self.draws else ""
        return f"PipelineSpec({self.source!r}, {self.decoder!r}, {self.transforms!r}{draws})"
