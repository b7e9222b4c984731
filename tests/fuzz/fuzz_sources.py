"""Sources over damaged files: tables of URLs, JSON, tar and zip archives, parquet, configurations.

    python tests/fuzz/fuzz_sources.py --runs 10000 [--seed 1] [--only tsv ...]

Each file is read to its end, or refused with a typed error that names it; nothing is written outside of its folder. The
same seed gives the same files. A finding is saved in the current folder and ends the program.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import lzma
import random
import shutil
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ffprep.common.names import Clutter
from ffprep.convert.config import read_config
from ffprep.download.url_index import read_index
from ffprep.errors import FfprepError, OptionError
from ffprep.sources.caption_shards import ShardCaptions, find_shards
from ffprep.sources.reading.annotations import read_annotations
from ffprep.sources.reading.file_sets import index_archives
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.shard_index import ShardIndex
from ffprep.sources.reading.zipped import ZipFiles
from ffprep.text.documents.documents import ArchiveUnit, Document
from ffprep.text.documents.table_rows import json_rows

LONGEST = 20.0
"""Seconds of processor time that no file of this size may take."""


def tar_bytes(mode: str = "w", form: int = tarfile.GNU_FORMAT) -> bytes:
    """Return an archive of an image, its text and facts, a link, a long name and an archive in the archive."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        _add(archive, "i.jpg", b"image")
        _add(archive, "doc.txt", b"text " * 30)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        _add(archive, "0.jpg", b"\xff\xd8 image")
        _add(archive, "0.txt", b"a caption")
        _add(archive, "1.png", b"\x89PNG image")
        _add(archive, "1.json", b'{"caption": "another", "url": "http://x/y"}')
        _add(archive, f"{'long/' * 40}2.jpg", b"x" * 600)
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "../../etc/passwd"
        archive.addfile(link)
        _add(archive, "inner.tar", inner.getvalue())
    return out.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def zip_bytes(kind: int) -> bytes:
    """Return an archive with an image and annotations."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        archive.writestr("n1/a.jpg", b"image" * 40)
        archive.writestr("captions.json", json.dumps({"images": [{"id": 1}], "annotations": [{"caption": "x"}]}))
    return out.getvalue()


def parquet_bytes() -> bytes:
    """Return a table of URLs and captions."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"image_url": [f"http://x/{n}" for n in range(50)], "caption": ["a b"] * 50}), out)
    return out.getvalue()


def read_tar(path: Path) -> None:
    """Read an archive as images, and as a shard of images and captions."""
    files = index_archives([path])
    for number in range(len(files.names)):
        files.read(number)
    index = ShardIndex(find_shards([path], Clutter()), LeftOut(True), Clutter())
    captions = ShardCaptions(index.files("texts"), index.files("facts"), *index.columns())
    for image in range(len(index.images)):
        try:
            captions.of(image)
        except FfprepError as error:
            assert ".json" in str(error) or ".txt" in str(error) or path.name in str(error), error


def read_documents(path: Path) -> None:
    """Read an archive as documents."""
    for item in ArchiveUnit(path, path.name, 0, path.stat().st_size).documents():
        if isinstance(item, Document) and not isinstance(item.content, (bytes, str)):
            for _ in item.content:
                pass


def chosen(names: list[str]) -> str:
    """Return the first name, or refuse."""
    if not names:
        raise OptionError("x.json, 0.zip, 8.zip, 12.zip, 14.zip: no annotations")
    return names[0]


def read_zip(path: Path) -> None:
    """Read an archive as images and as annotations."""
    files = ZipFiles(path)
    for number in range(len(files.names)):
        files.read(number)
    read_annotations(path, chosen)


def read_rows(path: Path) -> None:
    """Read an index of URLs."""
    for _ in read_index(path):
        pass


def read_json(path: Path) -> None:
    """Read JSON in each of the ways in which it is read."""
    read_annotations(path, lambda names: names[0])
    read_rows(path)


def read_lines(path: Path) -> None:
    """Read JSON lines as text, and as an index."""
    for _ in json_rows(path, ["text"]):
        pass
    read_rows(path)


LINES = b'{"text": "a", "image_url": "http://x/1", "caption": "c"}\n' * 6
TABLE = b"caption one\thttp://x/1\nanother\thttp://x/2\n" * 6
SBU = json.dumps({"image_urls": ["http://x/1"] * 6, "captions": ["c"] * 6}).encode()
OBJECTS = json.dumps([{"image_url": "http://x/1", "caption": "c"}] * 6).encode()
CONFIGURATION = b"- &a {dataset: imagenet, split: train, quality: 90}\n- {<<: *a, out: x.beton, date: 2020-01-01}\n"

