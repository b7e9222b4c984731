"""Archives and compressed files that are made to harm: bombs, claims of sizes, links, names that lead elsewhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ffprep.common.files import expansion, source_files
from ffprep.common.names import Clutter
from ffprep.download.url_index import read_index
from ffprep.errors import SourceError
from ffprep.fields import RGBImageField
from ffprep.sources.caption_shards import ShardCaptions, find_shards
from ffprep.sources.imagenet import open_imagenet
from ffprep.sources.labelled_tables import ParquetTable
from ffprep.sources.openwebtext import open_corpus
from ffprep.sources.reading import annotations, file_sets
from ffprep.sources.reading.annotations import read_annotations
from ffprep.sources.reading.file_sets import FolderFiles, TarFiles, index_archives, walk_images
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.shard_index import ShardIndex
from ffprep.sources.reading.zipped import ZipFiles
from ffprep.text.documents.documents import ArchiveUnit, FilesUnit
from ffprep.text.documents.streams import FilePart, decompressed

PACKERS: dict[str, Callable[[bytes], bytes]] = {"xz": lzma.compress, "gz": gzip.compress, "bz2": bz2.compress}


def first(names: list[str]) -> str:
    return names[0]


# -- what unpacks to more than it should ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(PACKERS))
def test_bombs_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """40 MB of nothing are refused after 8 MB, in whatever they lie."""
    monkeypatch.setattr(expansion, "FREE", 8_000_000)
    path = tmp_path / f"x.txt.{kind}"
    path.write_bytes(PACKERS[kind](bytes(40_000_000)))
    with FilePart(path) as raw, decompressed(raw) as file, pytest.raises(SourceError) as caught:
        while file.read(1 << 20):
            pass
    assert str(path) in str(caught.value) and "unpack the file and give what comes out" in str(caught.value)
    with pytest.raises(SourceError, match=f"x.txt.{kind}"):
        for document in FilesUnit(tmp_path, (path.name,), 1).documents():
            assert not isinstance(document, tuple) or b"".join(document.content) == b""  # type: ignore[union-attr]


def test_dense_text_is_no_bomb(tmp_path: Path) -> None:
    """What is as dense as gzip gets is read, up to a quarter of a gigabyte."""
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"the same line\n" * 1_000_000))
    with FilePart(path) as raw, decompressed(raw) as file:
        assert len(file.read()) == 14_000_000


def test_bombs_in_archives_in_archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "FREE", 8_000_000)
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as archive:
        big = tarfile.TarInfo("a.txt")
        big.size = 40_000_000
        archive.addfile(big, io.BytesIO(bytes(40_000_000)))
    outer = tmp_path / "outer.tar"
    with tarfile.open(outer, "w") as archive:
        entry = tarfile.TarInfo("inner.tar.xz")
        entry.size = len(inner.getvalue())
        archive.addfile(entry, io.BytesIO(inner.getvalue()))
    with pytest.raises(SourceError, match="as no data set does"):
        for document in ArchiveUnit(outer, "outer.tar", 0, outer.stat().st_size).documents():
            for _ in document.content:  # type: ignore[union-attr]
                pass


def zip_that_lies(path: Path, kind: int, size: int, claimed: int | None = None) -> None:
    """Write an archive with one image of that many zeros, whose directory claims another size."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("n1/a.jpg", bytes(size))
    if claimed is not None:
        content = bytearray(path.read_bytes())
        at = content.rfind(b"PK\1\2")
        content[at + 24 : at + 28] = struct.pack("<I", claimed)
        path.write_bytes(content)


