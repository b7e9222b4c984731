"""The loader of token blocks."""

from __future__ import annotations

from ffprep.loader.block_reader import BlockReader
from ffprep.loader.epoch.batch_type import Batch
from ffprep.loader.loader import Loader
from ffprep.text.tokens.vocabulary import Vocabulary


class BlockLoader(Loader[Batch]):
    """A `Loader` whose samples are single blocks of tokens, though the file stores many blocks in a sample.

    It has the parameters of `Loader`; ``indices`` are numbers of blocks.
    """

    _reader_class = BlockReader

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the tokens, with the ids of ``<pad>``, ``<mask>`` and so on."""
        first = self.files.readers[0]
        assert isinstance(first, BlockReader)
        return first.blocks.vocabulary