SEEDS: dict[str, tuple[tuple[str, Callable[[], bytes]], ...]] = {
    "tsv": (("x.tsv", lambda: TABLE), ("x.tsv.gz", lambda: gzip.compress(TABLE * 9))),
    "json": (("x.json", lambda: SBU), ("y.json", lambda: OBJECTS)),
    "jsonl": (("x.jsonl", lambda: LINES),),
    "tar": (("x.tar", tar_bytes), ("y.tar", lambda: tar_bytes(form=tarfile.PAX_FORMAT))),
    "documents": (("x.tar.xz", lambda: lzma.compress(tar_bytes())), ("y.tar", tar_bytes)),
    "zip": tuple((f"{kind}.zip", lambda kind=kind: zip_bytes(kind)) for kind in (0, 8, 12, 14)),  # type: ignore[misc]
    "parquet": (("x.parquet", parquet_bytes),),
    "yaml": (("x.yaml", lambda: CONFIGURATION),),
}
READERS: dict[str, Callable[[Path], object]] = {
    "tsv": read_rows,
    "json": read_json,
    "jsonl": read_lines,
    "tar": read_tar,
    "documents": read_documents,
    "zip": read_zip,
    "parquet": read_rows,
    "yaml": lambda path: read_config(path, []),
}
WORDS = (
    b"[",
    b"{",
    b'"',
    b"\\u",
    b"\t",
    b"\n",
    b"\0",
    b"9" * 30,
    b"\xff\xfe",
    b"\x1f\x8b",
    b"../",
    b"0000777",
    b"&a *a",
)


def damaged(rng: random.Random, good: bytes) -> bytes:
    """Return a file with one to five changes; tar headers get right checksums again."""
    content = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        at = rng.randrange(len(content) + 1)
        kind = rng.randrange(7)
        if kind == 0 and content:
            content[at % len(content)] = rng.randrange(256)
        elif kind == 1:
            content[at:at] = rng.choice(WORDS) * rng.choice((1, 1, 3, 300))
        elif kind == 2:
            del content[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            del content[at:]
        elif kind == 4:
            content[at:at] = content[at : at + rng.randrange(1, 1200)]
        else:
            edge = rng.choice((b"\xff", b"\0", b"7", b"\x80"))
            size = rng.randrange(1, 13)
            content[at : at + size] = edge * size
    if good[257:262] == b"ustar" and rng.random() < 0.8:
        for header in range(0, len(content) - 511, 512):
            if content[header + 257 : header + 262] == b"ustar":
                content[header + 148 : header + 156] = b" " * 8
                content[header + 148 : header + 156] = b"%06o\0 " % sum(content[header : header + 512])
    return bytes(content)


def run(kind: str, runs: int, seed: int, folder: Path, seconds: float | None = None) -> Counter[str]:
    """Try damaged files of one kind; return how often each error was seen, ``good`` where there was none.

    Raises
    ------
    AssertionError
        About a finding; the file stays in the folder.
    """
    seeds = [(name, make()) for name, make in SEEDS[kind]]
    inside = folder / "in"
    inside.mkdir(parents=True)
    seen: Counter[str] = Counter()
    end = time.monotonic() + (seconds or 0)
    number = 0
    while number < runs if seconds is None else time.monotonic() < end:
        rng = random.Random(f"{seed} {kind} {number}")
        name, good = rng.choice(seeds)
        path = inside / name
        path.write_bytes(damaged(rng, good) if number >= len(seeds) else seeds[number][1])
        began = time.process_time()
        where = f"run {number} of seed {seed}, {path}"
        try:
            READERS[kind](path)
            seen["good"] += 1
        except FfprepError as error:
            seen[type(error).__name__] += 1
            assert path.name in str(error), f"{where}: the error does not name the file: {error}"
            assert len(str(error)) < 3000, f"{where}: a very long message"
        except Exception as error:
            raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
        assert time.process_time() - began < LONGEST, f"{where} takes very long"
        path.unlink()
        number += 1
    assert [entry.name for entry in folder.iterdir()] == ["in"] and not list(inside.iterdir())
    return seen


def main() -> None:
    """Run the kinds that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=sorted(SEEDS), default=sorted(SEEDS))
    options = parser.parse_args()
    for kind in options.only:
        with tempfile.TemporaryDirectory() as folder:
            each = None if options.seconds is None else options.seconds / len(options.only)
            try:
                seen = run(kind, options.runs, options.seed, Path(folder) / "x", each)
            except AssertionError:
                for path in (Path(folder) / "x" / "in").iterdir():
                    shutil.copy(path, f"finding-{path.name}")
                    print(f"saved as finding-{path.name}", file=sys.stderr)
                raise
        print(f"{kind}: {dict(seen)}", flush=True)


if __name__ == "__main__":
    main()
