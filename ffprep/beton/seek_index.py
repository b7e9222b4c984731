"""The file beside a ``.beton`` file that holds the seek indexes of its JPEGs, ``X.beton.index``.

::

    0    magic "FFPIDX\\r\\n"   u2 version = 1   u2 0   u4 0
    16   u8 size of this file
    24   u8 entries E
    32   u8 size of the .beton file
    40   u8 xxh3-64 of its header, descriptors and sample records
    48   u8 xxh3-64 of its allocation table
    56   u8 xxh3-64 of the entries
    64   u8 xxh3-64 of the 64 bytes so far
    72   E + 1 entries: u8 offset of a JPEG in the .beton file, ascending, u8 offset of its index in this file
         (the last entry: the sizes of both files)
    ...  the indexes one after the other, as ``jpeg/native/index/index.h`` says; empty for a JPEG that has none

All integers are little-endian. There is one entry for each distinct JPEG, however many samples share it.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.reader import Reader
from ffprep.beton.writing.finish import sync_folder
from ffprep.errors import ConversionError, IndexMismatchError, OptionError
from ffprep.fields.rgb_image import MODE_JPEG, RGBImageField

SUFFIX = ".index"
MAGIC = b"FFPIDX\r\n"
VERSION = 1
HEAD = struct.Struct("<8sHHIQQQQQQ")
HEAD_SIZE = HEAD.size + 8
ENTRY = np.dtype([("payload", "<u8"), ("index", "<u8")])
_BUFFER = 1 << 22

Ints = npt.NDArray[np.int64]


def beside(path: str | os.PathLike[str]) -> Path:
    """Return the path of a file's seek index: its own path and ``.index``."""
    return Path(f"{os.fspath(path)}{SUFFIX}")


def fingerprint(reader: Reader) -> tuple[int, int, int]:
    """Return what ties an index to a file: its size, xxh3-64 of all before the payloads, and of the allocation table.

    Copying, renaming or touching the file changes none of them.
    """
    bounds = reader.head.bounds
    head = xxhash.xxh3_64_intdigest(reader.data[: bounds.start].data)
    return reader.head.size, head, xxhash.xxh3_64_intdigest(reader.data[bounds.end :].data)


def image_fields(reader: Reader) -> list[str]:
    """Return the names of the fields that may hold JPEGs."""
    return [name for name, field in reader.fields.items() if isinstance(field, RGBImageField)]


def jpeg_payloads(reader: Reader) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return offset and size of every distinct JPEG of a file, by ascending offset."""
    offsets, sizes = [], []
    for name in image_fields(reader):
        offset, size = reader.extents(name)
        chosen = reader.column(name)["mode"] == MODE_JPEG
        offsets.append(offset[chosen])
        sizes.append(size[chosen])
    if not offsets:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    found, first = np.unique(np.concatenate(offsets), return_index=True)
    return found, np.concatenate(sizes)[first]


class SeekIndex:
    """A file of seek indexes, checked against the ``.beton`` file it belongs to.

    Parameters
    ----------
    path : str or Path
        The index.
    reader : Reader
        The file it should belong to.

    Attributes
    ----------
    path : Path
    entries : ndarray of ENTRY, shape (E + 1,)

    Raises
    ------
    IndexMismatchError
        It was made for another file, or is damaged. All entries are looked at.
    OSError
        It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], reader: Reader) -> None:
        self.path = Path(path)
        self._addresses: dict[str, tuple[Ints, Ints]] = {}
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < HEAD_SIZE + ENTRY.itemsize:
                raise self._refused(f"{size} bytes are too few")
            self.data: npt.NDArray[np.uint8] = np.asarray(np.memmap(file, np.uint8, "r"))
        magic, version, _, _, own, count, *made_for, checksum = HEAD.unpack(self.data[: HEAD.size].tobytes())
        if magic != MAGIC or version != VERSION:
            raise self._refused("it is no seek index of this version")
        stated = int.from_bytes(self.data[HEAD.size : HEAD_SIZE].tobytes(), "little")
        if xxhash.xxh3_64_intdigest(self.data[: HEAD.size].data) != stated:
            raise self._refused("its head is damaged")
        if tuple(made_for) != fingerprint(reader):
            raise self._refused(f"it was not made from {reader.path} as it is now")
        if own != len(self.data) or count >= (own - HEAD_SIZE) // ENTRY.itemsize:
            raise self._refused(f"it has {len(self.data)} bytes, not {own}")
        end = HEAD_SIZE + (count + 1) * ENTRY.itemsize
        self.entries: npt.NDArray[Any] = self.data[HEAD_SIZE:end].view(ENTRY)
        if xxhash.xxh3_64_intdigest(self.data[HEAD_SIZE:end].data) != checksum:
            raise self._refused("its table is damaged")
        payload, index = self.entries["payload"], self.entries["index"]
        ascending = bool((payload[1:] > payload[:-1]).all() and (index[1:] >= index[:-1]).all())
        if not ascending or index[0] != end or index[-1] != own or payload[-1] != reader.head.size:
            raise self._refused("its table is not in order")

    def _refused(self, why: str) -> IndexMismatchError:
        return IndexMismatchError(f"{self.path}: {why}; make it again with `ffprep index`, or remove it")

    def __len__(self) -> int:
        return len(self.entries) - 1

    @property
    def bytes_each(self) -> npt.NDArray[np.uint64]:
        """Bytes of each entry's index, 0 where a JPEG has none."""
        sizes: npt.NDArray[np.uint64] = np.diff(self.entries["index"])
        return sizes

    def addresses(self, reader: Reader, name: str) -> tuple[Ints, Ints]:
        """Return where in memory the indexes of a field's samples lie.

        Returns
        -------
        address, size : ndarray of int64, shape (num_samples,)
            Inside `data`, to be kept while they are in use; 0 and 0 where a sample's image has no index.
        """
        if name not in self._addresses:
            payload, index = self.entries["payload"][:-1], self.entries["index"].astype(np.int64)
            index += int(self.data.__array_interface__["data"][0])
            offset, _ = reader.extents(name)
            if np.array_equal(offset, payload):
                start, size = index[:-1], np.diff(index)
            else:
                place = np.searchsorted(payload, offset)
                start, size = index[place], np.diff(index, append=index[-1:])[place]
                size[self.entries["payload"][place] != offset] = 0
            self._addresses[name] = np.where(size > 0, start, 0), size
        return self._addresses[name]

    def of(self, entry: int) -> npt.NDArray[np.uint8]:
        """Return the index of an entry, as the kernel takes it."""
        start, end = self.entries["index"][entry : entry + 2].tolist()
        return self.data[start:end]


