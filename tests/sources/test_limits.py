"""Each limit of docs/security.md that no other test exceeds: what is within it is taken, and one more is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ffprep.beton import Reader, Writer, layout
from ffprep.cli import main
from ffprep.common.files import expansion, tar
from ffprep.convert import config
from ffprep.download.index_forms import structured
from ffprep.download.url_index import read_index
from ffprep.errors import ConversionError, OptionError, SourceError
from ffprep.fields import IntField, RGBImageField
from ffprep.jpeg.prepare import KERNEL_MAX_PIXELS, prepare
from ffprep.sources import caption_shards
from ffprep.sources.reading import matfile, synsets
from ffprep.sources.reading.file_sets import index_archives
from ffprep.sources.reading.matfile import read_struct_array
from ffprep.text.documents import json_arrays
from ffprep.text.documents.documents import ArchiveUnit, Document, Ignored
from ffprep.text.documents.table_rows import json_rows
from ffprep.text.tokens import tokenizer
from ffprep.text.tokens.tokenizer import open_tokenizer
from ffprep.text.tokens.vocabulary import Vocabulary

Patch = pytest.MonkeyPatch

# -- pixels -----------------------------------------------------------------------------------------------------------

KINDS = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]


def image(kind: str, width: int = 40, height: int = 30) -> bytes:
    out = io.BytesIO()
    Image.effect_noise((width, height), 40).convert("RGB").save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["jpg", "raw"])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels(kind: str, mode: str) -> None:
    data = image(kind)
    RGBImageField(mode, max_pixels=1200).encode(data)
    with pytest.raises(ConversionError, match=r"40 x 30 pixels are over the limit of 1199 \(--max-pixels\)"):
        RGBImageField(mode, max_pixels=1199).encode(data)


def test_pixels_that_no_loader_decodes() -> None:
    for wrong in (0, -1, KERNEL_MAX_PIXELS + 1):
        with pytest.raises(OptionError, match="max_pixels is between 1 and 268435456"):
            RGBImageField(max_pixels=wrong)
        with pytest.raises(OptionError, match="max_pixels is between 1 and 268435456"):
            prepare(b"", max_pixels=wrong)


def run(*words: object) -> int:
    try:
        main([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_max_pixels_of_a_conversion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in" / "n1", tmp_path / "x.beton"
    source.mkdir(parents=True)
    for number, kind in enumerate(("JPEG", "PNG")):
        (source / f"{number}.jpg").write_bytes(image(kind))
    command = ("convert", "imagenet", "--source", source.parent, "--out", out)
    assert run(*command, "--max-pixels", 1199) == 1
    assert "0.jpg (sample 0): 40 x 30 pixels are over the limit of 1199 (--max-pixels)" in capsys.readouterr().err
    assert run(*command, "--max-pixels", 1200, "--restart") == 0
    with Reader(out) as reader:
        assert reader.manifest is not None and reader.manifest["fields"]["image"]["max_pixels"] == 1200
    assert run("verify", out, "--against", source.parent) == 0
    assert run(*command, "--max-pixels", (1 << 28) + 1) == 2


# -- what compressed files unpack to ----------------------------------------------------------------------------------

PACKERS: dict[str, Callable[[bytes], bytes]] = {"xz": lzma.compress, "gz": gzip.compress}


@pytest.mark.parametrize("kind", PACKERS)
def test_max_expansion_of_a_corpus(
    tmp_path: Path, monkeypatch: Patch, kind: str, capsys: pytest.CaptureFixture[str], vocabulary: Vocabulary
) -> None:
    monkeypatch.setattr(expansion, "FREE", 100_000)
    source, out = tmp_path / f"x.jsonl.{kind}", tmp_path / "x.beton"
    source.write_bytes(PACKERS[kind]((json.dumps({"text": "a lake at night"}) + "\n").encode() * 20_000))
    command = ("convert", "text", "--files", source, "--out", out, "--length", 8)
    assert run(*command, "--max-expansion", 100) == 1
    shown = capsys.readouterr().err
    assert "as no data set does" in shown and "--max-expansion" in shown and str(source) in shown
    assert run(*command, "--max-expansion", 10_000) == 0
    assert run(*command, "--max-expansion", 0) == 2


def test_max_expansion_holds_for_one_command(tmp_path: Path, monkeypatch: Patch) -> None:
    """Conversions of one configuration have each their own, and it is over with the command."""
    monkeypatch.setattr(expansion, "FREE", 1000)
    with expansion.allowing(10):
        assert expansion.too_dense(1001, 100) and not expansion.too_dense(1000, 100)
        with expansion.allowing(20):
            assert not expansion.too_dense(2000, 100) and expansion.too_dense(2001, 100)
        assert expansion.too_dense(2000, 100)
    assert not expansion.too_dense(250 * 100, 100) and expansion.too_dense(250 * 100 + 1, 100)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_max_expansion_of_annotations(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str], kind: int, vocabulary: Vocabulary
) -> None:
    monkeypatch.setattr("ffprep.sources.reading.annotations._SMALL", 1000)
    facts = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "a lake"}]}
    (tmp_path / "1.jpg").write_bytes(image("JPEG"))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", kind) as archive:
        archive.writestr("captions_train2017.json", json.dumps(facts) + " " * 3_000_000)
    given = ("--images", tmp_path, "--annotations", tmp_path / "x.zip", "--out", tmp_path / "x.beton")
    command = ("convert", "coco", *given, "--split", "train2017")
    assert run(*command) == 1
    assert "unless --max-expansion allows it" in capsys.readouterr().err
    assert run(*command, "--max-expansion", 1_000_000) == 0


def nested(depth: int) -> bytes:
    """A text in so many archives."""
    name, data = "a.txt", b"text"
    for _ in range(depth):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        name, data = "inner.tar", out.getvalue()
    return data


@pytest.mark.parametrize(("depth", "kind"), [(1, Document), (3, Document), (4, Ignored), (9, Ignored)])
def test_archives_within_archives(tmp_path: Path, depth: int, kind: type[Any]) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(nested(depth))
    assert [type(found) for found in ArchiveUnit(path, path.name, 0, path.stat().st_size).documents()] == [kind]


# -- text and tables --------------------------------------------------------------------------------------------------


def test_json_of_an_index(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"url": "http://a.example/x.jpg", "caption": "one"}]')
    monkeypatch.setattr(structured, "LARGEST", path.stat().st_size)
    assert len(list(read_index(path))) == 1
    monkeypatch.setattr(structured, "LARGEST", path.stat().st_size - 1)
    with pytest.raises(SourceError, match=r"x\.json: more than 52 characters of JSON; give it as JSON lines"):
        list(read_index(path))


def test_elements_of_json_arrays(tmp_path: Path, monkeypatch: Patch) -> None:
    """An element that never ends is not taken into memory to its end."""
    monkeypatch.setattr(json_arrays, "_CHUNK", 10)
    monkeypatch.setattr(json_arrays, "_LARGEST_ITEM", 1000)
    path = tmp_path / "x.json"
    for size, good in ((500, True), (5000, False)):
        path.write_text(json.dumps([{"text": "a"}, {"text": "b" * size}]))
        rows = json_rows(path, ["text"])
        next(rows)
        if good:
            assert next(rows).values == ("b" * size,)  # type: ignore[union-attr]
        else:
            with pytest.raises(SourceError, match=r"x\.json: ends or is damaged in element 1"):
                next(rows)


@pytest.mark.parametrize("nest", ['{"a":', "["])
def test_nesting_of_json(tmp_path: Path, nest: str) -> None:
    """Rows of tables and indexes, and arrays of them: a bad row, or an error that names the file."""
    deep = nest * 100_000
    lines = tmp_path / "x.jsonl"
    lines.write_text(f'{{"text": {deep}\n{{"text": "good"}}\n')
    bad, good = json_rows(lines, ["text"])
    assert "not JSON" in str(bad) and good.values == ("good",)  # type: ignore[union-attr]
    for name, content in (("x.json", f"[{deep}"), ("y.json", f'{{"image_urls": {deep}')):
        (tmp_path / name).write_text(content)
        with pytest.raises(SourceError, match=name):
            list(read_index(tmp_path / name))
    with pytest.raises(SourceError, match=r"x\.json"):
        list(json_rows(tmp_path / "x.json", ["text"]))


def test_configurations(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("dataset: imagenet\n")
    monkeypatch.setattr(config, "_LARGEST", path.stat().st_size)
    assert config.read_config(path, []) == [{"dataset": "imagenet"}]
    path.write_text("dataset: imagenet\n#\n")
    with pytest.raises(OptionError, match=r"c\.yaml: too large for a configuration"):
        config.read_config(path, [])
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate((1 << 20) + 1)
    monkeypatch.undo()
    with pytest.raises(OptionError, match="too large"):
        config.read_config(path, [])


def test_many_values_without_aliases(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "c.yaml"
    monkeypatch.setattr(config, "_MOST_VALUES", 50)
    path.write_text(f"dataset: imagenet\nlist: [{', '.join(['1'] * 60)}]\n")
    with pytest.raises(OptionError, match="more than 50 values"):
        config.read_config(path, [])


# -- archives ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_extensions_of_tar_headers(tmp_path: Path, monkeypatch: Patch, kind: bytes) -> None:
    monkeypatch.setattr(tar, "_LONGEST_EXTENSION", 4000)
    body = b"a" * 3990 + b".jpg\0" if kind in b"LK" else b"4000 comment=" + b"a" * 3986 + b"\n"
    for size, good in ((len(body), True), (4001, False)):
        path = tmp_path / "x.tar"
        entry = tarfile.TarInfo("name")
        entry.type, entry.size = kind, size
        plain = tarfile.TarInfo("a.jpg")
        content = entry.tobuf(tarfile.GNU_FORMAT) + body.ljust(4096, b"\0") + plain.tobuf(tarfile.GNU_FORMAT)
        path.write_bytes(content + bytes(1024))
        if good:
            assert len(index_archives([path]).names) == 1
        else:
            with pytest.raises(SourceError, match=r"x\.tar: the extension header at byte 0 claims"):
                index_archives([path])


def shard(path: Path, vocabulary: Vocabulary, **members: bytes) -> caption_shards.ShardSource:
    with tarfile.open(path, "w") as archive:
        for kind, data in members.items():
            entry = tarfile.TarInfo(f"0.{kind}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return caption_shards.open_caption_shards("cc3m", [path], image=RGBImageField(), vocabulary=vocabulary, skip=True)


def test_captions_and_facts_of_shards(tmp_path: Path, monkeypatch: Patch, vocabulary: Vocabulary) -> None:
    monkeypatch.setattr(caption_shards, "LONGEST_CAPTION", 100)
    monkeypatch.setattr(caption_shards, "LONGEST_FACTS", 100)
    photograph = image("JPEG")
    assert len(shard(tmp_path / "a.tar", vocabulary, jpg=photograph, txt=b"c" * 100)) == 1
    with pytest.raises(SourceError, match=r"0\.txt: 101 bytes are no caption"):
        _ = shard(tmp_path / "b.tar", vocabulary, jpg=photograph, txt=b"c" * 101).sample(0)
    facts = json.dumps({"caption": "c" * 50}).encode()
    assert len(shard(tmp_path / "c.tar", vocabulary, jpg=photograph, json=facts)) == 1
    with pytest.raises(SourceError, match=r"0\.json: holds no caption"):
        _ = shard(tmp_path / "d.tar", vocabulary, jpg=photograph, json=facts + b" " * 100).sample(0)


def test_label_files_and_development_kits(tmp_path: Path, monkeypatch: Patch, make_mat: Callable[..., bytes]) -> None:
    records = [{"ILSVRC2012_ID": 1.0, "WNID": "n00000001", "words": "x" * 5000, "children": []}]
    data = make_mat("synsets", records, compressed=True)
    (tmp_path / "kit.mat").write_bytes(data)
    with tarfile.open(tmp_path / "kit.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("kit/meta.mat")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    assert len(read_struct_array(data, "synsets", "m")) == 1
    monkeypatch.setattr(matfile, "_LARGEST", 4000)
    with pytest.raises(SourceError, match="m: .*an element is too large"):
        read_struct_array(data, "synsets", "m")
    plain = make_mat("synsets", records, compressed=False)
    with pytest.raises(SourceError, match="m: .*an array is too large"):
        read_struct_array(plain, "synsets", "m")
    monkeypatch.setattr(synsets, "_LARGEST", len(data) - 1)
    with pytest.raises(SourceError, match=r"kit\.mat: too large for a list of labels"):
        synsets.read_text(tmp_path / "kit.mat")
    with pytest.raises(SourceError, match=r"no meta\.mat"):
        synsets.read_kit(tmp_path / "kit.tar.gz")


def test_tokenizers(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate((1 << 26) + 1)
    with pytest.raises(SourceError, match=r"x\.json: 67,108,865 bytes are too many for a tokenizer"):
        open_tokenizer(str(path))
    monkeypatch.setattr(tokenizer, "LARGEST_MODEL", 1 << 40)
    path.write_bytes(b"{}")
    with pytest.raises(SourceError, match="not a Hugging Face tokenizer"):
        open_tokenizer(str(path))


# -- .beton files -----------------------------------------------------------------------------------------------------


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "x.beton"
    with Writer(path, {"label": IntField()}, 2) as writer:
        for length in (4096, 4097):
            writer.write([IntField().encode(1)], "é" * (length // 2) + "a" * (length % 2))
    with Reader(path) as reader:
        assert [len(name.encode()) for name in reader.sample_names() or ()] == [4096, 4096]


def test_fields_and_sections(tmp_path: Path) -> None:
    field = IntField()
    for count in (50, layout.MAX_SECTIONS + 1):
        refused = contextlib.nullcontext() if count == 50 else pytest.raises(OptionError, match="sections")
        with refused, Writer(tmp_path / f"{count}.beton", {"label": field}, 1) as writer:
            writer.write([field.encode(1)])
            writer.close(extra_sections={f"s{n}": b"x" for n in range(count)})
    with pytest.raises(OptionError, match="fields"):
        Writer(tmp_path / "y.beton", {f"f{n}": field for n in range(layout.MAX_FIELDS + 1)}, 1)


def test_sections_of_a_superblock() -> None:
    for count in (layout.MAX_SECTIONS, layout.MAX_SECTIONS + 1):
        sections = tuple(layout.Section(f"s{n}", 0, 0, 0) for n in range(count))
        data = layout.Superblock(0, 0, 0, 0, 0, 0, sections).pack()
        refused = contextlib.nullcontext() if count == layout.MAX_SECTIONS else pytest.raises(ValueError, match="cut")
        with refused:
            assert layout.Superblock.unpack(data) is not None
