"""What a loader compares with checksums when it reads it, and what it has compared so far."""

from __future__ import annotations

import weakref

from ffprep.beton.checksums import PayloadSums, payload_sums, row_sums
from ffprep.beton.reader import Reader
from ffprep.loader.block_reader import BlockReader

CHECKS = ("first", "always", "off")


class Checks:
    """The checksums of the payloads of a loader's files, and which payloads are known to be good.

    Parameters
    ----------
    mode : {'first', 'always', 'off'}
        Compare each payload when it is first read, each time, or never.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._sums: weakref.WeakKeyDictionary[Reader, dict[str, PayloadSums] | None] = weakref.WeakKeyDictionary()

    def sums_of(self, reader: Reader, name: str) -> PayloadSums | None:
        """Return what the payloads of a file's field are compared with; None where nothing is compared.

        Raises
        ------
        CorruptError
            The file's checksums are damaged themselves.
        """
        if self.mode == "off":
            return None
        stored = reader.blocks.reader if isinstance(reader, BlockReader) else reader
        if stored is not reader:
            stored.seek_index = reader.seek_index
        known = self._sums.setdefault(reader, {})
        if known is not None and name not in known:
            rows = row_sums(stored)
            if rows is None:
                self._sums[reader] = None
                return None
            known[name] = payload_sums(stored, name, rows)
        return None if known is None else known[name]

    def forget(self, reader: Reader) -> None:
        """Compare everything of a file once more, since it was written to."""
        for sums in (self._sums.get(reader) or {}).values():
            sums.states[sums.size > 0] = 0
