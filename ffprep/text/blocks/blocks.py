"""Blocks of tokens in a ``.beton`` file: how they are stored and read.

A sample holds many blocks, as an array of shape (blocks, tokens), because each sample costs 8 bytes of metadata and 24
bytes in the allocation table: 8.3 % of the file with one block of 192 tokens per sample, but 0.03 % with 257. Stock
ffcv reads such a file as it is; ffprep's loader gives out single blocks. The manifest holds the number of blocks, and
the last sample is filled up with blocks of padding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import CorruptError, OptionError
from ffprep.fields import NDArrayField
from ffprep.text.blocks.part_files import LENGTH
from ffprep.text.tokens.vocabulary import Tokens, Vocabulary, from_manifest

if TYPE_CHECKING:
    from ffprep.beton import Reader

PAGE = 8 << 20
LARGEST_SAMPLE = 1 << 18
"""The most bytes of a sample: stock ffcv draws whole samples at random and copies them."""
TOKENS = (np.dtype("<u2"), np.dtype("<i4"))
"""Types in which tokens are stored."""


def overhead(
    blocks: int, block: int, per_sample: int, lengths: bool = False, page: int = PAGE, itemsize: int = 2
) -> int:
    """Bytes of a file besides its tokens: metadata, allocation table, unused ends of pages, blocks of padding.

    Parameters
    ----------
    blocks : int
        Number of blocks to store.
    block : int
        Tokens per block.
    per_sample : int
        Blocks per sample.
    lengths : bool
        Whether the length of each block is stored as well.
    page : int
        Page size of the file, in bytes.
    itemsize : int
        Bytes of a token.
    """
    fields = 2 if lengths else 1
    size = per_sample * (itemsize * block + 2 * (fields - 1))
    samples = -(-blocks // per_sample)
    in_page = page // size
    filled = (samples - 1) // in_page
    padding = samples * per_sample - blocks
    return samples * 32 * fields + filled * (page - in_page * size) + padding * (itemsize * block + 2 * (fields - 1))


def best_per_sample(blocks: int, block: int, lengths: bool = False, page: int = PAGE, itemsize: int = 2) -> int:
    """The number of blocks per sample that makes the file smallest."""
    largest = max(1, min(LARGEST_SAMPLE // (itemsize * block + 2 * lengths), blocks))
    return min(range(1, largest + 1), key=lambda n: (overhead(blocks, block, n, lengths, page, itemsize), -n))


@dataclass(frozen=True)
class TokenBlocks:
    """The blocks of an open file.

    Attributes
    ----------
    reader : Reader
    count : int
        Number of blocks.
    block : int
        Tokens per block.
    per_sample : int
        Blocks per sample.
    padded : bool
        Whether blocks are padded, and therefore have lengths.
    tail : (n,) uint16 or int32
        Tokens after the last block; their type is that of all tokens.
    """

    reader: Reader
    count: int
    block: int
    per_sample: int
    padded: bool
    tail: Tokens

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The numbering with which the file was written.

        Raises
        ------
        CorruptError
            When the file does not record it.
        """
        return from_manifest(source_facts(self.reader).get("vocabulary"))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the tokens."""
        return self.tail.dtype

    @cached_property
    def offsets(self) -> npt.NDArray[np.uint64]:
        """Position of each sample's blocks in the file, in bytes. Shape (samples,)."""
        return self.reader.extents("tokens")[0]

    def rows(self, indices: npt.ArrayLike) -> Tokens:
        """The blocks with these numbers, as a new array of shape (n, block)."""
        chosen = np.asarray(indices, np.int64)
        if chosen.size and not 0 <= int(chosen.min()) <= int(chosen.max()) < self.count:
            raise IndexError(f"{self.reader.path} has blocks 0 to {self.count - 1}")
        sample, within = np.divmod(chosen, self.per_sample)
        first = self.offsets[sample].astype(np.int64) + within * (self.dtype.itemsize * self.block)
        if self.reader.source is not None:
            for start in first.tolist():
                self.reader.source.need(start, self.dtype.itemsize * self.block)
        places = first[:, None] + np.arange(self.dtype.itemsize * self.block)
        return np.asarray(self.reader.data[places].view(self.dtype))

    def lengths(self) -> npt.NDArray[np.uint16] | None:
        """Length of every block in tokens, of shape (count,); None if blocks are not padded."""
        if not self.padded:
            return None
        samples = range(self.reader.num_samples)
        parts = [self.reader.payload("length", i).view(LENGTH) for i in samples]
        return np.concatenate(parts)[: self.count]

    def samples(self) -> Iterator[Tokens]:
        """The blocks of each sample in turn, of shape (n, block), without those that fill up the last sample."""
        for index in range(self.reader.num_samples):
            found = self.reader.payload("tokens", index).view(self.dtype).reshape(-1, self.block)
            yield found[: self.count - index * self.per_sample]

    def stream(self) -> Iterator[Tokens]:
        """All tokens in order, in pieces, including the tail and without padding."""
        lengths = self.lengths()
        done = 0
        for blocks in self.samples():
            if lengths is None:
                yield blocks.reshape(-1)
            else:
                real = np.arange(self.block) < lengths[done : done + len(blocks), None]
                yield blocks[real]
            done += len(blocks)
        if len(self.tail):
            yield self.tail


def source_facts(reader: Reader) -> dict[str, Any]:
    """What the manifest records about the file's source; empty if it records nothing."""
    found = (reader.manifest or {}).get("source")
    return found if isinstance(found, dict) else {}


def open_blocks(reader: Reader) -> TokenBlocks:
    """The blocks of a file that ffprep wrote, or of any file with a field ``tokens`` of arrays of uint16 or int32.

    Raises
    ------
    OptionError
        When the file has no such field.
    CorruptError
        When the manifest does not fit the file.
    """
    field = reader.fields.get("tokens")
    if not isinstance(field, NDArrayField) or field.dtype not in TOKENS or len(field.shape) > 2:
        raise OptionError(f"{reader.path}: no blocks of tokens (a field 'tokens' of uint16 or int32)")
    per_sample = field.shape[0] if len(field.shape) == 2 else 1
    record = source_facts(reader).get("blocks")
    count, padded, tail = reader.num_samples * per_sample, False, []
    if record is not None:
        try:
            count, padded = int(record["count"]), bool(record["padded"])
            tail = [int(token) for token in record["tail"]]
            shape = (int(record["per_sample"]), int(record["block"]))
        except (KeyError, TypeError, ValueError):
            raise CorruptError(f"{reader.path}: the record of its blocks is damaged") from None
        most = reader.num_samples * per_sample
        fits = shape == (per_sample, field.shape[-1]) and max(0, most - per_sample) < count <= most
        largest = np.iinfo(field.dtype).max
        if not fits or any(not 0 <= token <= largest for token in tail):
            raise CorruptError(f"{reader.path}: the record of its blocks does not fit the file")
    if padded:
        lengths = reader.fields.get("length")
        if not isinstance(lengths, NDArrayField) or (lengths.dtype, lengths.shape) != (LENGTH, (per_sample,)):
            raise CorruptError(f"{reader.path}: its blocks have lengths, but there is no field of them")
    return TokenBlocks(reader, count, field.shape[-1], per_sample, padded, np.array(tail, field.dtype))
