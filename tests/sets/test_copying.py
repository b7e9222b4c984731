"""Merging and splitting: the bytes are those of writing sample by sample, whatever the sizes are."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.beton import Reader, Writer
from ffprep.beton import merge as merging
from ffprep.beton.merge import merge, samples_of
from ffprep.beton.sets import files_of, read_index
from ffprep.beton.split import Spread, split
from ffprep.beton.verify import verify
from ffprep.beton.writing import copying, unfinished
from ffprep.beton.writing.copying import place_all, runs
from ffprep.beton.writing.placement import Placement
from ffprep.common.files.writing_back import write_fully
from ffprep.errors import ConversionError, DecodeError, OptionError
from ffprep.fields import BytesField, Encoded, Field, IntField, NDArrayField

sys.path.insert(0, str(Path(__file__).parent))
from making_sets import write, write_set

MIB = 1 << 20
TWO: dict[str, Field] = {"a": BytesField(), "n": IntField(), "b": NDArrayField(np.dtype("<u2"), (3,))}


bytes_of_a_value = st.sampled_from([0, 1, 5, 100, MIB, 3 * MIB, 8 * MIB, 11 * MIB])


@given(
    st.lists(st.tuples(bytes_of_a_value, bytes_of_a_value), min_size=1, max_size=30),
    st.tuples(st.sampled_from([1, 2, 8]), st.sampled_from([1, 4])),
    st.sampled_from([None, 1 << 24]),
    st.sampled_from([4096, 8 * MIB, 8 * MIB - 1]),
)
@settings(max_examples=40)
def test_places_are_those_of_one_sample_after_another(
    sizes: list[tuple[int, int]], alignments: tuple[int, int], page_size: int | None, cursor: int
) -> None:
    one, other = Placement(cursor, page_size), Placement(cursor, page_size)
    expected = []
    for sample in sizes:
        offsets, one.cursor = one.plan(list(zip(sample, alignments, strict=True)))
        expected.append(offsets)
    found, end = place_all(other, np.array(sizes, np.int64), alignments)
    assert found.tolist() == expected and end == one.cursor and other.page_size == one.page_size
    assert other.cursor == cursor


def test_runs_are_what_lies_together_in_both_files() -> None:
    targets, sources, sizes = np.array([[0, 4], [5, 9]]), np.array([[10, 14], [15, 30]]), np.array([[4, 1], [4, 2]])
    assert list(runs(targets, sources, sizes)) == [(0, 0, 10, 9), (3, 9, 30, 2)]


def by_one(paths: list[Path], out: Path, fields: dict[str, Field]) -> bytes:
    """The merged file as the writer makes it of one sample after another, without manifest."""
    readers = [Reader(path) for path in paths]
    manifest = {"merged": [merging.origin(reader) for reader in readers]}
    with Writer(out, readers[0].fields, sum(map(len, readers)), manifest=manifest) as writer:
        for number, reader in enumerate(readers):
            for name, sample in samples_of(reader, number, 0, reader.sample_names()):
                writer.write(sample, name)
    return out.read_bytes()


def mixed(path: Path, sizes: list[int], seed: int) -> Path:
    draw = np.random.default_rng(seed)
    with Writer(path, TWO, len(sizes)) as writer:
        for index, size in enumerate(sizes):
            data = draw.integers(0, 256, size, np.uint8).tobytes()
            array = TWO["b"].encode(np.arange(3, dtype=np.uint16) + index)
            writer.write([Encoded((0, size), data), IntField().encode(-index), array], f"{seed}/{index}")
    return path


@pytest.mark.parametrize(("cpus", "group"), [(1, 1 << 19), (1, 1), (2, 1 << 21), (2, 100_000)])
def test_merging_gives_the_bytes_of_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: int, group: int
) -> None:
    """With one processor and with several, which compare and write in groups of other sizes."""
    first = mixed(tmp_path / "1.beton", [5, 0, 3 * MIB, 70_000, 7 * MIB, 0, 1, 9 * MIB, 2], 1)
    second = mixed(tmp_path / "2.beton", [0, 12, 300_000, 0, 5 * MIB], 2)
    plain = [write(tmp_path / f"p{n}.beton", [b"%d" % n * k for k in range(40)]) for n in range(3)]
    monkeypatch.setattr(copying, "PIECE_SAMPLES", 4)
    monkeypatch.setattr(merging, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(copying, "HOT_BYTES" if cpus == 1 else "SHARED_BYTES", group)
    for paths in ([first, second], [second, first, first], plain):
        expected = by_one(paths, tmp_path / "slow.beton", TWO)
        out = tmp_path / "fast.beton"
        merge(paths, out)
        assert out.read_bytes() == expected
        assert verify(out, workers=1).ok
        (tmp_path / "slow.beton").unlink()
        out.unlink()


def test_a_damaged_value_is_not_copied(tmp_path: Path) -> None:
    path = write(tmp_path / "1.beton", [b"a" * 100, b"b" * 100])
    data = bytearray(path.read_bytes())
    data[data.index(b"b" * 100)] ^= 1
    path.write_bytes(data)
    for copy in (
        lambda: merge([path], tmp_path / "out.beton"),
        lambda: split(files_of(path), tmp_path / "out.set.json", 1),
    ):
        with pytest.raises(DecodeError, match=r"sample 1 \(n1\), field 'text': the value changed"):
            copy()


@pytest.mark.parametrize("cpus", [1, 2])
def test_what_comes_before_a_damaged_value_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: int) -> None:
    """Pages grow with a sample only once that is written, and a good copy is continued where the bad one ended."""
    path = mixed(tmp_path / "1.beton", [5, 0, 70_000, 300_000, 200_000, 40, 9 * MIB, 2], 1)
    good = path.read_bytes()
    merge([path], tmp_path / "whole.beton")
    with Reader(path) as reader:
        places = reader.extents("a")[0].tolist()
    monkeypatch.setattr(merging, "usable_cpus", lambda: cpus)
    monkeypatch.setattr(copying, "HOT_BYTES" if cpus == 1 else "SHARED_BYTES", 250_000)
    kept: list[int] = []
    for sample, place in enumerate(places):
        out = tmp_path / f"{sample}.beton"
        if sample == 1:  # an empty value, in which nothing can change
            continue
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bad)
        with pytest.raises(DecodeError, match=rf"sample {sample} \(1/{sample}\), field 'a': the value changed"):
            merge([path], out)
        path.write_bytes(good)
        seen: list[int] = []
        monkeypatch.setattr(copying, "PIECE_SAMPLES", 1)
        merge([path], out, progress=lambda done, _, seen=seen: seen.append(done))  # type: ignore[misc]
        monkeypatch.setattr(copying, "PIECE_SAMPLES", 4096)
        assert out.read_bytes() == (tmp_path / "whole.beton").read_bytes()
        kept.append(seen[0] - 1)
    assert kept == [0, 0, 3, 4, 4, 6, 7], "the samples of the groups before"


def test_an_interrupted_merge_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_set(tmp_path, 3, 40)
    whole, out = tmp_path / "whole.out", tmp_path / "cut.out"
    merge(paths, whole)
    monkeypatch.setattr(copying, "PIECE_SAMPLES", 16)

    def cut(done: int, _: int) -> None:
        if done > 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge(paths, out, progress=cut)
    assert out.with_name("cut.out.partial").exists()
    seen: list[int] = []
    merge(paths, out, progress=lambda done, _: seen.append(done))
    assert seen[0] > 60 and out.read_bytes() == whole.read_bytes()


def test_splitting_and_merging_keeps_every_sample(tmp_path: Path) -> None:
    paths = write_set(tmp_path, 3, 7)
    index = tmp_path / "parts" / "y.set.json"
    index.parent.mkdir()
    made = split(files_of(paths), index, 4)
    assert made == read_index(index) and [member.samples for member in made.members] == [5, 5, 5, 6]
    assert split(files_of(paths), index, 4) == made, "the same call accepts what is there"
    for content in ("notes of mine", index.read_text().replace("00000", "00009")):
        other = index.with_name("z.set.json")
        other.write_text(content)
        with pytest.raises(OptionError, match="exists already"):
            split(files_of(paths), other, 4)
        assert other.read_text() == content and not list(index.parent.glob("z*.beton"))
        other.unlink()
    merge(index, tmp_path / "all.beton")
    with Reader(tmp_path / "all.beton") as reader:
        assert [reader.value("label", k) for k in range(21)] == list(range(21))
        assert reader.sample_names() == [f"n{k}" for k in range(21)]
        assert [reader.value("text", k) for k in range(21)] == [b"%d" % k * (k % 7) for k in range(21)]
    with pytest.raises(OptionError, match="fewer"):
        split(files_of(paths), index.with_name("z.set.json"), 22)
    with pytest.raises(OptionError, match=r"ends with \.set\.json"):
        split(files_of(paths), tmp_path / "z.beton", 2)


def test_what_a_split_file_takes_does_not_grow_with_the_files_that_were_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each new file has a copy of the manifest, and what is found out of a file is found out once."""
    paths = write_set(tmp_path, 40)
    merge(paths, tmp_path / "all.beton")
    read: list[Path] = []
    names = Reader.sample_names
    monkeypatch.setattr(Reader, "sample_names", lambda reader: (read.append(reader.path), names(reader))[1])
    for name, places, files in (("one", [tmp_path / "all.beton"], 1), ("many", paths, 40)):
        read.clear()
        (tmp_path / name).mkdir()
        split(files_of(places), tmp_path / name / "y.set.json", 60)
        assert len(read) == files
        numbers = []
        for number, path in enumerate(sorted((tmp_path / name).glob("*.beton"))):
            with Reader(path) as reader:
                manifest = reader.manifest or {}
                record = manifest["split"]
                assert (record["number"], record["count"], record["samples"]) == (number, 60, 120)
                assert 1 <= len(record["from"]) <= 2 and len(str(manifest)) < 3000
                numbers += [reader.value("label", sample) for sample in range(len(reader))]
        assert numbers == list(range(120))


