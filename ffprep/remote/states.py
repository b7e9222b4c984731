"""Which pages of a remote file are on local disk, in a file that all processes of a machine map.

::

    0    magic "FFPPAGE2"   u8 bytes of the object   u8 which start of the machine it is   u8 0
    32   for each page: u1 state, 3 bytes 0, u4 bytes of parts that are being fetched, u8 the user that fetches them or
         the page, 16 bytes with a bit for each part that is here

A page is `PAGE` bytes of the file, as its checksums are. Head and tables come in parts of `PART` bytes: those stay when
their page goes, while somebody has the file open. States change under the folder's lock, except that a user sets those
of pages it has claimed itself.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.common.files.holes import take_room
from ffprep.common.files.locking import boot_of_machine
from ffprep.common.files.mapping import map_file
from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import check_regular
from ffprep.errors import OptionError, SourceError

PAGE = 1 << 23
PART = 1 << 16

ABSENT, CLAIMED, PRESENT, UNCHECKED, SUSPECT, DAMAGED = range(6)
"""States: not here; being fetched; here and right; here, without a checksum; here before the machine was started anew,
so perhaps never written to the disk; here as the store has it, which does not fit the checksum."""

MAGIC = b"FFPPAGE2"
_HEAD = struct.Struct("<8sQQQ")
_RECORD = np.dtype([("state", "u1"), ("", "V3"), ("coming", "<u4"), ("owner", "<u8"), ("parts", "u1", (16,))])

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def page_count(size: int) -> int:
    """Return the number of pages of an object of so many bytes."""
    return -(-size // PAGE)


def page_bytes(page: int, size: int) -> int:
    """Return the bytes of one page of an object."""
    return min(PAGE, size - page * PAGE)


def runs(flags: Flags, gap: int = 0) -> list[tuple[int, int]]:
    """Return first and end of each row of set flags; rows with at most `gap` others between them are one."""
    places = np.flatnonzero(flags)
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > gap + 1)
    first, last = places[[0, *(breaks + 1)]], places[[*breaks, -1]]
    return list(zip(first.tolist(), (last + 1).tolist(), strict=True))


def check_own(path: Path) -> None:
    """Refuse a pipe, a device or a folder in the place of a file of the cache.

    Raises
    ------
    OptionError
    """
    with contextlib.suppress(FileNotFoundError):
        try:
            check_regular(path)
        except SourceError as error:
            raise OptionError(str(error)) from None


class States:
    """The states of a file's pages, mapped.

    Attributes
    ----------
    size : int
        Bytes of the object.
    count : int
        Pages.
    records : ndarray
        With members ``state``, ``coming``, ``owner`` and ``parts``.
    """

    def __init__(self, size: int, records: npt.NDArray[Any]) -> None:
        self.size = size
        self.count = len(records)
        self.records = records
        self._state: npt.NDArray[np.uint8] = records["state"]

    @classmethod
    def none(cls) -> States:
        """Return those of a file without pages."""
        return cls(0, np.zeros(0, _RECORD))

    @classmethod
    def open(cls, place: Path, size: int) -> States:
        """Open or create the states in a file's folder; the folder's lock is held.

        What does not belong to this object is made anew, with all pages absent.
        """
        check_own(path := place / "states")
        wanted = _HEAD.size + page_count(size) * _RECORD.itemsize
        boot = xxhash.xxh3_64_intdigest(boot_of_machine().encode())
        with naming(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b") as file:
                head = file.read(_HEAD.size)
                known = len(head) == _HEAD.size and head[:16] == MAGIC + size.to_bytes(8, "little")
                if not known or os.fstat(file.fileno()).st_size != wanted:
                    os.ftruncate(file.fileno(), 0)
                    take_room(file.fileno(), wanted)
                    os.pwrite(file.fileno(), _HEAD.pack(MAGIC, size, boot, 0), 0)
                data = map_file(file, writable=True)
        states = cls(size, data[_HEAD.size :].view(_RECORD))
        if int(data[16:24].view("<u8")[0]) != boot:
            states._after_start()
            data[16:24].view("<u8")[0] = boot
        return states

    @classmethod
    def of_others(cls, place: Path) -> States:
        """Open the states of a file that this process may not read itself; none where they are damaged."""
        try:
            with (place / "states").open("r+b") as file:
                magic, size, _, _ = _HEAD.unpack(file.read(_HEAD.size))
                if (
                    magic != MAGIC
                    or os.fstat(file.fileno()).st_size != _HEAD.size + page_count(size) * _RECORD.itemsize
                ):
                    return cls.none()
                return cls(size, map_file(file, writable=True)[_HEAD.size :].view(_RECORD))
        except (OSError, ValueError, struct.error):
            return cls.none()

    def _after_start(self) -> None:
        state = self._state
        state[(state == CLAIMED) | (state == UNCHECKED) | (state == DAMAGED)] = ABSENT
        state[state == PRESENT] = SUSPECT
        self.records["coming"] = 0
        self.records["parts"] = 0

    def of(self, pages: Numbers) -> npt.NDArray[np.uint8]:
        """Return the states of some pages, as they are now."""
        return self._state[pages]

    def state(self, page: int) -> int:
        """Return the state of a page."""
        return int(self._state[page])

    def set(self, pages: Numbers | int, state: int) -> None:
        """Set the states of some pages."""
        self._state[pages] = state

    def removable(self) -> Numbers:
        """Return the pages of which something is here."""
        return np.flatnonzero((self._state >= PRESENT) | ((self._state == ABSENT) & self.records["parts"].any(axis=1)))

    def bytes_used(self) -> int:
        """Return the bytes of all pages and parts that are here or on the way."""
        parts = (self._state == ABSENT) | ((self._state == CLAIMED) & (self.records["coming"] > 0))
        total = int(np.count_nonzero(~parts)) * PAGE
        if self.count and not parts[-1]:
            total -= PAGE - page_bytes(self.count - 1, self.size)
        some = np.flatnonzero(parts)
        return total + int(self.part_bytes(some).sum() + self.records["coming"][some].sum())

    # -- parts -----------------------------------------------------------------------------------------

    def parts_of(self, page: int) -> Flags:
        """Return which parts of a page are here as such, whatever the page's state is."""
        bits: Flags = np.unpackbits(self.records["parts"][page], count=-(-PAGE // PART), bitorder="little").view(bool)
        return bits

    def set_parts(self, page: int, parts: Flags) -> None:
        """Say which parts of a page are here."""
        bits = np.packbits(parts, bitorder="little")
        self.records["parts"][page] = np.pad(bits, (0, self.records["parts"].shape[1] - len(bits)))

    def part_bytes(self, pages: Numbers) -> Numbers:
        """Return the bytes that the parts of each of some pages take."""
        count: Numbers = np.unpackbits(self.records["parts"][pages], axis=1).sum(axis=1, dtype=np.int64) * PART
        last = self.count - 1
        rest = page_bytes(last, self.size) % PART if self.count else 0
        if rest:
            ends = np.flatnonzero(pages == last)
            if len(ends) and self.parts_of(last)[page_bytes(last, self.size) // PART]:
                count[ends] -= PART - rest
        return count

    def freed(self, pages: Numbers, kept: Flags) -> Numbers:
        """Return the bytes that each of some pages would give back, the parts of those in `kept` staying."""
        parts = self.part_bytes(pages)
        whole = np.where(pages == self.count - 1, page_bytes(self.count - 1, self.size) if self.count else 0, PAGE)
        found: Numbers = np.where(self._state[pages] >= PRESENT, whole, parts) - np.where(kept[pages], parts, 0)
        return found
