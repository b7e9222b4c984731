"""Which pages of a remote file are on local disk, in a file that all processes of a machine map.

::

    0    magic "FFPPAGES"   u8 bytes of the object   u8 which start of the machine it is   u8 0
    32   for each page: u1 state, 3 bytes 0, u4 0, u8 the user that fetches it

A page is `PAGE` bytes of the file, as its checksums are. States change under the folder's lock, except that a user sets
those of pages it has claimed itself.
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

from ffprep.common.files.locking import boot_of_machine
from ffprep.common.files.mapping import map_file
from ffprep.common.files.replacing import naming
from ffprep.common.files.source_files import check_regular
from ffprep.errors import OptionError, SourceError
from ffprep.remote.holes import take_room

PAGE = 1 << 23

ABSENT, CLAIMED, PRESENT, UNCHECKED, SUSPECT, DAMAGED = range(6)
"""States: not here; being fetched; here and right; here, without a checksum; here before the machine was started anew,
so perhaps never written to the disk; here as the store has it, which does not fit the checksum."""

MAGIC = b"FFPPAGES"
_HEAD = struct.Struct("<8sQQQ")
_RECORD = np.dtype([("state", "u1"), ("", "V7"), ("owner", "<u8")])

Numbers = npt.NDArray[np.int64]


def page_count(size: int) -> int:
    """Return the number of pages of an object of so many bytes."""
    return -(-size // PAGE)


def page_bytes(page: int, size: int) -> int:
    """Return the bytes of one page of an object."""
    return min(PAGE, size - page * PAGE)


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
        With members ``state`` and ``owner``.
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

    def of(self, pages: Numbers) -> npt.NDArray[np.uint8]:
        """Return the states of some pages, as they are now."""
        return self._state[pages]

    def set(self, pages: Numbers | int, state: int) -> None:
        """Set the states of some pages."""
        self._state[pages] = state

    def removable(self) -> Numbers:
        """Return the pages that are here."""
        return np.flatnonzero(self._state >= PRESENT)

    def bytes_used(self) -> int:
        """Return the bytes of all pages that are here or on the way."""
        used = self._state != ABSENT
        total = int(np.count_nonzero(used)) * PAGE
        if self.count and used[-1]:
            total -= PAGE - page_bytes(self.count - 1, self.size)
        return total
