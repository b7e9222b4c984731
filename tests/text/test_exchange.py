"""fairseq's and flat token files, both ways, against readers and writers of their own."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.errors import ConversionError, CorruptError, OptionError, SourceError
from ffprep.text.blocks import exchange, indexed
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.blocks.exchange import export_fairseq, export_flat, import_parts, recorded_vocabulary, renumbering
from ffprep.text.blocks.indexed import IndexedWriter, open_indexed
from ffprep.text.tokens import vocabulary as vocabularies
from ffprep.text.tokens.vocabulary import Vocabulary

TEXTS = ["One document.", "Another, longer one, of\ntwo lines.", "<|endoftext|>", "é" * 20]


def read_mmap(prefix: Path) -> list[list[int]]:
    """The published layout with struct alone."""
    index = prefix.with_name(prefix.name + ".idx").read_bytes()
    data = prefix.with_name(prefix.name + ".bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, count = struct.unpack_from("<QBQ", index, 9)
    assert (version, code) == (1, 8)
    sizes = struct.unpack_from(f"<{count}i", index, 26)
    pointers = struct.unpack_from(f"<{count}q", index, 26 + 4 * count)
    assert len(index) == 26 + 12 * count
    return [list(struct.unpack_from(f"<{n}H", data, p)) for n, p in zip(sizes, pointers, strict=True)]


def write_mmap(prefix: Path, sequences: list[list[int]], code: int = 8, megatron: bool = False) -> Path:
    kind = {3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}[code]
    width = np.dtype(kind).itemsize
    arrays = [np.array(s, kind) for s in sequences]
    prefix.with_name(prefix.name + ".bin").write_bytes(b"".join(a.tobytes() for a in arrays))
    sizes = [len(s) for s in sequences]
    pointers = [width * sum(sizes[:i]) for i in range(len(sizes))]
    index = b"MMIDIDX\x00\x00" + struct.pack("<QBQ", 1, code, len(sizes))
    if megatron:
        index += struct.pack("<Q", len(sizes) + 1)
    index += struct.pack(f"<{len(sizes)}i", *sizes) + struct.pack(f"<{len(sizes)}q", *pointers)
    if megatron:
        index += struct.pack(f"<{len(sizes) + 1}q", *range(len(sizes) + 1))
    prefix.with_name(prefix.name + ".idx").write_bytes(index)
    return prefix


@pytest.fixture
def beton(vocabulary: Vocabulary, tmp_path: Path) -> Path:
    """A file of the texts in blocks of 8."""
    (tmp_path / "x.jsonl").write_text("".join(f'{{"text": "{t}"}}\n'.replace("\nt", "\\nt") for t in TEXTS))
    out = tmp_path / "x.beton"
    done = CliRunner().invoke(
        main, ["convert", "openwebtext", "--source", str(tmp_path / "x.jsonl"), "--block", "8", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    return out


SEQUENCES = st.lists(st.lists(st.integers(0, 60000), max_size=6), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=SEQUENCES, cuts=st.lists(st.integers(0, 40), max_size=5), tail=st.integers(0, 2))
def test_what_is_written_in_pieces_is_read(
    tmp_path: Path, sequences: list[list[int]], cuts: list[int], tail: int
) -> None:
    flat = np.array([t for s in sequences for t in s] + [7] * tail, np.uint16)
    ends = np.cumsum([len(s) for s in sequences], dtype=np.int64)
    places = sorted({0, len(flat), *(min(c, len(flat)) for c in cuts)})
    with IndexedWriter(tmp_path / "x") as writer:
        for number, (low, high) in enumerate(pairwise(places)):
            inside = ends[(ends > low) & (ends <= high)] if number else ends[ends <= high]
            writer.write(flat[low:high], inside - low)
        if len(places) == 1:
            writer.write(flat, ends)
    expected = sequences + ([[7] * tail] if tail else [])
    assert read_mmap(tmp_path / "x") == expected
    found = open_indexed(tmp_path / "x.idx")
    assert [found.sequence(i).tolist() for i in range(len(found))] == expected
    for most in (1, 5, 100):
        together = [(ids.tolist(), stops.tolist()) for ids, stops in found.runs(most)]
        assert [t for ids, _ in together for t in ids] == flat.tolist()
        assert sum(len(stops) for _, stops in together) == len(expected)


def test_nothing_is_left_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="stop"), IndexedWriter(tmp_path / "x") as writer:
        writer.write(np.arange(3, dtype=np.uint16), np.array([3]))
        raise RuntimeError("stop")
    monkeypatch.setattr(indexed, "_LONGEST", 2)
    with pytest.raises(ConversionError, match="too long"), IndexedWriter(tmp_path / "x") as writer:
        writer.write(np.arange(3, dtype=np.uint16), np.array([3]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("code", "megatron"), [(8, False), (4, False), (5, False), (3, False), (8, True), (4, True)])
def test_files_of_other_writers(tmp_path: Path, code: int, megatron: bool) -> None:
    sequences = [[5, 6, 2], [], [7, 2], [30000]]
    found = open_indexed(write_mmap(tmp_path / "x", sequences, code, megatron))
    assert [found.sequence(i).tolist() for i in range(4)] == sequences


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    prefix = write_mmap(tmp_path / "x", [[5, 6, 2], [7, 2]])
    index, tokens = tmp_path / "x.idx", tmp_path / "x.bin"
    good, data = index.read_bytes(), tokens.read_bytes()
    for changed, message in (
        (b"TNTIDX\0\0" + good[8:], "does not begin with MMIDIDX"),
        (good[:20], "does not begin with MMIDIDX"),
        (good[:9] + struct.pack("<Q", 2) + good[17:], "version 2"),
        (good[:17] + b"\x06" + good[18:], "tokens of type 6"),
        (good[:-1], "do not fit the 2 sequences"),
        (good + b"12345678" * 2, "do not fit"),
        (good[:18] + struct.pack("<Q", 1 << 62) + good[26:], "do not fit"),
        (good[:26] + struct.pack("<i", -1) + good[30:], "sequence 0 has -1 tokens"),
        (good[:26] + struct.pack("<i", 99) + good[30:], "sequence 0 has 99 tokens"),
        (good[:34] + struct.pack("<q", 1 << 61) + good[42:], "which x.bin with 10 bytes does not hold"),
        (good[:34] + struct.pack("<q", 1) + good[42:], "sequence 0"),
    ):
        index.write_bytes(changed)
        with pytest.raises(SourceError, match=message):
            open_indexed(prefix)
    index.write_bytes(good)
    for short in (data[:-1], data[:-2]):
        tokens.write_bytes(short)
        with pytest.raises(SourceError, match="is it cut"):
            open_indexed(prefix)
    tokens.unlink()
    with pytest.raises(SourceError, match=r"x\.bin: cannot be read"):
        open_indexed(prefix)


# from and to .beton files


def test_documents_become_sequences(beton: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    with Reader(beton) as reader:
        made = export_fairseq(reader, tmp_path / "train")
        flat = export_flat(reader, tmp_path / "train.u16")
    expected = [[*vocabulary.encode(t).tolist(), 2] for t in TEXTS]
    assert read_mmap(tmp_path / "train") == expected
    assert (made.sequences, made.tokens) == (4, sum(map(len, expected)))
    tokens = np.fromfile(tmp_path / "train.u16", "<u2")
    assert tokens.tolist() == [t for s in expected for t in s]
    assert (flat.sequences, flat.tokens) == (4, len(tokens))
    lines = (tmp_path / "dict.txt").read_text().splitlines()
    assert (len(lines), lines[0], lines[-1]) == (50257, "0 1", "50256 1")
    assert vocabularies.from_dict(tmp_path / "dict.txt").same_as(vocabulary)
    assert recorded_vocabulary(tmp_path / "train").same_as(vocabulary)  # type: ignore[union-attr]
    assert recorded_vocabulary(tmp_path / "train.u16").same_as(vocabulary)  # type: ignore[union-attr]
    assert recorded_vocabulary(tmp_path / "other") is None


@pytest.mark.parametrize("form", ["fairseq", "flat"])
@pytest.mark.parametrize("padded", [False, True])
def test_exports_come_back(
    beton: Path, vocabulary: Vocabulary, tmp_path: Path, form: str, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STEP", 7)
    run = CliRunner()
    out = str(tmp_path / "tokens")
    done = run.invoke(main, ["export", str(beton), "--format", form, "--out", out])
    assert done.exit_code == 0, done.output
    assert run.invoke(main, ["export", str(beton), "--format", form, "--out", out]).exit_code == 0  # the same files
    first = tmp_path / ("tokens.bin" if form == "fairseq" else "tokens")
    first.write_bytes(b"others")
    refused = run.invoke(main, ["export", str(beton), "--format", form, "--out", out])
    assert refused.exit_code == 2 and "exists already" in refused.output and first.read_bytes() == b"others"
    assert run.invoke(main, ["export", str(beton), "--format", form, "--out", out, "--overwrite"]).exit_code == 0
    back = tmp_path / "back.beton"
    arguments = ["convert", "tokens", "--source", out, "--block", "8", "--out", str(back)]
    done = run.invoke(main, [*arguments, *(["--padded"] if padded else [])])
    assert done.exit_code == 0, done.output
    with Reader(back) as new, Reader(beton) as old:
        stream = np.concatenate(list(open_blocks(new).stream()))
        assert np.array_equal(stream, np.concatenate(list(open_blocks(old).stream())))
        assert vocabulary.decode_documents(stream) == TEXTS
        if not padded:
            assert np.array_equal(open_blocks(new).rows([0, 1]), open_blocks(old).rows([0, 1]))
        facts = (new.manifest or {})["source"]
        assert (facts["form"], facts["text"]["documents"]) == (form, 4)


def test_other_numbers_on_the_way_out(beton: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    plain = vocabularies.gpt2()
    with Reader(beton) as reader:
        export_flat(reader, tmp_path / "x.bin", plain)
        export_fairseq(reader, tmp_path / "y", plain)
        tokens = np.fromfile(tmp_path / "x.bin", "<u2")
        assert np.array_equal(tokens, plain.encode_stream(TEXTS))
        assert not (tmp_path / "dict.txt").exists()
        few = tmp_path / "few.txt"
        few.write_text("".join(f"{n} 1\n" for n in range(256)))
        with pytest.raises(ConversionError, match="has no number in the new order"):
            export_flat(reader, tmp_path / "z.bin", vocabularies.from_dict(few))
        assert not (tmp_path / "z.bin").exists()
    table = renumbering(vocabulary, plain)
    assert table[[0, 1, 2, 4]].tolist() == [50256, 50256, 50256, 0]
    assert table[50261] == -1
    assert renumbering(plain, vocabulary)[[0, 50256]].tolist() == [4, 2]


def test_rows_are_exported_without_padding(vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,pair\none,two words\nthree,\n")
    out = tmp_path / "x.beton"
    arguments = ["convert", "text", "--files", str(tmp_path / "x.csv"), "--text-pair", "pair", "--out", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    with Reader(out) as reader:
        export_fairseq(reader, tmp_path / "rows")
    assert read_mmap(tmp_path / "rows") == [
        [0, *vocabulary.encode("one").tolist(), 2, *vocabulary.encode("two words").tolist(), 2],
        [0, *vocabulary.encode("three").tolist(), 2, 2],
    ]


def test_files_without_tokens(vocabulary: Vocabulary, tmp_path: Path) -> None:
    from ffprep.beton import Writer
    from ffprep.fields import IntField, NDArrayField

    fields: dict[str, Any] = {"tokens": NDArrayField("<u2", (2,)), "length": IntField()}
    facts = {"source": {"vocabulary": vocabulary.manifest()}}
    for manifest, length, error in ((facts, 3, CorruptError), (None, 1, CorruptError)):
        with Writer(tmp_path / "x.beton", fields, 1, manifest=manifest, overwrite=True) as writer:
            values = (np.zeros(2, "<u2"), length)
            writer.write([field.encode(value) for field, value in zip(fields.values(), values, strict=True)])
        with Reader(tmp_path / "x.beton") as reader, pytest.raises(error):
            export_fairseq(reader, tmp_path / "y")
    with Writer(tmp_path / "x.beton", {"length": IntField()}, 1, manifest=facts, overwrite=True) as writer:
        writer.write([IntField().encode(1)])
    with Reader(tmp_path / "x.beton") as reader, pytest.raises(OptionError, match="no rows or blocks"):
        export_flat(reader, tmp_path / "y")


def test_sequences_without_separator_get_one(vocabulary: Vocabulary, tmp_path: Path) -> None:
    prefix = write_mmap(tmp_path / "x", [[10, 11], [12, 2], [], [13]], 4)
    (part,) = import_parts(prefix, vocabulary, tmp_path)
    assert np.fromfile(part.path, "<u2").tolist() == [10, 11, 2, 12, 2, 2, 13, 2]
    assert (part.statistics.documents, part.statistics.tokens) == (4, 8)


@pytest.mark.parametrize("padded", [0, 3])
def test_flat_files_are_taken_as_they_are(
    vocabulary: Vocabulary, tmp_path: Path, padded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "STEP", 2)
    path = tmp_path / "x.bin"
    np.array([10, 11, 12, 13, 2, 14, 2, 15], "<u2").tofile(path)
    (part,) = import_parts(path, vocabulary, tmp_path, padded)
    found = np.fromfile(part.path, "<u2").tolist()
    assert part.statistics.documents == 3
    if padded:
        assert found == [10, 11, 12, 13, 2, 1, 14, 2, 1, 15, 2, 1]
        assert part.lengths_path is not None
        assert np.fromfile(part.lengths_path, "<u2").tolist() == [3, 2, 2, 2]
    else:
        assert found == [10, 11, 12, 13, 2, 14, 2, 15]


def test_ids_outside_the_numbering_are_refused(vocabulary: Vocabulary, tmp_path: Path) -> None:
    for sequences, bad in (([[50262]], 50262), ([[-3]], -3)):
        prefix = write_mmap(tmp_path / "x", sequences, 4)
        with pytest.raises(SourceError, match=f"token 0 is {bad}; the fairseq vocabulary has 50262 ids.*--vocabulary"):
            import_parts(prefix, vocabulary, tmp_path)
    path = tmp_path / "odd"
    path.write_bytes(b"123")
    with pytest.raises(SourceError, match="no whole number of 16-bit tokens"):
        import_parts(path, vocabulary, tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        import_parts(tmp_path / "gone", vocabulary, tmp_path)
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(SourceError, match="give --vocabulary"):
        recorded_vocabulary(path)


def test_a_finished_file_is_not_accepted_for_other_tokens(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """Of the same names and sizes."""
    source, out = tmp_path / "tokens.bin", tmp_path / "x.beton"
    tokens = np.arange(500, 2500, dtype="<u2")
    tokens.tofile(source)
    words = ["convert", "tokens", "--source", str(source), "--block", "16", "--out", str(out), "--quiet"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert CliRunner().invoke(main, words).exit_code == 0
    tokens[-1] += 1
    tokens.tofile(source)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2 and "made of another source or with other options" in done.stderr
