"""Files that change while a loader is open: noticed before a batch is begun."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ffprep.beton.checksums import check_tables
from ffprep.beton.opening.head import AGAIN
from ffprep.beton.reader import Reader
from ffprep.errors import CorruptError, TruncatedError
from ffprep.loader.checks import Checks

PAUSE = 0.1
"""Of several files, one that was looked at less than these seconds ago is not looked at again: with many files, looking
would cost more than making small batches does."""

EACH = 1e-4
"""Of more than a thousand files, one is looked at after so many seconds for each of them: all together, they are never
looked at more often than ten thousand times a second, which is a twentieth of a processor's time."""


class FileWatch:
    """Knows the files of a loader as they were when they were opened.

    Parameters
    ----------
    readers : sequence of Reader
    checks : Checks
        What to compare again when a file was written to.
    """

    def __init__(self, readers: Sequence[Reader], checks: Checks) -> None:
        self._readers = list(readers)
        self._checks = checks
        self._paths = [os.fspath(reader.path) for reader in readers]
        self._seen = [_identity(path) for path in self._paths]
        self._looked = np.full(len(self._paths), -np.inf)
        self.pause = max(PAUSE, EACH * len(self._paths)) if len(self._paths) > 1 else 0.0

    def look(self, files: Iterable[int] | npt.NDArray[np.int64], pause: float = 0.0) -> None:
        """Look whether files are what they were when they were opened.

        One that was replaced under its name stays as it was for this loader, which has the old file open. One that was
        written to is compared with its checksums once more, as it is read.

        Parameters
        ----------
        files : iterable of int
            Numbers of files; one may occur several times.
        pause : float, optional
            Seconds for which a file is not looked at again; `pause` of this object is what suits so many files.

        Raises
        ------
        TruncatedError
            A file is shorter than it was.
        CorruptError
            A file was written to, and its tables do not fit their checksums, or it has no checksums.
        """
        begun = time.monotonic()
        if pause:
            numbers = files if isinstance(files, np.ndarray) else np.array(list(files), np.int64)
            files = sorted(set(numbers[begun - self._looked[numbers] >= pause].tolist()))
        for f in files:
            if self._readers[f].source is not None:
                continue  # pages are written to it all the time; `PageSource` notices when the object changes
            try:
                now = _identity(self._paths[f])
            except OSError:
                continue  # removed or renamed; the mapping keeps what it had
            if now != self._seen[f] and now[:2] == self._seen[f][:2]:
                self._written_to(f, now[2])
                self._seen[f] = now
            self._looked[f] = begun

    def _written_to(self, f: int, size: int) -> None:
        reader, path = self._readers[f], self._readers[f].path
        if size < reader.head.size:
            raise TruncatedError(
                f"{path}: has {size} bytes and had {reader.head.size} when it was opened: it was cut while it was in "
                f"use; {AGAIN}, and write files under another name and rename them"
            )
        if self._checks.mode == "off" and size == reader.head.size:
            return
        pointed = [name for name, field in reader.fields.items() if field.pointer is not None]
        if size > reader.head.size or (pointed and self._checks.sums_of(reader, pointed[0]) is None):
            raise CorruptError(
                f"{path}: was written to while it was in use, so batches would mix what it was with what it is; open "
                "it again, and write files under another name and rename them"
            )
        check_tables(reader)
        self._checks.forget(reader)


def _identity(path: str) -> tuple[int, int, int, int]:
    """Return what tells a file: device, number, size in bytes, time of its last change."""
    now = os.stat(path)  # noqa: PTH116 - once for each file of a batch, and half the time of Path's
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns
