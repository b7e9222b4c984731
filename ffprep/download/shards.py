"""The shards that images are stored in: tar archives in webdataset's layout, each with a manifest that completes it.

``00012.tar`` holds, for each row that worked from ``12 * shard_size`` on, ``<id>.<ext>`` (the image as served),
``<id>.txt`` (the caption) and ``<id>.json`` (URL, digest, size): what img2dataset writes and webdataset reads.
``00012.jsonl``, the shard's manifest, has one line for every row of the shard, failures included. It is written last,
so that a shard with a manifest is complete, and one without it is fetched again. The bytes of both are the same
whatever order the images arrived in.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ffprep.common.files.locking import open_locked
from ffprep.common.files.replacing import TEMPORARY, naming, replacing
from ffprep.common.files.source_files import open_text
from ffprep.common.files.writing_back import write_fully
from ffprep.download.settings import DownloadOptions
from ffprep.errors import OptionError, SourceError

SETTINGS = "download.json"

_WRITTEN = re.compile(r"\d{5,}\.(tar|jsonl)|manifest\.jsonl|report\.json")  # what a download writes

OWN = -1
"""Stands for this process among the workers that have a file in a buffer."""

AGAIN = "delete the shard's .tar and .jsonl to fetch it again"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one row of the index, which is one line of a manifest.

    Attributes
    ----------
    id : int
        IndexRow number in the index.
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


class ImageAppender:
    """Appends images to a file; several threads may use it at once.

    Parameters
    ----------
    descriptor : int
        The open file, which the caller closes.
    path : Path
        The shard that they are for, which errors name.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self._lock = threading.Lock()
        self._end = 0

    def append(self, data: bytes) -> int:
        """Append an image; returns its offset in the file."""
        with self._lock:
            offset = self._end
            self._end += len(data)
        with naming(self._path):
            write_fully(self._descriptor, memoryview(data), offset)
        return offset


class ShardBuffer:
    """The outcomes of a shard that is being filled, and its images in unnamed temporary files, one for each worker.

    Parameters
    ----------
    folder : Path
        Where the temporary files are created.

    Attributes
    ----------
    outcomes : dict
        Outcomes by row number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, IO[bytes]] = {}
        self._places: dict[int, tuple[int, int]] = {}
        self.outcomes: dict[int, Outcome] = {}

    def __contains__(self, worker: int) -> bool:
        """Whether a worker has a file here."""
        return worker in self._files

    @property
    def workers(self) -> list[int]:
        """Workers that have a file here, without this process."""
        return [worker for worker in self._files if worker != OWN]

    def file_of(self, worker: int) -> int:
        """Descriptor of a worker's file, which is created when first asked for and belongs to this buffer."""
        if worker not in self._files:
            self._files[worker] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed in close()
        return self._files[worker].fileno()

    def add(self, outcome: Outcome, worker: int, offset: int) -> None:
        """Record an outcome and, if it is ``ok``, the place of its image: the worker's file and the offset in it."""
        if outcome.ok:
            self._places[outcome.id] = (worker, offset)
        self.outcomes[outcome.id] = outcome

    def image(self, number: int) -> bytes:
        """Image of a row whose outcome is ``ok``."""
        worker, offset = self._places[number]
        return os.pread(self._files[worker].fileno(), self.outcomes[number].bytes, offset)

    def close(self) -> None:
        """Free the temporary files."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def write_shard(folder: Path, number: int, buffer: ShardBuffer) -> list[Outcome]:
    """Write a shard's tar and then its manifest; returns the outcomes in row order."""
    outcomes = [buffer.outcomes[row] for row in sorted(buffer.outcomes)]
    path = tar_path(folder, number)
    with replacing(path) as file:
        for outcome in outcomes:
            if outcome.ok:
                key = f"{outcome.id:09d}"
                facts = {k: v for k, v in outcome.__dict__.items() if k != "caption"}
                with naming(path):
                    image = buffer.image(outcome.id)
                _add(file, f"{key}.{outcome.extension}", image)
                _add(file, f"{key}.txt", outcome.caption.encode(errors="replace"))
                _add(file, f"{key}.json", json.dumps(facts).encode())
        end = 2 * tarfile.BLOCKSIZE
        file.write(bytes(end + -(file.tell() + end) % tarfile.RECORDSIZE))
    write_lines(manifest_path(folder, number), outcomes)
    return outcomes


def read_shard(folder: Path, number: int) -> ShardBuffer:
    """Read a complete shard into a buffer, to be changed and written again."""
    buffer = ShardBuffer(folder)
    path = tar_path(folder, number)
    images = ImageAppender(buffer.file_of(OWN), path)
    places: dict[str, tuple[int, int]] = {}
    try:
        with naming(path), tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if extension not in ("txt", "json") and (reader := tar.extractfile(member)) is not None:
                    data = reader.read()
                    places[key] = len(data), images.append(data)
        for outcome in read_lines(manifest_path(folder, number)):
            size, offset = places.get(f"{outcome.id:09d}", (-1, 0))
            if outcome.ok and size != outcome.bytes:
                raise SourceError(f"{path}: row {outcome.id} is not in it as its manifest says; {AGAIN}")
            buffer.add(outcome, OWN, offset)
    except BaseException as error:
        buffer.close()
        if isinstance(error, tarfile.TarError):
            raise SourceError(f"{path}: damaged ({error}); {AGAIN}") from error
        raise
    return buffer


