"""A file of token blocks as one sample a block, however many blocks its samples hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.fields import Field, NDArrayField
from ffprep.text.blocks.blocks import TOKEN, open_blocks


class BlockReader(Reader):
    """Reads blocks by their number.

    Parameters
    ----------
    path : str or Path
        A file with a field ``tokens`` of 16-bit numbers, of shape (block,) or (blocks, block).

    Attributes
    ----------
    blocks : TokenBlocks
        The same blocks, with their numbering and what follows the last of them.
    num_samples : int
        Blocks.
    fields : dict
        ``tokens`` of shape (block,); ``length`` of shape (1,) where blocks are padded.
    """

    def __init__(
        self, path: str | os.PathLike[str], custom_fields: Mapping[str, type[Any]] | None = None, *, check: bool = True
    ) -> None:
        self.blocks = open_blocks(Reader(path, custom_fields, check=check))
        super().__init__(path, custom_fields, check=False)
        self.num_samples = self.blocks.count
        self._rows: dict[str, NDArrayField] = {"tokens": NDArrayField(TOKEN, (self.blocks.block,))}
        if self.blocks.padded:
            self._rows["length"] = NDArrayField(TOKEN, (1,))
        fields: dict[str, Field] = {**self._rows}
        self.fields = fields

    def column(self, name: str) -> npt.NDArray[Any]:
        """Metadata of the samples that hold the blocks."""
        return self.blocks.reader.column(name)

    def groups(self, name: str) -> tuple[int, npt.NDArray[np.uint64]]:
        """How many rows lie one after the other, and the offsets of the first of each such group."""
        return self.blocks.per_sample, np.ascontiguousarray(self.blocks.reader.extents(name)[0])

    def extents(self, name: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """Where each block's payload lies. Made when it is asked for: 16 bytes a block."""
        size = self._rows[name].nbytes
        each, starts = self.groups(name)
        offsets = np.repeat(starts, each)
        offsets += np.tile(np.arange(each, dtype=np.uint64) * np.uint64(size), len(starts))
        sizes = np.broadcast_to(np.uint64(size), (self.num_samples,))
        return offsets[: self.num_samples], sizes

    def payload(self, name: str, index: int) -> npt.NDArray[np.uint8]:
        """Bytes of one block's payload."""
        size = self._rows[name].nbytes
        each, starts = self.groups(name)
        group, row = divmod(self._sample(index), each)
        start = int(starts[group]) + row * size
        return self.data[start : start + size]

    def value(self, name: str, index: int) -> Any:
        """Tokens of one block, or its length."""
        return self._rows[name].decode(None, self.payload(name, index))

    def sample_names(self) -> list[str] | None:
        """Blocks have no names."""
        return None

    def sample_label(self, index: int) -> str:
        """``block 7``."""
        return f"block {index}"

    def close(self) -> None:
        self.blocks.reader.close()
        super().close()
