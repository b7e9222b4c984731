"""A finished corpus is accepted from the source that it was made of, which is looked at again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.common.files.locking import open_locked
from ffprep.convert.corpus import COMPARED, compared_units

FILES = 12


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for part in range(FILES):
        rows = [json.dumps({"text": f"Document {n} of part {part}."}) for n in range(20)]
        path = tmp_path / "corpus" / f"{part:02}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(rows) + "\n")
    return tmp_path / "corpus"


def convert(corpus: Path, *more: str) -> tuple[int, str]:
    out = corpus.parent / "x.beton"
    words = ["convert", "openwebtext", "--source", str(corpus), "--block", "16", "--quiet", "--out", str(out), *more]
    done = CliRunner().invoke(main, words)
    return done.exit_code, done.stderr


@pytest.mark.usefixtures("vocabulary")
@pytest.mark.parametrize("padded", [[], ["--padded"]])
def test_changed_text_of_the_same_size(corpus: Path, padded: list[str]) -> None:
    assert convert(corpus, *padded)[0] == 0
    with Reader(corpus.parent / "x.beton") as reader:
        units = (reader.manifest or {})["source"]["units"]
    assert units["count"] == FILES and sorted(map(int, units["digests"])) == compared_units(FILES)
    before = (corpus.parent / "x.beton").read_bytes()
    assert convert(corpus, *padded)[0] == 0
    for number in (0, FILES - 1):
        path = corpus / f"{number:02}.jsonl"
        text, times = path.read_text(), path.stat()
        path.write_text(text.replace("Document 7", "Document 8"))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the time says nothing either
        status, message = convert(corpus, *padded)
        assert status == 2 and f"{number:02}.jsonl" in message and "is not what it was when it was tokenised" in message
        assert (corpus.parent / "x.beton").read_bytes() == before
        path.write_text(text)
    assert convert(corpus, *padded)[0] == 0
    assert sorted(path.name for path in corpus.parent.iterdir()) == ["corpus", "x.beton"]


@pytest.mark.parametrize("count", [1, 2, COMPARED - 1, COMPARED, COMPARED + 1, 20_000])
def test_the_units_that_are_compared(count: int) -> None:
    units = compared_units(count)
    assert units == sorted(set(units)) and len(units) == min(count, COMPARED)
    assert (units[0], units[-1]) == (0, count - 1)


@pytest.mark.usefixtures("vocabulary")
def test_one_command_at_a_time_makes_the_parts_of_a_corpus(corpus: Path) -> None:
    """`X.parts` is locked from before the first unit until the file is finished."""
    folder = corpus.parent / "x.beton.parts"
    folder.mkdir()
    descriptor, held = open_locked(folder / "lock", folder)
    (folder / "note").touch()
    for more in ([], ["--restart"]):
        status, message = convert(corpus, *more)
        assert status == 2 and "x.beton.parts: another process is writing this file; wait for it" in message
        assert (folder / "note").exists() and not (corpus.parent / "x.beton").exists()
    held.release()
    os.close(descriptor)
    assert convert(corpus, "--restart")[0] == 0
    assert sorted(path.name for path in corpus.parent.iterdir()) == ["corpus", "x.beton"]
