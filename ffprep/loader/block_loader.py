"""The loader of token blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffprep.beton.reader import Reader
from ffprep.loader.block_reader import BlockReader
from ffprep.loader.loader import Loader
from ffprep.text.vocabulary import Vocabulary


class BlockLoader(Loader):
    """A `Loader` whose samples are single blocks of tokens, though many of them make a sample of the file.

    Parameters and everything else are a `Loader`'s; ``indices`` are numbers of blocks.
    """

    reader: BlockReader

    def _open(self, custom_fields: Mapping[str, type[Any]] | None) -> Reader:
        return BlockReader(self.fname, custom_fields)

    @property
    def vocabulary(self) -> Vocabulary:
        """Numbering of the tokens, with the ids of ``<pad>``, ``<mask>`` and so on."""
        return self.reader.blocks.vocabulary
