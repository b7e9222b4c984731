"""A file of token blocks, with every block as a sample of its own, however many blocks the file stores in a sample."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.ffcv_reader import FfcvNames
from ffprep.beton.reader import Reader
from ffprep.fields import Field, NDArrayField
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.blocks.part_files import LENGTH


class BlockReader(FfcvNames):
    """A `Reader` whose samples are single blocks.

    Parameters
    ----------
    path : str or Path
        A file with a field ``tokens`` of uint16 or int32, of shape (block,) or (blocks, block).

    Attributes
    ----------
    blocks : TokenBlocks
        The same blocks, with their vocabulary and the tokens left over after the last block.
    num_samples : int
        Number of blocks.
    fields : dict
        ``tokens`` of shape (block,), and ``length`` of shape (1,) if blocks are padded.
    """

    def __init__(
        self, path: str | os.PathLike[str], custom_fields: Mapping[str, type[Any]] | None = None, *, check: bool = True
    ) -> None:
        self.blocks = open_blocks(Reader(path, custom_fields, check=check))
        super().__init__(path, custom_fields, check=False)
        self.num_samples = self.blocks.count
        self._rows: dict[str, NDArrayField] = {"tokens": NDArrayField(self.blocks.dtype, (self.blocks.block,))}
        if self.blocks.padded:
            self._rows["length"] = NDArrayField(LENGTH, (1,))
        fields: dict[str, Field] = {**self._rows}
        self.fields = fields

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return the metadata of the file's own samples, each of which may hold many blocks."""
        return self.blocks.reader.column(name)

    def groups(self, name: str) -> tuple[int, npt.NDArray[np.uint64]]:
        """Return how many blocks a sample of the file holds, and the byte offset of the first block of each sample."""
        return self.blocks.per_sample, np.ascontiguousarray(self.blocks.reader.extents(name)[0])

    def extents(self, name: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Return the byte offset and the size of each block's payload. Computed anew by each call."""
        size = self._rows[name].nbytes
        each, starts = self.groups(name)
        offsets = np.repeat(starts, each)
        offsets += np.tile(np.arange(each, dtype=np.uint64) * np.uint64(size), len(starts))
        return offsets[: self.num_samples], self.payload_sizes(name)

    def payload_sizes(self, name: str) -> npt.NDArray[np.uint64]:
        """Return the size of each block's payload, which all have in common."""
        return np.broadcast_to(np.uint64(self._rows[name].nbytes), (self.num_samples,))

    def payload(self, name: str, index: int) -> npt.NDArray[np.uint8]:
        """Return the bytes of one block's payload, a view of the file."""
        size = self._rows[name].nbytes
        each, starts = self.groups(name)
        group, row = divmod(self._sample(index), each)
        if self.blocks.reader.guard is not None:
            self.blocks.reader.guard(name, group)
        start = int(starts[group]) + row * size
        return self.stored(start, start + size)

    def value(self, name: str, index: int) -> Any:
        """Return the tokens of one block, or its length."""
        return self._rows[name].decode(None, self.payload(name, index))

    def sample_names(self) -> list[str] | None:
        """Return None: blocks have no names."""
        return None

    def sample_label(self, index: int) -> str:
        """Return a block's name in messages: ``block 7``."""
        return f"block {index}"

    def close(self) -> None:
        self.blocks.reader.close()
        super().close()