LIMITED = """
import resource, sys, zipfile
from pathlib import Path
from ffprep.common.files import expansion
from ffprep.errors import SourceError
from ffprep.sources.reading.left_out import LeftOut
from ffprep.sources.reading.shard_index import ShardIndex
from ffprep.sources.reading.zipped import ZipFiles
files = ZipFiles(Path(sys.argv[1]))
expansion.STEP = zipfile.ZipExtFile.MIN_READ_SIZE = 512  # in proportion to the small archive
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 50_000_000,) * 2)
try:
    files.read(0)
except SourceError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_of_zip_archives_take_what_they_claim(tmp_path: Path, kind: int) -> None:
    """100 MB in some kilobytes that claim to be 1,000 bytes are read in 50 MB of memory."""
    path = tmp_path / "x.zip"
    zip_that_lies(path, kind, 100_000_000, 1000)
    run = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-1000:]
    fault = "more or less than the 1,000 bytes" if kind == zipfile.ZIP_BZIP2 else "Bad CRC-32"
    assert run.stdout.startswith(f"{path}, in it n1/a.jpg: ") and fault in run.stdout


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_zip_archives_that_claim_too_much(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "x.zip"
    zip_that_lies(path, kind, 10, 0xFFFFFFF0)
    with pytest.raises(SourceError, match=r"x\.zip, in it n1/a\.jpg: 4,294,967,280 bytes are more than a sample"):
        ZipFiles(path).read(0)


def test_annotations_that_unpack_to_more_than_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "LARGEST", 1_000_000)
    monkeypatch.setattr(annotations, "_SMALL", 1_000_000)
    path = tmp_path / "x.json"
    path.write_text("[" + " " * 1_000_000 + "]")
    with pytest.raises(SourceError, match=r"x\.json: more than 1\.0 MB of JSON"):
        read_annotations(path, first)
    for kind in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        packed = tmp_path / f"{kind}.zip"
        with zipfile.ZipFile(packed, "w", kind) as archive:
            archive.writestr("captions.json", path.read_bytes() * 10)
        with pytest.raises(SourceError, match=r"captions\.json: .* that unpack to 10\.0 MB are no annotations"):
            read_annotations(packed, first)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "9" * 10_000, '{"a": 1e', "\x00", "NaN" * 9])
def test_json_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=r"x\.json: not valid JSON"):
        read_annotations(path, first)


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_samples_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are not read into memory whatever their size; sparse ones cost nothing to make."""
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SourceError, match=r"a\.jpg: 1,099,511,627,776 bytes are more than a sample may have"):
        FolderFiles(tmp_path, ["a.jpg"]).read(0)
    archive = tmp_path / "x.tar"
    entry = tarfile.TarInfo("b.jpg")
    entry.size = 1 << 40
    with archive.open("wb") as file:
        file.write(entry.tobuf(tarfile.GNU_FORMAT))
        file.truncate((1 << 40) + 4096)
    files = index_archives([archive])
    with pytest.raises(SourceError, match=r"x\.tar, in it b\.jpg: 1,099,511,627,776 bytes"):
        files.read(0)
    monkeypatch.setattr(file_sets, "LARGEST", 10)
    (tmp_path / "c.jpg").write_bytes(bytes(10))
    assert FolderFiles(tmp_path, ["c.jpg"]).read(0) == bytes(10)


@pytest.mark.parametrize("size", [1 << 20, 1 << 33, (1 << 63) - 1, 1 << 80])
def test_tar_headers_that_claim_more_than_there_is(tmp_path: Path, size: int) -> None:
    entry = tarfile.TarInfo("b.jpg")
    entry.size = min(size, (1 << 63) - 1)
    path = tmp_path / "x.tar"
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    if size >= 1 << 63:
        header[124:136] = b"\x80" + size.to_bytes(11, "big")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(header + bytes(4096))
    with pytest.raises(SourceError, match=r"x\.tar: the member at byte 0 needs .* is the file complete"):
        index_archives([path])


# -- links, devices and names -----------------------------------------------------------------------------------------