@pytest.mark.parametrize("failing", [2, 4])
def test_a_merge_on_a_full_disk_ends_with_one_error_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Payloads are written by another thread: what it could not write is never taken for written."""
    before = set(threading.enumerate())
    paths = [write(tmp_path / f"{n}.beton", [bytes([n, k]) * 100_000 for k in range(6)]) for n in range(3)]
    merge(paths, tmp_path / "whole.beton")
    monkeypatch.setattr(copying, "PIECE_BYTES", 300_000)
    written = write_fully
    runs_left = failing

    def full(descriptor: int, data: memoryview, offset: int) -> None:
        nonlocal runs_left
        runs_left -= len(data) > 100_000
        if not runs_left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(descriptor, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr(unfinished, "write_fully", full)
        with pytest.raises(ConversionError, match=r"out\.beton\.partial: byte \d+: cannot write: No space left"):
            merge(paths, tmp_path / "out.beton")
    assert not (tmp_path / "out.beton").exists()
    merge(paths, tmp_path / "out.beton")
    assert (tmp_path / "out.beton").read_bytes() == (tmp_path / "whole.beton").read_bytes()
    assert set(threading.enumerate()) <= before


def test_a_failed_write_fails_all_that_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no commit counts bytes that are not there."""
    sink = unfinished.UnfinishedFile(tmp_path / "x.partial", 0)
    monkeypatch.setattr(unfinished, "write_fully", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(ConversionError, match="byte 0: cannot write: broken"):
        sink.append_run(0, memoryview(bytes(100_000)))
        sink.flush()
    monkeypatch.undo()
    for _ in range(2):
        with pytest.raises(ConversionError, match="byte 0: cannot write: broken"):
            sink.flush()
    sink.close()


@pytest.mark.parametrize(
    ("spread", "each"),
    [
        (Spread(samples=21), [21]),
        (Spread(samples=20), [10, 11]),
        (Spread(samples=5), [4, 4, 4, 4, 5]),
        (Spread(samples=1), [1] * 21),
    ],
)
def test_a_file_has_no_more_samples_than_asked_for(tmp_path: Path, spread: Spread, each: list[int]) -> None:
    paths = write_set(tmp_path, 3, 7)
    assert [member.samples for member in split(files_of(paths), tmp_path / "y.set.json", spread).members] == each


def test_files_have_no_more_bytes_in_the_mean_than_asked_for(tmp_path: Path) -> None:
    payload = bytes(range(256)) * 256
    path = write(tmp_path / "a.beton", [payload] * 40)
    for size, count in ((path.stat().st_size, 1), (path.stat().st_size - 1, 2), (path.stat().st_size // 8 + 1, 8)):
        made = split(files_of(path), tmp_path / f"{count}.set.json", Spread(size=size))
        assert len(made.members) == count and made.samples == 40
    with pytest.raises(OptionError, match="40 samples; ask for fewer, of more samples each"):
        split(files_of(path), tmp_path / "z.set.json", Spread(size=len(payload) // 2))
    with pytest.raises(OptionError, match="five digits; ask for larger ones"):
        split(files_of(path), tmp_path / "z.set.json", Spread(size=1))
    assert not list(tmp_path.glob("z*"))
