"""Reading ``.beton`` files, ffprep's own and stock ffcv's, without trusting a byte of them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.beton.opening.tables import BetonTables
from ffprep.beton.sections import MAX_NAME
from ffprep.beton.seek_index import SeekIndex
from ffprep.beton.sets import SetFile
from ffprep.common.html import JPEG, data_uri, encoded, escaped, opened
from ffprep.errors import CorruptError, DecodeError

_THUMBNAILS, _THUMBNAIL_SIDE = 8, 96


class Reader(BetonTables):
    """A ``.beton`` file, checked when it is opened.

    The file is memory-mapped. Opening it checks every row of its tables once, in constant memory, without creating a
    Python object for each sample.

    Parameters
    ----------
    path : str or Path
        A `SetFile` is compared with what its index says.
    custom_fields : mapping of name to Field subclass, optional
        The class of each field whose type is not one of ffcv's seven.
    check : bool
        Whether to check every row when opening. Otherwise only the header, the descriptors and the sizes are checked;
        `extents` still checks what it returns.

    Attributes
    ----------
    path : Path
    page_size, num_samples : int
    fields : dict of str to Field
    head : Head
        What the file's head says.
    data : ndarray of uint8
        The whole file, read-only.
    table : ndarray of ``layout.ALLOCATION``
        The allocation table, read-only.
    records : ndarray
        The sample records, read-only, with members ``f0``, ``f1``, ... for the fields.
    superblock : Superblock or None
        None for files that ffprep did not write.
    seek_index : SeekIndex or None
        Where decoding of its JPEGs can begin; None until a loader sets it.
    guard : callable or None
        Called by `payload` with the field and the sample, to compare the payload; see ``checksums.open_checked``.
    manifest : dict or None
        Where the data came from and how they were converted; None for files that ffprep did not write.

    Raises
    ------
    NotABetonError, UnfinishedError, TruncatedError, CorruptError
        The file cannot be used; the message names the byte.
    OSError
        The file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        custom_fields: Mapping[str, type[Any]] | None = None,
        *,
        check: bool = True,
    ) -> None:
        super().__init__(path, custom_fields, check=check)
        if isinstance(path, SetFile):
            path.check(self.head)
        self.seek_index: SeekIndex | None = None
        self._names: tuple[bytes, npt.NDArray[np.int64]] | None = None
        self._manifest: dict[str, Any] | None = None

    def value(self, name: str, index: int) -> Any:
        """Return one value: int, float, bytes, array, JSON object, JPEG bytes, or raw pixels (h, w, 3).

        Raises
        ------
        DecodeError
            The payload is not what the field says.
        """
        sample = self._sample(index)
        record = self.column(name)[sample]
        payload = self.payload(name, sample) if self._pointer(name) is not None else None
        try:
            return self.fields[name].decode(record, payload)
        except (DecodeError, ValueError) as error:
            raise DecodeError(f"{self.path}: {self.sample_label(sample)}, field {name!r}: {error}") from error

    def sample(self, index: int) -> dict[str, Any]:
        """Return all values of one sample."""
        return {name: self.value(name, index) for name in self.fields}

    # -- ffprep's own sections -------------------------------------------------------------------------

    def section(self, name: str) -> bytes | None:
        """Return a copy of one of ffprep's sections, or None; see `section_view`."""
        content = self.section_view(name)
        return None if content is None else content.tobytes()

    def section_view(self, name: str) -> npt.NDArray[np.uint8] | None:
        """Return one of ffprep's sections as a read-only view of the file, or None.

        Raises
        ------
        CorruptError
            Its checksum is wrong.
        """
        for entry in self.superblock.sections if self.superblock else ():
            if entry.name == name:
                content = self.beside(entry.offset, entry.offset + entry.size)
                if xxhash.xxh3_64_intdigest(content.data) != entry.checksum:
                    raise CorruptError(f"{self.path}: byte {entry.offset}: section {name!r} does not fit its checksum")
                return content
        return None

    @property
    def manifest(self) -> dict[str, Any] | None:
        if self._manifest is None:
            content = self.section("manifest")
            if content is None:
                return None
            try:
                parsed = json.loads(content.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise CorruptError(f"{self.path}: the manifest is not JSON: {error}") from error
            if not isinstance(parsed, dict):
                raise CorruptError(f"{self.path}: the manifest is not a JSON object")
            self._manifest = parsed
        return self._manifest

    def _name_lines(self) -> tuple[bytes, npt.NDArray[np.int64]] | None:
        """Return all names as lines of text, and where each line ends. This takes 30 bytes a sample, a list 100."""
        if self._names is None:
            content = self.section("names")
            if content is None:
                return None
            try:
                expand = zlib.decompressobj()
                text = expand.decompress(content, self.num_samples * (MAX_NAME + 1) + 1)
                text.decode("utf-8")
            except (zlib.error, UnicodeDecodeError) as error:
                raise CorruptError(f"{self.path}: the list of sample names is damaged: {error}") from error
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
            if len(ends) != self.num_samples or not expand.eof or (len(text) and text[-1:] != b"\n"):
                raise CorruptError(f"{self.path}: the list of sample names has another length than the file")
            self._names = text, ends
        return self._names

    def sample_names(self) -> list[str] | None:
        """Return the names that the samples have in their source, or None when the file has no names."""
        names = self._name_lines()
        return None if names is None else names[0].decode("utf-8").split("\n")[:-1]

    def sample_name(self, index: int) -> str:
        """Return the name a sample has in its source, or an empty string when the file has no names."""
        sample = self._sample(index)
        names = self._name_lines()
        if names is None:
            return ""
        start = int(names[1][sample - 1]) + 1 if sample else 0
        return names[0][start : int(names[1][sample])].decode("utf-8")

    def sample_label(self, index: int) -> str:
        """Return ``sample 7 (n01440764_18.JPEG)``, or ``sample 7`` when the file has no names, or damaged ones."""
        try:
            name = self.sample_name(index)
        except CorruptError:  # the label is for a message about something else
            name = ""
        return f"sample {index} ({name})" if name else f"sample {index}"

    def close(self) -> None:
        """Let go of the file. Arrays that were handed out stay valid."""
        if self.seek_index is not None and self.seek_index.source is not None:
            self.seek_index.source.close()
        self.seek_index = None
        super().close()

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the fields, and thumbnails of some images from all over the file."""
        rows = "".join(
            f"<tr><th>{escaped(name)}</th><td>{escaped(type(field).__name__)}</td></tr>"
            for name, field in self.fields.items()
        )
        title = f"{self.path}: {self.num_samples:,} samples"
        return f"<p><b>{escaped(title)}</b></p><table>{rows}</table><div>{self._thumbnails()}</div>"

    def _thumbnails(self) -> str:
        name = next((name for name, field in self.fields.items() if field.type_id == 2), None)
        shown = ""
        for i in np.unique(np.linspace(0, self.num_samples - 1, _THUMBNAILS).astype(int)) if name else ():
            label = self.sample_label(int(i))
            try:
                small = opened(self.value(str(name), int(i)), _THUMBNAIL_SIDE)
            except DecodeError:
                small = None
            if small is not None:
                uri = data_uri(JPEG, encoded(small, JPEG, 75))
                shown += f'<img alt="{escaped(label)}" title="{escaped(label)}" src="{uri}"> '
        return shown

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {type(field).__name__}" for name, field in self.fields.items())
        return f"<{self.path}: {self.num_samples} samples of {fields}>"
