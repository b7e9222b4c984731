"""Documents to parts to blocks, and back to the documents."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader
from ffprep.convert.conversion import convert
from ffprep.errors import CorruptError, OptionError, SourceError
from ffprep.fields import IntField, NDArrayField
from ffprep.text.blocks import part_files
from ffprep.text.blocks import parts as parts_module
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.blocks import TokenBlocks, best_per_sample, open_blocks, overhead
from ffprep.text.blocks.part_files import Part
from ffprep.text.blocks.parts import Settings, find_part, make_part, make_parts
from ffprep.text.documents import segments as segments_module
from ffprep.text.documents.documents import Document, Ignored, Item
from ffprep.text.documents.table_rows import BadRow
from ffprep.text.tokens import vocabulary as vocabularies
from ffprep.text.tokens.vocabulary import Vocabulary

WORDS = st.lists(st.sampled_from(["word ", "é", "中文", "\n", " two", "<|endoftext|>", "x" * 30, ""]), max_size=12).map(
    "".join
)
DOCUMENTS = st.lists(st.lists(WORDS, max_size=5), min_size=1, max_size=4)


@dataclass(frozen=True)
class Listed:
    """A unit of documents in memory."""

    key: str
    items: tuple[Any, ...]
    size: int = 1

    def stamp(self) -> str:
        return ""

    def documents(self) -> Iterator[Item]:
        for number, item in enumerate(self.items):
            if isinstance(item, (BadRow, Ignored)):
                yield item
            elif isinstance(item, tuple):
                yield Document(str(number), iter(item))
            else:
                yield Document(str(number), item)


class Seen(list[tuple[int, int]]):
    """Notes what it is called with."""

    def __call__(self, done: int, size: int) -> None:
        self.append((done, size))


def cleaned(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip())


def write(parts: list[Part], vocabulary: Vocabulary, path: Path, block: int, per_sample: int | None = None) -> Reader:
    source = BlockSource(parts, vocabulary, block, per_sample)
    convert(pickle.loads(pickle.dumps(source)), path, workers=2, overwrite=True)
    return Reader(path)


def fresh(folder: Path) -> Path:
    for path in folder.glob("*/*"):
        path.unlink()
    return folder / "parts"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(corpus=DOCUMENTS, block=st.integers(2, 9), per_sample=st.one_of(st.none(), st.integers(1, 5)))
def test_a_stream_of_blocks_is_the_documents_with_separators(
    vocabulary: Vocabulary, tmp_path: Path, corpus: list[list[str]], block: int, per_sample: int | None
) -> None:
    units = [Listed(str(n), tuple(t.encode() for t in texts)) for n, texts in enumerate(corpus)]
    parts = make_parts(units, Settings(vocabulary), fresh(tmp_path), 2)
    kept = [cleaned(t) for texts in corpus for t in texts if cleaned(t)]
    stream = vocabulary.encode_stream(kept)
    if len(stream) < block:
        with pytest.raises(SourceError, match="fewer than a block"):
            BlockSource(parts, vocabulary, block)
        return
    with write(parts, vocabulary, tmp_path / "x.beton", block, per_sample) as reader:
        blocks = open_blocks(reader)
        assert np.array_equal(np.concatenate(list(blocks.stream())), stream)
        assert blocks.count == len(stream) // block
        assert np.array_equal(blocks.rows(range(blocks.count)).reshape(-1), stream[: blocks.count * block])
        assert vocabulary.decode_documents(np.concatenate(list(blocks.stream()))) == kept
        assert blocks.vocabulary.same_as(vocabulary)
        assert blocks.lengths() is None
        facts = (reader.manifest or {})["source"]["text"]
        assert (facts["documents"], facts["tokens"]) == (len(kept), len(stream))
        assert facts["size"] == sum(len(t.encode()) for t in kept)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(corpus=DOCUMENTS, block=st.integers(2, 9), per_sample=st.one_of(st.none(), st.integers(1, 5)))
def test_padded_blocks_are_the_documents_one_by_one(
    vocabulary: Vocabulary, tmp_path: Path, corpus: list[list[str]], block: int, per_sample: int | None
) -> None:
    units = [Listed(str(n), tuple(texts)) for n, texts in enumerate(corpus)]
    parts = make_parts(units, Settings(vocabulary, padded=block), fresh(tmp_path), 1)
    kept = [cleaned(t) for texts in corpus for t in texts if cleaned(t)]
    expected: list[list[int]] = []
    for text in kept:
        ids = [*vocabulary.encode(text).tolist(), 2]
        expected += [ids[i : i + block] for i in range(0, len(ids), block)]
    if not kept:
        return
    with write(parts, vocabulary, tmp_path / "x.beton", block, per_sample) as reader:
        blocks = open_blocks(reader)
        assert blocks.count == len(expected)
        lengths = blocks.lengths()
        assert lengths is not None
        assert lengths.tolist() == [len(ids) for ids in expected]
        assert blocks.rows(range(blocks.count)).tolist() == [ids + [1] * (block - len(ids)) for ids in expected]
        assert vocabulary.decode_documents(np.concatenate(list(blocks.stream()))) == kept
        assert len(blocks.tail) == 0


@pytest.mark.parametrize("padded", [0, 7])
def test_long_documents_give_what_short_ones_give(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, padded: int
) -> None:
    text = "A line of some words, it's 42 of them.\n\n  And ’another’ one…\r\n" * 9
    pieces = tuple(text.encode()[i : i + 7] for i in range(0, len(text.encode()), 7))
    whole = make_part(Listed("a", (text, text.encode(), "x")), Settings(vocabulary, padded), tmp_path, 0)
    for module, name, value in ((parts_module, "SEGMENT", 50), (parts_module, "BATCH", 60)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(segments_module.segments, "__defaults__", (50,))
    cut = make_part(Listed("b", (pieces, text, "x")), Settings(vocabulary, padded), tmp_path, 1)
    assert whole.path.read_bytes() == cut.path.read_bytes()
    if padded:
        assert whole.lengths_path and cut.lengths_path
        assert whole.lengths_path.read_bytes() == cut.lengths_path.read_bytes()
    assert whole.statistics == cut.statistics


def test_everything_left_out_is_counted(vocabulary: Vocabulary, tmp_path: Path) -> None:
    items = (b"", " \n", (b"\n", b"\0"), "good", Ignored("x.png"), BadRow("row 3", "not JSON"), b"\xff\r\n\xef\xbb\xbf")
    part = make_part(Listed("a", items), Settings(vocabulary, skip=True), tmp_path, 0)
    found = part.statistics
    assert (found.documents, found.empty, found.ignored, found.bad) == (2, 3, 1, 1)
    assert found.bad_rows == [["row 3", "not JSON"]]
    assert (found.removed.invalid, found.removed.newlines, found.removed.nul) == (1, 1, 1)
    with pytest.raises(SourceError, match=r"row 3: not JSON; --on-error skip"):
        make_part(Listed("a", items), Settings(vocabulary), tmp_path, 1)


def test_tokens_a_dictionary_lacks_are_counted(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "dict.txt"
    path.write_text("".join(f"{n} 1\n" for n in range(300)))
    part = make_part(Listed("a", ("a whole sentence",)), Settings(vocabularies.from_dict(path)), tmp_path, 0)
    assert part.statistics.unknown > 0


def test_shares_of_the_documents_make_up_the_whole(vocabulary: Vocabulary, tmp_path: Path) -> None:
    texts = [f"document {n}" for n in range(300)]
    found: list[str] = []
    for number, (low, high) in enumerate([(0.0, 0.25), (0.25, 0.5), (0.5, 1.0)]):
        kind: Any = [str.encode, str, lambda t: (t.encode(),)][number]
        unit = Listed("a", tuple(map(kind, texts)))
        part = make_part(unit, Settings(vocabulary, share=(low, high)), tmp_path, number)
        mine = vocabulary.decode_documents(np.fromfile(part.path, "<u2"))
        assert part.statistics.outside == 300 - len(mine)
        assert abs(len(mine) / 300 - (high - low)) < 0.1
        found += mine
    assert sorted(found) == sorted(texts)


# resuming


def test_parts_are_the_same_for_any_number_of_workers(vocabulary: Vocabulary, tmp_path: Path) -> None:
    units = [Listed(str(n), tuple(f"text {n} {i}" for i in range(n % 4))) for n in range(20)]
    made = {}
    for workers in (1, 2, 5):
        seen = Seen()
        parts = make_parts(units, Settings(vocabulary), tmp_path / str(workers), workers, seen)
        made[workers] = [part.path.read_bytes() for part in parts]
        assert sorted(seen) == [(n, n) for n in range(1, 21)]
    assert made[1] == made[2] == made[5]


def test_finished_parts_are_kept_and_others_made_anew(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [Listed(f"unit {n}", (f"text {n}",)) for n in range(6)]
    plain = Settings(vocabulary)
    parts = make_parts(units, plain, tmp_path, 1)
    expected = [part.path.read_bytes() for part in parts]
    parts[1].path.write_bytes(expected[1][:-2])  # cut
    parts[2].path.write_bytes(expected[2][:-1] + b"!")  # changed
    parts[3].path.with_suffix(".json").write_text('{"unit": ')  # a record that was cut
    parts[4].path.unlink()
    parts[5].path.with_suffix(".json").write_text("[]")
    assert [find_part(unit, plain, tmp_path, n) is not None for n, unit in enumerate(units)] == [True] + [False] * 5
    asked: list[str] = []
    original = Listed.documents
    monkeypatch.setattr(Listed, "documents", lambda self: (asked.append(self.key), original(self))[1])
    again = make_parts(units, plain, tmp_path, 1)
    assert asked == [f"unit {n}" for n in range(1, 6)]
    assert [part.path.read_bytes() for part in again] == expected
    assert [part.statistics for part in again] == [part.statistics for part in parts]


@pytest.mark.parametrize(
    "change", [{"padded": 4}, {"share": (0.0, 0.5)}, {"skip": True}, {"vocabulary": vocabularies.gpt2()}]
)
def test_parts_of_other_settings_are_not_used(vocabulary: Vocabulary, tmp_path: Path, change: dict[str, Any]) -> None:
    unit = Listed("a", ("text",))
    make_part(unit, Settings(vocabulary), tmp_path, 0)
    assert find_part(unit, Settings(**{"vocabulary": vocabulary, **change}), tmp_path, 0) is None
    assert find_part(Listed("b", ("text",)), Settings(vocabulary), tmp_path, 0) is None
    assert find_part(unit, Settings(vocabulary), tmp_path, 0) is not None


def test_a_failing_unit_leaves_the_finished_parts(vocabulary: Vocabulary, tmp_path: Path) -> None:
    units = [Listed("good", ("text",)), Listed("bad", ("text", BadRow("x", "broken"))), Listed("late", ("text",))]
    with pytest.raises(SourceError, match="x: broken"):
        make_parts(units, Settings(vocabulary), tmp_path, 1)
    assert find_part(units[0], Settings(vocabulary), tmp_path, 0) is not None
    assert find_part(units[1], Settings(vocabulary), tmp_path, 1) is None


# layout


@given(st.integers(1, 5000), st.integers(2, 400), st.booleans())
def test_no_other_number_of_blocks_makes_a_smaller_file(blocks: int, block: int, lengths: bool) -> None:
    chosen = best_per_sample(blocks, block, lengths)
    assert chosen <= blocks
    for other in (1, 2, 10, 100, 257):
        if other <= min(blocks, (1 << 18) // (2 * block + 2 * lengths)):
            assert overhead(blocks, block, chosen, lengths) <= overhead(blocks, block, other, lengths)


def test_the_layout_of_openwebtext_costs_little() -> None:
    blocks = 13_000_000
    assert overhead(blocks, 192, best_per_sample(blocks, 192)) / (blocks * 384) < 0.0003
    assert overhead(blocks, 192, 1) / (blocks * 384) > 0.08


def test_more_blocks_than_a_page(vocabulary: Vocabulary, tmp_path: Path) -> None:
    ids = np.arange(3 << 20).astype(np.uint16)
    path = tmp_path / "x.tokens"
    ids.tofile(path)
    part = Part(path, None, ids.size, part_files.Statistics())
    with write([part], vocabulary, tmp_path / "x.beton", 192) as reader:
        blocks = open_blocks(reader)
        assert np.array_equal(np.concatenate(list(blocks.stream())), ids)
        chosen = np.random.default_rng(0).integers(0, blocks.count, 500)
        assert np.array_equal(blocks.rows(chosen), ids[: blocks.count * 192].reshape(-1, 192)[chosen])
        with pytest.raises(IndexError, match="blocks 0 to"):
            blocks.rows([blocks.count])
        size = reader.path.stat().st_size
    assert size < ids.nbytes * 1.07


def test_any_array_of_tokens_is_read(vocabulary: Vocabulary, tmp_path: Path) -> None:
    from ffprep.beton import Writer

    def beton(**fields: Any) -> TokenBlocks:
        kinds = {name: field for name, (field, _) in fields.items()}
        with Writer(tmp_path / "x.beton", kinds, 3, overwrite=True) as writer:
            for i in range(3):
                writer.write([field.encode(make(i)) for field, make in fields.values()])
        return open_blocks(Reader(tmp_path / "x.beton"))

    found = beton(label=(IntField(), int), tokens=(NDArrayField("<u2", (4,)), lambda i: np.full(4, i, "<u2")))
    assert (found.count, found.block, found.per_sample) == (3, 4, 1)
    assert found.rows([2, 0]).tolist() == [[2] * 4, [0] * 4]
    with pytest.raises(CorruptError, match="names no vocabulary"):
        _ = found.vocabulary
    for bad in (NDArrayField("<i8", (4,)), NDArrayField("<u2", (2, 2, 2))):
        with pytest.raises(OptionError, match="no blocks of tokens"):
            beton(tokens=(bad, lambda i, f=bad: np.zeros(f.shape, f.dtype)))
    with pytest.raises(OptionError, match="no blocks of tokens"):
        beton(label=(IntField(), int))


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"count": 5},
        {"count": "x"},
        {"block": 3},
        {"per_sample": 1},
        {"tail": [70000]},
        {"tail": 3},
        {"padded": True},
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    vocabulary: Vocabulary, tmp_path: Path, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_part(Listed("a", ("some words, some more words",)), Settings(vocabulary), tmp_path, 0)
    with write([part], vocabulary, tmp_path / "x.beton", 2, 2) as reader:
        assert open_blocks(reader).count == 3
        manifest = json.loads(json.dumps(reader.manifest))
        manifest["source"]["blocks"].update(change)
        monkeypatch.setattr(Reader, "manifest", manifest)
        with pytest.raises(CorruptError, match=r"record of its blocks|blocks have lengths"):
            open_blocks(reader)
