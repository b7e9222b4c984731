"""Merging and splitting files of token blocks: one stream, one vocabulary, padding nowhere but at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader, Writer
from ffprep.beton.merge import merge
from ffprep.beton.sets import files_of, make_set
from ffprep.beton.split import split
from ffprep.beton.verify import verify
from ffprep.cli import main
from ffprep.convert.conversion import convert
from ffprep.errors import DecodeError, OptionError
from ffprep.fields import NDArrayField
from ffprep.inspect.info import describe_set
from ffprep.presets import text_blocks
from ffprep.text.blocks.block_source import BlockSource
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.blocks.merging import merge_blocks, merge_files
from ffprep.text.blocks.part_files import Part, Statistics
from ffprep.text.tokens.vocabulary import Vocabulary, fairseq, gpt2

BLOCK = 6


def make(
    path: Path,
    tokens: Sequence[int],
    lengths: Sequence[int] | None = None,
    per_sample: int | None = None,
    vocabulary: Vocabulary | None = None,
    block: int = BLOCK,
) -> Path:
    """A file of these tokens, as a conversion makes it; they are whole blocks if there are lengths."""
    folder = path.with_suffix(".parts")
    folder.mkdir(exist_ok=True)
    np.array(tokens, np.uint16).tofile(folder / "a.tokens")
    np.array(lengths or [], np.uint16).tofile(folder / "a.lengths")
    statistics = Statistics(documents=3, tokens=len(tokens))
    part = Part(folder / "a.tokens", None if lengths is None else folder / "a.lengths", len(tokens), statistics)
    convert(BlockSource([part], vocabulary or fairseq(), block, per_sample), path, workers=1)
    return path


def contents(path: Path) -> dict[str, Any]:
    """All that a file says of its tokens."""
    with Reader(path) as reader:
        blocks = open_blocks(reader)
        lengths = blocks.lengths()
        return {
            "fields": {name: repr(field) for name, field in reader.fields.items()},
            "names": reader.sample_names(),
            "stored": [reader.payload("tokens", index).tobytes() for index in range(len(reader))],
            "lengths": None if lengths is None else lengths.tolist(),
            "count": blocks.count,
            "tail": blocks.tail.tolist(),
            "vocabulary": blocks.vocabulary.manifest(),
            "text": (reader.manifest or {})["source"]["text"]["tokens"],
        }


@given(
    sizes=st.lists(st.integers(BLOCK, 7 * BLOCK), min_size=1, max_size=4),
    per_sample=st.sampled_from([None, 1, 2, 3]),
    padded=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_merging_gives_the_blocks_of_all_texts_together(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], per_sample: int | None, padded: bool
) -> None:
    folder = tmp_path_factory.mktemp("merged")
    draw = np.random.default_rng(sum(sizes))
    streams, ends, paths = [], [], []
    for number, size in enumerate(sizes):
        stream = draw.integers(10, 50_000, size - size % BLOCK if padded else size).tolist()
        lengths = draw.integers(1, BLOCK + 1, len(stream) // BLOCK).tolist() if padded else None
        streams += stream
        ends += lengths or []
        paths.append(make(folder / f"{number}.beton", stream, lengths, per_sample))
    expected = contents(make(folder / "whole.beton", streams, ends if padded else None))
    merge_files(paths, folder / "merged.beton")
    assert contents(folder / "merged.beton") == expected
    assert verify(folder / "merged.beton", workers=1).ok
    with Reader(folder / "merged.beton") as reader:
        assert len((reader.manifest or {})["merged"]) == len(sizes)


def test_the_same_merge_goes_on_and_is_accepted(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{n}.beton", range(n, 400 + n), per_sample=3) for n in range(2)]
    whole, out = tmp_path / "whole.beton", tmp_path / "out.beton"
    assert merge_blocks(paths, whole) == 133

    def cut(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_blocks(paths, out, progress=cut)
    with pytest.raises(OptionError, match="unfinished merge of other files|belongs to a conversion with other"):
        merge_blocks(paths[::-1], out)
    assert merge_blocks(paths, out) == merge_blocks(paths, out) == 133
    assert out.read_bytes() == whole.read_bytes()
    with pytest.raises(OptionError, match="exists already"):
        merge_blocks(paths[::-1], out)


def test_a_damaged_block_is_not_copied(tmp_path: Path) -> None:
    path = make(tmp_path / "a.beton", range(100), per_sample=4)
    with Reader(path) as reader:
        place = int(reader.extents("tokens")[0][2])
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"sample 2 \(blocks 8-11\)"):
        merge_files([path], tmp_path / "out.beton")


@pytest.mark.parametrize("padded", [False, True])
def test_a_split_file_merges_to_itself(tmp_path: Path, padded: bool) -> None:
    tokens = list(range(60, 60 + 20 * BLOCK + (0 if padded else 4)))
    path = make(tmp_path / "a.beton", tokens, [BLOCK] * 20 if padded else None, per_sample=3)
    made = split(files_of(path), tmp_path / "s.set.json", 3)
    counts = []
    for file in made.files():
        with Reader(file) as reader:
            blocks = open_blocks(reader)
            counts.append((blocks.count, len(blocks.tail), blocks.vocabulary.size))
            assert "conversion" not in (reader.manifest or {})["source"]
    assert counts == [(6, 0, 50262), (6, 0, 50262), (8, 0 if padded else 4, 50262)]
    merge_files(tmp_path / "s.set.json", tmp_path / "merged.beton")
    with Reader(path) as reader, Reader(tmp_path / "merged.beton") as other:
        before, after = open_blocks(reader), open_blocks(other)
        assert np.concatenate(list(before.stream())).tolist() == np.concatenate(list(after.stream())).tolist()
        assert after.count == 20
    with pytest.raises(OptionError, match="split one by one"):
        split(files_of([path, path]), tmp_path / "t.set.json", 2)


def test_other_vocabularies_and_blocks_are_refused(tmp_path: Path) -> None:
    one = make(tmp_path / "1.beton", range(50), per_sample=2)
    two = make(tmp_path / "2.beton", range(50), per_sample=2, vocabulary=gpt2())
    longer = make(tmp_path / "3.beton", range(50), block=8)
    padded = make(tmp_path / "4.beton", range(48), [BLOCK] * 8)
    numbered = r"1\.beton are numbered as fairseq with 50,262 ids, those of .*2\.beton as gpt2 with 50,257 ids"
    calls: list[Any] = [
        lambda: merge_files([one, two], tmp_path / "out.beton"),
        lambda: make_set(tmp_path / "x.set.json", [one, two]),
        lambda: make_set(tmp_path / "y.set.json", [two], append=True),
        lambda: describe_set(files_of([one, two])),
    ]
    make_set(tmp_path / "y.set.json", [one])
    for call in calls:
        with pytest.raises(OptionError, match=numbered):
            call()
    with pytest.raises(OptionError, match="has blocks of 6 tokens, .*3.beton has blocks of 8"):
        merge_files([one, longer], tmp_path / "out.beton")
    with pytest.raises(OptionError, match="padded"):
        merge_files([one, padded], tmp_path / "out.beton")
    with pytest.raises(OptionError, match="merge_blocks"):
        merge([one, one], tmp_path / "out.beton")
    assert not (tmp_path / "out.beton").exists() and not (tmp_path / "x.set.json").exists()


def test_a_set_says_what_all_its_files_have(tmp_path: Path) -> None:
    paths = [make(tmp_path / f"{n}.beton", range(n, 50 + n), per_sample=2) for n in range(3)]
    make_set(tmp_path / "x.set.json", paths)
    source = describe_set(files_of(tmp_path / "x.set.json"))["manifest"]["source"]
    assert (source["blocks"]["count"], source["blocks"]["tail"], source["text"]["documents"]) == (
        24, [48, 49, 49, 50, 50, 51], 9,
    )  # fmt: skip


def test_verify_names_the_file_of_a_set_whose_tokens_are_others(tmp_path: Path) -> None:
    one = make(tmp_path / "1.beton", range(50), per_sample=2)
    two = make(tmp_path / "2.beton", range(50), per_sample=2, vocabulary=gpt2())
    index = tmp_path / "x.set.json"
    make_set(index, [one])
    other = make_set(tmp_path / "y.set.json", [two])
    facts = json.loads(index.read_text())
    facts["files"] += json.loads(other.path.read_text())["files"]
    facts["samples"] *= 2
    facts["bytes"] = sum(file["bytes"] for file in facts["files"])
    index.write_text(json.dumps(facts))
    result = CliRunner().invoke(main, ["verify", "--quick", str(index)])
    assert result.exit_code == 1 and "2.beton as gpt2 with 50,257 ids" in " ".join(result.output.split())
    with pytest.raises(OptionError, match="numbered as"):
        text_blocks(index, 4)


def rows(path: Path, source: dict[str, Any] | None) -> Path:
    """A file of rows of tokens, with this record of their source."""
    fields = {"tokens": NDArrayField(np.dtype("<u2"), (4,))}
    with Writer(path, fields, 2, manifest=None if source is None else {"source": source}) as writer:
        for n in range(2):
            writer.write([fields["tokens"].encode(np.full(4, n, np.uint16))], str(n))
    return path


def test_rows_keep_what_all_files_agree_in(tmp_path: Path) -> None:
    known = {"vocabulary": fairseq().manifest(), "dataset": "glue", "labels": ["no", "yes"]}
    one = rows(tmp_path / "1.beton", {**known, "split": "train", "rows": {"cut_rows": 1}})
    two = rows(tmp_path / "2.beton", {**known, "split": "dev", "rows": {"cut_rows": 2}})
    bare = rows(tmp_path / "3.beton", None)
    merge_files([one, two], tmp_path / "m.beton")
    split(files_of([one, two]), tmp_path / "s.set.json", 2)
    for path in (tmp_path / "m.beton", *files_of(tmp_path / "s.set.json")):
        with Reader(path) as reader:
            assert (reader.manifest or {})["source"] == known
    with pytest.raises(OptionError, match=r"3\.beton: does not say how its tokens are numbered"):
        merge_files([one, bare], tmp_path / "n.beton")
    other = rows(tmp_path / "4.beton", {"vocabulary": gpt2().manifest()})
    with pytest.raises(OptionError, match="numbered as"):
        split(files_of([one, other]), tmp_path / "t.set.json", 2)