def odd_archive(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name, kind in [
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("device.jpg", tarfile.CHRTYPE),
            ("block.jpg", tarfile.BLKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
        ]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
        for name in ("../../up.jpg", "/root/absolute.jpg", "plain.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"abc"))


def test_links_devices_and_names_that_lead_elsewhere(tmp_path: Path) -> None:
    """Nothing is unpacked, so names are only names; links, devices and pipes are no files."""
    inside = tmp_path / "in"
    inside.mkdir()
    odd_archive(inside / "x.tar")
    before = sorted(p.name for p in tmp_path.iterdir()), sorted(p.name for p in inside.iterdir())
    files: TarFiles = index_archives([inside / "x.tar"])
    assert list(files.names) == ["../../up.jpg", "root/absolute.jpg", "plain.jpg"]
    assert {files.read(number) for number in range(3)} == {b"abc"}
    assert before == (sorted(p.name for p in tmp_path.iterdir()), sorted(p.name for p in inside.iterdir()))


def test_links_that_lead_in_circles(tmp_path: Path) -> None:
    folder = tmp_path / "n01"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    for name in ("back", "again"):
        (folder / name).symlink_to(tmp_path)
    for walk in (lambda: walk_images(tmp_path, ""), lambda: open_corpus(str(tmp_path))):
        with pytest.raises(SourceError, match=r"a link to a folder that it lies in.*remove the link"):
            walk()
    for name in ("back", "again"):
        (folder / name).unlink()
    (tmp_path / "n02").symlink_to(folder)
    assert walk_images(tmp_path, "") == ["n01/a.jpg", "n02/a.jpg"]


def test_links_that_fan_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder has two links to the next one: 2^40 ways to the last."""
    monkeypatch.setattr(source_files, "MOST_PATHS", 20)
    for level in range(40):
        (tmp_path / f"f{level:02d}").mkdir()
    for level in range(39):
        for name in "ab":
            (tmp_path / f"f{level:02d}" / name).symlink_to(tmp_path / f"f{level + 1:02d}")
    with pytest.raises(SourceError, match="in more than 20 ways"):
        walk_images(tmp_path / "f00", "")


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1"])
def test_parquet_that_is_none(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train-00000-of-00001.parquet").write_bytes(content)
    with pytest.raises(SourceError, match=r"train-00000-of-00001\.parquet"):
        open_imagenet(str(folder), "train", image=RGBImageField())


def test_a_deep_manifest_in_a_shard(tmp_path: Path) -> None:
    """Facts beside an image are read as JSON; nesting is an error of that sample."""
    path = tmp_path / "00000.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in (("0.jpg", b"x"), ("0.json", b"[" * 100_000)):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    index = ShardIndex(find_shards([path], Clutter()), LeftOut(False), Clutter())
    captions = ShardCaptions(index.files("texts"), index.files("facts"), *index.columns())
    with pytest.raises(SourceError, match=r"0\.json: holds no caption"):
        captions.of(0)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.jpg", "in/../../outside.jpg", "a\0.jpg"])
def test_tables_name_no_files_outside_of_their_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"not to be read")
    folder = tmp_path / "data"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.jpg").write_bytes(b"to be read")
    pq.write_table(
        pa.table({"image": [{"bytes": None, "path": path}, {"bytes": None, "path": "in/a.jpg"}], "label": [0, 0]}),
        folder / "train.parquet",
    )
    table = ParquetTable([folder / "train.parquet"])
    with pytest.raises(SourceError, match=r"train\.parquet, row 0: its image file .* is not in the table's folder"):
        table.read(0)
    assert table.read(1) == b"to be read"


def test_text_in_tables_that_is_no_text(tmp_path: Path) -> None:
    """Parquet does not check its text: an index and a table of images with such a path are refused by name."""
    bad = pa.array([b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"image_url": bad, "caption": bad}), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=r"x\.parquet: not a whole parquet file"):
        list(read_index(tmp_path / "x.parquet"))
    cells = pa.StructArray.from_arrays([pa.array([b"x"]), bad], ["bytes", "path"])
    pq.write_table(pa.table({"image": cells, "label": [0]}), tmp_path / "y.parquet")
    table = ParquetTable([tmp_path / "y.parquet"])
    for read in (table.read, table.name):
        with pytest.raises(SourceError, match=r"y\.parquet, row 0: cannot be read"):
            read(0)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_all_compressions_of_zip_archives(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "x.zip"
    image = bytes(range(256)) * 100
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("n1/a.jpg", image)
        archive.writestr("captions.json", '{"a": 1}')
    assert ZipFiles(path).read(0) == image
    assert read_annotations(path, first) == {"a": 1}


def test_a_zip_archive_with_a_member_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("n1/a.jpg", b"image")
        archive.writestr("b", b"gone")
    content = bytearray(path.read_bytes())
    directory = content.rfind(b"PK\1\2")
    content[directory + 28 : directory + 30] = b"\0\0"  # the name's length; its byte becomes the comment
    content[directory + 32 : directory + 34] = b"\1\0"
    path.write_bytes(content)
    files = ZipFiles(path)
    assert list(files.names) == ["n1/a.jpg"] and files.read(0) == b"image"