def read_lines(path: Path) -> Iterator[Outcome]:
    """Outcomes that a manifest lists, of a shard or of a whole download.

    Raises
    ------
    SourceError
        When a line is not one that this module wrote; the message names the line.
    """
    with open_text(path) as file:
        for line_number, line in enumerate(file, 1):
            try:
                yield Outcome(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise SourceError(f"{path}, line {line_number}: not a line of a download manifest; {AGAIN}") from error


def write_lines(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write a manifest, which appears under its name only when it is complete."""
    with replacing(path) as file:
        for outcome in outcomes:
            # A lone surrogate becomes the JSON escape that it was read from.
            file.write(outcome.line().encode(errors="backslashreplace"))


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, which appears under its name only when it is complete."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def tar_path(folder: Path, number: int) -> Path:
    """Path of a shard's images."""
    return folder / f"{number:05d}.tar"


def manifest_path(folder: Path, number: int) -> Path:
    """Path of a shard's manifest, whose existence means that the shard is complete."""
    return folder / f"{number:05d}.jsonl"


def complete_shards(folder: Path) -> list[int]:
    """Numbers of a folder's complete shards, ascending."""
    return sorted(
        int(p.stem) for p in folder.glob("[0-9]*.jsonl") if p.stem.isdigit() and tar_path(folder, int(p.stem)).exists()
    )


def remove_shard(folder: Path, number: int) -> None:
    """Remove a shard, its manifest first, so that it counts as incomplete at once."""
    manifest_path(folder, number).unlink(missing_ok=True)
    tar_path(folder, number).unlink(missing_ok=True)


def _member(name: str) -> bytes:
    """Header of an empty member."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


_EMPTY = _member("")
_SIZE, _CHECKSUM = slice(124, 136), slice(148, 156)


def _add(file: IO[bytes], name: str, data: bytes) -> None:
    """Write a member with a short ASCII name and less than 8 GiB. tarfile's own writing takes ten times as long."""
    header = bytearray(_EMPTY)
    header[: len(name)] = name.encode("ascii")
    header[_SIZE] = b"%011o\0" % len(data)
    header[_CHECKSUM] = b" " * 8
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    file.write(header)
    file.write(data)
    file.write(bytes(-len(data) % tarfile.BLOCKSIZE))


# the folder as a whole


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other downloads out of a folder, and remove what killed ones left; the lock also ends with the process."""
    descriptor, held = open_locked(folder / SETTINGS, folder)
    try:
        for left in folder.glob(f"*{TEMPORARY}"):
            if left.is_dir():
                adopt(folder, left)
            else:
                left.unlink()
        yield
    finally:
        held.release()
        os.close(descriptor)


def adopt(folder: Path, left: Path) -> None:
    """Take over the complete shards that an interrupted download by a cluster left in folders of `left`, and remove it.

    Of shards without a single image it is not known whether the network failed; they are fetched again.
    """
    complete = set(complete_shards(folder))
    for own in left.iterdir():
        for number in complete_shards(own) if own.is_dir() else ():
            if number not in complete and any(outcome.ok for outcome in read_lines(manifest_path(own, number))):
                move_shard(own, folder, number)
                complete.add(number)
    remove_folder(left)


def move_shard(source: Path, target: Path, number: int) -> None:
    """Move a complete shard to another folder of the file system; its manifest comes last."""
    for place in (tar_path, manifest_path):
        with naming(place(target, number)):
            place(source, number).replace(place(target, number))


def remove_folder(folder: Path) -> None:
    """Remove a folder into which a task that was given up may still write; it loses its name first."""
    gone = folder.with_name(f"{secrets.token_hex(8)}{TEMPORARY}")
    with contextlib.suppress(OSError):  # the next download into the folder tries again
        folder.rename(gone)
        shutil.rmtree(gone)


def drop(folder: Path) -> None:
    """Remove what a download wrote; what says that it is one goes last, so that a kill in between leaves a download."""
    if not (folder / SETTINGS).exists():
        return
    with locked(folder):
        for found in folder.iterdir():
            if _WRITTEN.fullmatch(found.name):
                found.unlink()
        (folder / SETTINGS).unlink()


def check_settings(folder: Path, options: DownloadOptions) -> None:
    """Record the settings of a download in its folder, or compare them with those that are recorded.

    Raises
    ------
    OptionError
        The folder holds a download with other settings, or files that are of none.
    """
    path = folder / SETTINGS
    anew = "use another folder, or --restart drops it and begins anew"
    if not path.exists():
        for found in sorted(folder.iterdir()):
            if _WRITTEN.fullmatch(found.name):
                raise OptionError(f"{found}: is there already and of no download; use another folder")
        write_json(path, options.lasting())
        return
    try:
        with naming(path):
            before = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        raise OptionError(f"{path}: is damaged, so the download in this folder cannot be continued; {anew}")
    if before != options.lasting():
        changed = ", ".join(k for k, v in options.lasting().items() if before.get(k) != v)
        raise OptionError(f"{folder}: holds a download with other settings ({changed}); {anew}")