def write_index(path: Path, reader: Reader, offsets: npt.NDArray[np.uint64], indexes: Iterable[bytes]) -> int:
    """Write a seek index, under a temporary name until it is complete and on the disk.

    Parameters
    ----------
    path : Path
    reader : Reader
        The file it belongs to.
    offsets : ndarray of uint64
        The JPEGs' offsets, from `jpeg_payloads`.
    indexes : iterable of bytes
        One for each, empty for none.

    Returns
    -------
    int
        Bytes of the file; 0 where every index is empty, and no file is written.

    Raises
    ------
    ConversionError
        The disk is full, or fails.
    OptionError
        The folder cannot be written to.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        file = partial.open("wb", buffering=_BUFFER)
    except OSError as error:
        raise OptionError(f"{partial}: cannot write: {error.strerror}; give another place for the index") from error
    try:
        with file:
            entries = np.empty(len(offsets) + 1, ENTRY)
            entries["payload"][:-1], entries["payload"][-1] = offsets, reader.head.size
            position = HEAD_SIZE + entries.nbytes
            file.write(bytes(position))
            for number, index in enumerate(indexes):
                entries["index"][number] = position
                position += file.write(index)
            if position == HEAD_SIZE + entries.nbytes:
                return 0
            entries["index"][-1] = position
            table = entries.tobytes()
            marks = (*fingerprint(reader), xxhash.xxh3_64_intdigest(table))
            head = HEAD.pack(MAGIC, VERSION, 0, 0, position, len(offsets), *marks)
            file.seek(0)
            file.write(head + xxhash.xxh3_64_intdigest(head).to_bytes(8, "little") + table)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise ConversionError(f"{partial}: cannot write: {error.strerror}; make room or take another folder") from error
    finally:
        partial.unlink(missing_ok=True)
    return position


def find_index(reader: Reader, wanted: bool | str | os.PathLike[str] | None) -> SeekIndex | None:
    """Open the seek index that a loader's option asks for.

    Parameters
    ----------
    reader : Reader
    wanted : bool or path, optional
        None takes the one beside the file if there is one and it belongs to it, and warns if it does not. True and a
        path insist on it; False wants none.

    Raises
    ------
    IndexMismatchError
        The index insisted on does not belong to the file.
    OptionError
        The index insisted on is not there.
    """
    if wanted is False or not image_fields(reader):
        return None
    path = beside(reader.path) if wanted is None or wanted is True else Path(wanted)
    try:
        return SeekIndex(path, reader)
    except FileNotFoundError:
        if wanted is None:
            return None
        raise OptionError(f"{path}: no such seek index; `ffprep index {reader.path}` makes it") from None
    except IndexMismatchError as error:
        if wanted is None:
            warnings.warn(f"images are decoded without an index: {error}", RuntimeWarning, stacklevel=3)
            return None
        raise


__all__ = ["SeekIndex", "beside", "find_index", "fingerprint", "jpeg_payloads", "write_index"]
