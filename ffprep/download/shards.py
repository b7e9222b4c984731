"""Where downloaded images lie: tar shards in webdataset's layout, each with a mark that it is complete.

``00012.tar`` holds, for index rows ``12 * shard_size`` onwards that worked, ``<id>.<ext>`` (the image as served),
``<id>.txt`` (the caption) and ``<id>.json`` (URL, digest, size): what img2dataset writes and webdataset reads.
``00012.jsonl`` has one line for every index row of the shard, failures included; it is written last, so a shard with
this file is complete and one without it is done again. Both are the same bytes whatever order the images arrived in.
"""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ffprep.errors import SourceError

OWN = -1
"""The writer that is this process itself."""

AGAIN = "delete the shard's .tar and .jsonl to fetch it again"


@dataclass(frozen=True)
class Outcome:
    """What became of one row of the index: one line of a manifest.

    Attributes
    ----------
    id : int
        Row number in the index.
    url, caption : str
    status : str
        ``ok`` or the cause of the failure.
    sha256 : str
        Digest of the file as served; empty unless ``ok``.
    bytes : int
        Size of the stored file.
    width, height : int
        Of the stored image, in pixels.
    extension : str
        Of the stored image.
    """

    id: int
    url: str
    caption: str
    status: str
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    extension: str = ""

    @property
    def ok(self) -> bool:
        """Whether the image is stored."""
        return self.status == "ok"

    def line(self) -> str:
        """The row as one line of JSON."""
        return json.dumps(self.__dict__, ensure_ascii=False) + "\n"


class Appender:
    """Puts images one after the other into a file, from several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._end = 0

    def append(self, data: bytes) -> int:
        """Write an image; where in the file it begins."""
        with self._lock:
            offset = self._end
            self._end += len(data)
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:] if written else data, offset + written)
        return offset


class ShardSpool:
    """The outcomes of a shard while it is being filled, and its images in unnamed temporary files.

    Every process that fetches appends to a file of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, IO[bytes]] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def __contains__(self, writer: int) -> bool:
        """Whether a writer has a file here."""
        return writer in self._files

    @property
    def writers(self) -> list[int]:
        """Who has a file here, but for this process."""
        return [writer for writer in self._files if writer != OWN]

    def file_of(self, writer: int) -> int:
        """Descriptor of a writer's file, made at first use."""
        if writer not in self._files:
            self._files[writer] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed in close()
        return self._files[writer].fileno()

    def add(self, outcome: Outcome, writer: int, offset: int) -> None:
        """Keep one outcome and, if it is ``ok``, where its image is: in which writer's file, from which byte."""
        if outcome.ok:
            self._places[outcome.id] = (writer, offset)
        self.outcomes[outcome.id] = outcome

    def image(self, number: int) -> bytes:
        """Image of a row that worked."""
        writer, offset = self._places[number]
        return os.pread(self._files[writer].fileno(), self.outcomes[number].bytes, offset)

    def close(self) -> None:
        """Free the temporary files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def write_shard(folder: Path, number: int, spool: ShardSpool) -> list[Outcome]:
    """Writes a shard's tar and then its mark; returns its outcomes by row."""
    outcomes = [spool.outcomes[row] for row in sorted(spool.outcomes)]
    with _replacing(tar_path(folder, number)) as file:
        for outcome in outcomes:
            if outcome.ok:
                key = f"{outcome.id:09d}"
                facts = {k: v for k, v in outcome.__dict__.items() if k != "caption"}
                _add(file, f"{key}.{outcome.extension}", spool.image(outcome.id))
                _add(file, f"{key}.txt", outcome.caption.encode(errors="replace"))
                _add(file, f"{key}.json", json.dumps(facts).encode())
        end = 2 * tarfile.BLOCKSIZE
        file.write(bytes(end + -(file.tell() + end) % tarfile.RECORDSIZE))
    write_lines(mark_path(folder, number), outcomes)
    return outcomes


def read_spool(folder: Path, number: int) -> ShardSpool:
    """A complete shard's content, to be changed and written again."""
    spool = ShardSpool(folder)
    images = Appender(spool.file_of(OWN))
    places: dict[str, tuple[int, int]] = {}
    path = tar_path(folder, number)
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if extension not in ("txt", "json") and (reader := tar.extractfile(member)) is not None:
                    data = reader.read()
                    places[key] = len(data), images.append(data)
        for outcome in read_lines(mark_path(folder, number)):
            size, offset = places.get(f"{outcome.id:09d}", (-1, 0))
            if outcome.ok and size != outcome.bytes:
                raise SourceError(f"{path}: row {outcome.id} is not in it as its mark says; {AGAIN}")
            spool.add(outcome, OWN, offset)
    except BaseException as error:
        spool.close()
        if isinstance(error, tarfile.TarError):
            raise SourceError(f"{path}: damaged ({error}); {AGAIN}") from error
        raise
    return spool


def read_lines(path: Path) -> Iterator[Outcome]:
    """Outcomes of a manifest or of a shard's mark.

    Raises
    ------
    SourceError
        When a line is not one of ours; names the line.
    """
    with path.open(encoding="utf-8") as file:
        for line_number, line in enumerate(file, 1):
            try:
                yield Outcome(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise SourceError(f"{path}, line {line_number}: not a line of a download manifest; {AGAIN}") from error


def write_lines(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Writes a manifest under its name only when it is complete."""
    with _replacing(path) as file:
        for outcome in outcomes:
            # A lone surrogate becomes the JSON escape that it was read from.
            file.write(outcome.line().encode(errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON under its name only when it is complete."""
    with _replacing(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def tar_path(folder: Path, number: int) -> Path:
    """Path of a shard's images."""
    return folder / f"{number:05d}.tar"


def mark_path(folder: Path, number: int) -> Path:
    """Path of a shard's manifest, whose existence marks it complete."""
    return folder / f"{number:05d}.jsonl"


def complete_shards(folder: Path) -> list[int]:
    """Numbers of the complete shards of a folder, ascending."""
    return sorted(
        int(p.stem) for p in folder.glob("[0-9]*.jsonl") if p.stem.isdigit() and tar_path(folder, int(p.stem)).exists()
    )


def remove_shard(folder: Path, number: int) -> None:
    """Removes a shard, its mark first."""
    mark_path(folder, number).unlink(missing_ok=True)
    tar_path(folder, number).unlink(missing_ok=True)


def _member(name: str) -> bytes:
    """Header of an empty member."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


_EMPTY = _member("")
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)


def _add(file: IO[bytes], name: str, data: bytes) -> None:
    """Write a member of at most 8 GiB with a short ASCII name; tarfile's own way takes ten times as long."""
    header = bytearray(_EMPTY)
    header[: len(name)] = name.encode("ascii")
    header[_SIZE] = b"%011o\0" % len(data)
    header[_CHECKSUM] = b" " * 8
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    file.write(header)
    file.write(data)
    file.write(bytes(-len(data) % tarfile.BLOCKSIZE))


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
