"""The file beside a ``.beton`` file that holds the seek indexes of its JPEGs, ``X.beton.index``.

::

    0    magic "FFPIDX\\r\\n"   u2 version = 2   u2 0   u4 0
    16   u8 size of this file
    24   u8 entries E
    32   u8 size of the .beton file
    40   u8 xxh3-64 of its header, descriptors and sample records
    48   u8 xxh3-64 of its allocation table
    56   u8 xxh3-64 of the entries
    64   u8 checksums S   u8 xxh3-64 of these checksums
    80   u8 xxh3-64 of the 80 bytes so far
    88   E + 1 entries: u8 offset of a JPEG in the .beton file, ascending, u8 offset of its index in this file
         (the last entry: the sizes of both files)
    ...  S times u8: the xxh3-64 of the payload of each row of the .beton file's allocation table, none if the .beton
         file has checksums of its own
    ...  the indexes one after the other, as ``jpeg/native/index/index.h`` says; empty for a JPEG that has none

All integers are little-endian. Each distinct JPEG has one entry, however many samples share it.
"""

from __future__ import annotations

import contextlib
import os
import struct
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.opening.remote_head import whole_file
from ffprep.beton.opening.tables import BetonTables
from ffprep.common.files.mapping import map_file
from ffprep.common.files.replacing import naming, replacing
from ffprep.errors import BetonError, ConversionError, IndexMismatchError, OptionError
from ffprep.fields.rgb_image import MODE_JPEG, RGBImageField
from ffprep.jpeg.watching import watch_memory
from ffprep.remote import Folder, PageSource, RefusedError, folder_at, is_url, with_suffix

SUFFIX = ".index"
MAGIC = b"FFPIDX\r\n"
VERSION = 2
HEAD = struct.Struct("<8sHHIQQQQQQQQ")
HEAD_SIZE = HEAD.size + 8
ENTRY = np.dtype([("payload", "<u8"), ("index", "<u8")])
_BUFFER = 1 << 22

Ints = npt.NDArray[np.int64]


def beside(path: str | os.PathLike[str]) -> Path:
    """Return the path where loaders look for a file's seek index: the file's own path and ``.index``."""
    return Path(f"{os.fspath(path)}{SUFFIX}")


def fingerprint(file: BetonTables) -> tuple[int, int, int]:
    """Return what ties an index to a ``.beton`` file.

    These are the file's size, the xxh3-64 of everything before the payloads, and that of the allocation table. Copying,
    renaming or touching the file changes none of them.
    """
    bounds = file.head.bounds
    head = xxhash.xxh3_64_intdigest(file.data[: bounds.start].data)
    return file.head.size, head, xxhash.xxh3_64_intdigest(file.data[bounds.end :].data)


def image_fields(file: BetonTables) -> list[str]:
    """Return the names of the fields that may hold JPEGs."""
    return [name for name, field in file.fields.items() if isinstance(field, RGBImageField)]


def jpeg_payloads(file: BetonTables) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return offset and size in bytes of every distinct JPEG of a file, by ascending offset."""
    offsets, sizes = [], []
    for name in image_fields(file):
        offset, size = file.extents(name)
        chosen = file.column(name)["mode"] == MODE_JPEG
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
    beton : BetonTables
        The ``.beton`` file it should belong to.

    Attributes
    ----------
    path : Path
    entries : ndarray of ENTRY, shape (E + 1,)
    sums : ndarray of uint64, shape (S,)
        The xxh3-64 of each payload, in the order of the allocation table; S is 0 for a file with checksums of its own.
    source : PageSource or None
        What keeps its pages on local disk, if it lies in a store.

    Raises
    ------
    IndexMismatchError
        It was made for another file, or is damaged; all its entries are checked.
    OSError
        It cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], beton: BetonTables) -> None:
        self.path = Path(path)
        self.source: PageSource | None = None
        self._addresses: dict[str, tuple[Ints, Ints]] = {}
        if self.path.exists() and not self.path.is_file():
            raise IndexMismatchError(f"{self.path}: not a seek index: it is a pipe, a device or a folder")
        with naming(self.path), self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < HEAD_SIZE + ENTRY.itemsize:
                raise self._refused(f"{size} bytes are too few")
            self.data = map_file(file)
        watch_memory(self, self.data, self.path)
        magic, version, _, _, own, count, *made_for, checksum, sums, sealed = HEAD.unpack(
            self.data[: HEAD.size].tobytes()
        )
        if magic != MAGIC or version != VERSION:
            raise self._refused("it is no seek index of this version")
        stated = int.from_bytes(self.data[HEAD.size : HEAD_SIZE].tobytes(), "little")
        if xxhash.xxh3_64_intdigest(self.data[: HEAD.size].data) != stated:
            raise self._refused("its head is damaged")
        if tuple(made_for) != fingerprint(beton):
            raise self._refused(f"it was not made from {beton.path} as it is now")
        room = (own - HEAD_SIZE) // 8
        if own != len(self.data) or count >= room // 2 or sums > room - 2 * (count + 1):
            raise self._refused(f"it has {len(self.data)} bytes, not {own}")
        end = HEAD_SIZE + (count + 1) * ENTRY.itemsize
        self.entries: npt.NDArray[Any] = self.data[HEAD_SIZE:end].view(ENTRY)
        if xxhash.xxh3_64_intdigest(self.data[HEAD_SIZE:end].data) != checksum:
            raise self._refused("its table is damaged")
        begin, end = end, end + 8 * sums
        self.sums: npt.NDArray[np.uint64] = self.data[begin:end].view(np.uint64)
        if sums not in (0, len(beton.table)) or xxhash.xxh3_64_intdigest(self.data[begin:end].data) != sealed:
            raise self._refused("its checksums of the payloads are damaged")
        payload, index = self.entries["payload"], self.entries["index"]
        ascending = bool((payload[1:] > payload[:-1]).all() and (index[1:] >= index[:-1]).all())
        if not ascending or index[0] != end or index[-1] != own or payload[-1] != beton.head.size:
            raise self._refused("its table is not in order")

    def _refused(self, why: str) -> IndexMismatchError:
        return IndexMismatchError(f"{self.path}: {why}; make it again with `ffprep index --overwrite`, or remove it")

    def __len__(self) -> int:
        return len(self.entries) - 1

    @property
    def bytes_each(self) -> npt.NDArray[np.uint64]:
        """Bytes of each entry's index, 0 where a JPEG has none."""
        sizes: npt.NDArray[np.uint64] = np.diff(self.entries["index"])
        return sizes

    def addresses(self, beton: BetonTables, name: str) -> tuple[Ints, Ints]:
        """Return where in memory the indexes of a field's samples are.

        Returns
        -------
        address, size : ndarray of int64, shape (num_samples,)
            Addresses and bytes inside `data`, which the caller must keep alive while it uses them. Both are 0 where a
            sample's image has no index.
        """
        if name not in self._addresses:
            payload, index = self.entries["payload"][:-1], self.entries["index"].astype(np.int64)
            index += int(self.data.__array_interface__["data"][0])
            offset, _ = beton.extents(name)
            if np.array_equal(offset, payload):
                start, size = index[:-1], np.diff(index)
            else:
                place = np.searchsorted(payload, offset)
                start, size = index[place], np.diff(index, append=index[-1:])[place]
                size[self.entries["payload"][place] != offset] = 0
            self._addresses[name] = np.where(size > 0, start, 0), size
        return self._addresses[name]

    def of(self, entry: int) -> npt.NDArray[np.uint8]:
        """Return the index of one entry, as the JPEG kernel reads it."""
        start, end = self.entries["index"][entry : entry + 2].tolist()
        return self.data[start:end]


def write_index(
    path: Path,
    beton: BetonTables,
    offsets: npt.NDArray[np.uint64],
    indexes: Iterable[bytes],
    sums: npt.NDArray[np.uint64],
) -> int:
    """Write a seek index. It has its name only when it is complete and on the disk.

    Parameters
    ----------
    path : Path
    beton : BetonTables
        The ``.beton`` file it belongs to.
    offsets : ndarray of uint64
        The JPEGs' offsets, from `jpeg_payloads`.
    indexes : iterable of bytes
        The index of each of these JPEGs; empty where it has none.
    sums : ndarray of uint64
        The xxh3-64 of the payload of each row of the allocation table; none if the file has checksums of its own.

    Returns
    -------
    int
        Bytes of the file, or 0 when there is nothing to store and no file was written.

    Raises
    ------
    ConversionError
        The disk is full, or fails.
    OptionError
        The folder cannot be written to.
    """
    try:
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(replacing(path, buffering=_BUFFER))
            except OSError as error:
                raise OptionError(
                    f"{path}: cannot write: {error.strerror}; give another place for the index"
                ) from error
            return _write_contents(file, beton, offsets, indexes, sums)
    except _NothingToWriteError:
        return 0
    except OSError as error:
        raise ConversionError(f"{path}: cannot write: {error.strerror}; make room or take another folder") from error


class _NothingToWriteError(Exception):
    """No JPEG has an index, and the file has checksums."""


def _write_contents(
    file: BinaryIO,
    beton: BetonTables,
    offsets: npt.NDArray[np.uint64],
    indexes: Iterable[bytes],
    sums: npt.NDArray[np.uint64],
) -> int:
    """Write the head, the table and the indexes into an empty file and return its size in bytes."""
    entries = np.empty(len(offsets) + 1, ENTRY)
    entries["payload"][:-1], entries["payload"][-1] = offsets, beton.head.size
    start = position = HEAD_SIZE + entries.nbytes + sums.nbytes
    file.write(bytes(start))
    for number, index in enumerate(indexes):
        entries["index"][number] = position
        position += file.write(index)
    if position == start and not len(sums):
        raise _NothingToWriteError
    entries["index"][-1] = position
    table = entries.tobytes()
    stored = sums.astype("<u8").tobytes()
    marks = (*fingerprint(beton), xxhash.xxh3_64_intdigest(table), len(sums), xxhash.xxh3_64_intdigest(stored))
    head = HEAD.pack(MAGIC, VERSION, 0, 0, position, len(offsets), *marks)
    file.seek(0)
    file.write(head + xxhash.xxh3_64_intdigest(head).to_bytes(8, "little") + table + stored)
    return position


def find_index(beton: BetonTables, wanted: bool | str | os.PathLike[str] | None) -> SeekIndex | None:
    """Open the seek index that a loader's option asks for.

    Parameters
    ----------
    beton : BetonTables
    wanted : bool or path, optional
        None takes the index beside the file if there is one, and warns if it belongs to another file. True and a path
        (or a URL) insist on an index; False uses none. An index beside a file in a store is fetched; it is not asked
        for by itself (None) where the manifest says that all JPEGs have restart markers.

    Raises
    ------
    IndexMismatchError
        The index insisted on does not belong to the file.
    OptionError
        The index insisted on is not there.
    RemoteError
        It is in a store, and cannot be read.
    """
    if wanted is False:
        return None
    source = getattr(beton, "source", None)
    if isinstance(wanted, str) and is_url(wanted):
        return _remote_index(beton, wanted, folder_at(None) if source is None else source.folder, wanted)
    if source is not None and wanted in (None, True):
        if wanted is True or _may_need_index(beton):
            return _remote_index(beton, with_suffix(source.whole_url, SUFFIX), source.folder, wanted)
        return None
    path = beside(beton.path) if wanted is None or wanted is True else Path(wanted)
    try:
        return SeekIndex(path, beton)
    except FileNotFoundError:
        if wanted is None or not image_fields(beton):
            return None
        raise OptionError(f"{path}: no such seek index; `ffprep index {beton.path}` makes it") from None
    except IndexMismatchError as error:
        _mismatched(error, wanted)
        return None


def _mismatched(error: IndexMismatchError, wanted: bool | str | os.PathLike[str] | None) -> None:
    if wanted is not None:
        raise error
    warnings.warn(f"images are decoded without an index: {error}", RuntimeWarning, stacklevel=4)


def _may_need_index(beton: BetonTables) -> bool:
    """Whether JPEGs of a file may be without restart markers, as far as its manifest says how they were stored."""
    try:
        stored = (getattr(beton, "manifest", None) or {}).get("fields", {})
        return any(stored.get(name, {}).get("jpeg") != "seekable" for name in image_fields(beton))
    except (BetonError, AttributeError):
        return True


def _remote_index(
    beton: BetonTables, url: str, folder: Folder, wanted: bool | str | os.PathLike[str] | None
) -> SeekIndex | None:
    """Open a seek index in a store, all of which is fetched; what came wrong is fetched once more."""
    try:
        source = whole_file(url, folder)
    except RefusedError as error:
        if wanted is None or not image_fields(beton):
            return None
        raise OptionError(
            f"{error}; `ffprep index` makes a seek index of a copy on local disk, to be put beside the file"
        ) from None
    try:
        try:
            index = SeekIndex(source.path, beton)
        except IndexMismatchError:
            source.forget_unchecked()
            source.keep((0, source.size))
            index = SeekIndex(source.path, beton)
    except IndexMismatchError as error:
        message = str(error).replace(str(source.path), source.url)
        source.close()
        _mismatched(IndexMismatchError(message), wanted)
        return None
    except BaseException:
        source.close()
        raise
    index.source = source
    return index


__all__ = ["SeekIndex", "beside", "find_index", "fingerprint", "jpeg_payloads", "write_index"]
