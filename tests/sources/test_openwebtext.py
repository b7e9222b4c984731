"""Every form a corpus comes in, converted and read back; choices of it; kills and resumes."""

from __future__ import annotations

import json
import lzma
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tar_files import tar_bytes

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.convert.corpus import CorpusReport, convert_corpus
from ffprep.errors import OptionError, SourceError
from ffprep.sources.openwebtext import Choice, Corpus, open_corpus
from ffprep.text.blocks.blocks import open_blocks
from ffprep.text.tokens.vocabulary import Vocabulary

TEXTS = {n: [f"Document {n}-{i} of chunk {n // 2}.\n\nIts end." for i in range(5)] for n in range(16)}
"""Texts of the archives: two a chunk, chunks 0 to 7."""


def archive_name(number: int) -> str:
    return f"urlsf_subset{number // 2:02}-{number % 2 + 1}_data.xz"


def archive(number: int) -> bytes:
    texts = {f"{number:04}{i}-ab.txt": text.encode() for i, text in enumerate(TEXTS[number])}
    return lzma.compress(tar_bytes(texts), preset=0)


def unpacked(root: Path) -> Path:
    root.mkdir()
    for number in TEXTS:
        (root / archive_name(number)).write_bytes(archive(number))
    (root / "README.txt").write_text("not a document")
    (root / ".hidden.txt").write_text("not a document")
    return root


def nested(root: Path) -> Path:
    (root / "subsets").mkdir(parents=True)
    for chunk in range(8):
        inner = {f"openwebtext/{archive_name(n)}": archive(n) for n in (2 * chunk + 1, 2 * chunk)}
        (root / "subsets" / f"urlsf_subset{chunk:02}.tar").write_bytes(tar_bytes(inner))
    return root


def single(path: Path) -> Path:
    inner = {f"openwebtext/{archive_name(n)}": archive(n) for n in TEXTS}
    path.write_bytes(tar_bytes(inner) if path.suffix == ".tar" else lzma.compress(tar_bytes(inner), preset=0))
    return path


def folder(root: Path) -> Path:
    for number, texts in TEXTS.items():
        (root / f"part{number}").mkdir(parents=True)
        for i, text in enumerate(texts):
            (root / f"part{number}" / f"{i}.txt").write_text(text)
    return root


def json_lines(root: Path) -> Path:
    root.mkdir()
    for number, texts in TEXTS.items():
        rows = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (root / f"{number}.jsonl").write_text(rows)
    return root


def parquet(root: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    root.mkdir()
    for number, texts in TEXTS.items():
        pq.write_table(pa.table({"text": texts}), root / f"train-{number:05}-of-00016.parquet")
    return root


FORMS: dict[str, Any] = {
    "unpacked": unpacked,
    "nested": nested,
    "openwebtext.tar": single,
    "openwebtext.tar.xz": single,
    "folder": folder,
    "json": json_lines,
    "parquet": parquet,
}
CHUNKED = ["unpacked", "nested", "openwebtext.tar", "openwebtext.tar.xz"]


def cleaned(numbers: list[int]) -> list[str]:
    return [text.replace("\n\n", "\n") for n in numbers for text in TEXTS[n]]


def converted(corpus: Corpus, vocabulary: Vocabulary, out: Path, **options: Any) -> tuple[list[str], CorpusReport]:
    report = convert_corpus(corpus, out, vocabulary, **{"block": 8, "workers": 1, "overwrite": True, **options})
    with Reader(out) as reader:
        return vocabulary.decode_documents(np.concatenate(list(open_blocks(reader).stream()))), report


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_all_documents_in_order(form: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = FORMS[form](tmp_path / form)
    choice = Choice(chunks="0-7") if form in CHUNKED else None
    corpus = open_corpus(str(source), choice)
    texts, report = converted(corpus, vocabulary, tmp_path / "x.beton")
    assert texts == cleaned(list(range(16)))
    assert report.statistics.documents == 80
    assert report.blocks * 8 + report.tail == report.statistics.tokens
    assert len({unit.key for unit in corpus.units}) == len(corpus.units)
    assert not (tmp_path / "x.beton.parts").exists()


@pytest.mark.parametrize("form", CHUNKED)
def test_chunks(form: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = str(FORMS[form](tmp_path / form))
    for choice, chunks in (
        (None, range(6)),
        (Choice("train"), range(6)),
        (Choice("val"), range(6, 7)),
        (Choice(chunks="1,4-5"), (1, 4, 5)),
        (Choice("val", "2"), (2,)),
    ):
        corpus = open_corpus(source, choice)
        texts, _ = converted(corpus, vocabulary, tmp_path / "x.beton")
        assert texts == cleaned([n for chunk in chunks for n in (2 * chunk, 2 * chunk + 1)])
        assert [note for note in corpus.notes if ".hidden.txt" not in note] == []
    if form != "openwebtext.tar.xz":
        with pytest.raises(SourceError, match="chunks 8, 9 are not there"):
            open_corpus(source, Choice(chunks="7-9"))


def test_chunks_that_are_missing_are_named(tmp_path: Path) -> None:
    root = unpacked(tmp_path / "x")
    for number in (4, 5, 10, 11):
        (root / archive_name(number)).unlink()
    corpus = open_corpus(str(root))
    assert corpus.notes[1:] == ["chunks 2, 5 are not there; name the ones you have with --chunks to be sure"]
    assert corpus.facts["missing_chunks"] == [2, 5]
    for number in range(12):
        (root / archive_name(number)).unlink(missing_ok=True)
    with pytest.raises(SourceError, match="chunks 0, 1, 2, 3, 4, 5 are not there"):
        open_corpus(str(root))


@pytest.mark.parametrize("form", ["folder", "json", "parquet"])
def test_shares_and_files_where_there_are_no_chunks(form: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = str(FORMS[form](tmp_path / form))
    assert "all documents" in open_corpus(source).notes[0]
    found = {}
    for name, choice in {
        "train": Choice("train"),
        "val": Choice("val"),
        "rest": Choice(share="7/21-1"),
        "half": Choice(share="0-0.5"),
    }.items():
        found[name], _ = converted(open_corpus(source, choice), vocabulary, tmp_path / "x.beton")
    together = found["train"] + found["val"] + found["rest"]
    assert sorted(together) == sorted(cleaned(list(range(16))))
    assert set(found["train"]) | set(found["val"]) <= set(found["half"])
    if form != "folder":
        some, _ = converted(open_corpus(source, Choice(files="3,14-15")), vocabulary, tmp_path / "x.beton")
        assert some == cleaned([3, 14, 15])
        with pytest.raises(OptionError, match="files 0 to 15"):
            open_corpus(source, Choice(files="16"))
    with pytest.raises(OptionError, match="has no chunks"):
        open_corpus(source, Choice(chunks="0"))


def test_the_same_documents_are_chosen_from_every_form(vocabulary: Vocabulary, tmp_path: Path) -> None:
    chosen = [
        converted(open_corpus(str(FORMS[form](tmp_path / form)), Choice(share="0-1/3")), vocabulary, tmp_path / "x")[0]
        for form in ("unpacked", "folder", "json")
    ]
    assert chosen[0] == chosen[1] == chosen[2]
    assert 0 < len(chosen[0]) < 80


def test_hub_data_sets_are_read_file_by_file(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    rows = [{"text": text} for texts in TEXTS.values() for text in texts]

    def load(repository: str, split: str, streaming: bool) -> Any:
        assert (repository, split, streaming) == ("someone/corpus", "train", True)
        return datasets.Dataset.from_list(rows).to_iterable_dataset(num_shards=16)

    monkeypatch.setattr(datasets, "load_dataset", load)
    texts, _ = converted(open_corpus("someone/corpus"), vocabulary, tmp_path / "x.beton")
    assert texts == cleaned(list(range(16)))
    texts, _ = converted(open_corpus("someone/corpus", Choice(files="2,3")), vocabulary, tmp_path / "x.beton")
    assert texts == cleaned([2, 3])
    with pytest.raises(OptionError, match="no chunks"):
        open_corpus("someone/corpus", Choice(chunks="1"))
    with pytest.raises(SourceError, match="no column 'body'; there are text"):
        converted(open_corpus("someone/corpus", column="body"), vocabulary, tmp_path / "x.beton")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no text files"):
        open_corpus(str(tmp_path))
    with pytest.raises(SourceError, match="no such file or folder"):
        open_corpus(str(tmp_path / "gone"))


def test_bytes_are_the_same_for_any_number_of_workers(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = str(nested(tmp_path / "x"))
    made = []
    for workers in (1, 2, 5):
        converted(open_corpus(source), vocabulary, tmp_path / f"{workers}.beton", workers=workers)
        made.append((tmp_path / f"{workers}.beton").read_bytes())
    assert made[0] == made[1] == made[2]


KILLED = """
import os, sys, signal
from pathlib import Path
from ffprep.beton import Writer
from ffprep.convert.corpus import convert_corpus
from ffprep.sources.openwebtext import open_corpus
from ffprep.text.blocks import part_files
from ffprep.text.tokens.vocabulary import fairseq

left = int(sys.argv[3])
kind = {"tokenising": part_files._HashedFile, "joining": Writer}[sys.argv[4]]
write = kind.write
def dying(self, *values):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, *values)
kind.write = dying
convert_corpus(open_corpus(sys.argv[1]), Path(sys.argv[2]), fairseq(), block=8, per_sample=2, workers=2, resume=True)
"""


def test_killed_and_resumed_conversions_give_the_same_bytes(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = str(unpacked(tmp_path / "source"))
    converted(open_corpus(source), vocabulary, tmp_path / "whole.beton", per_sample=2)
    out = tmp_path / "x.beton"
    deaths = 0
    for left, stage in ((1, "tokenising"), (3, "tokenising"), (5, "joining"), (9, "joining"), (1 << 20, "joining")):
        command = [sys.executable, "-c", KILLED, source, str(out), str(left), stage]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
        deaths += done.returncode == -signal.SIGKILL
        if done.returncode == 0:
            break
        assert not out.exists()
    assert deaths == 4
    assert out.read_bytes() == (tmp_path / "whole.beton").read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("x.")] == ["x.beton"]


def left_by_a_kill(source: str, out: Path) -> None:
    """Parts of a conversion that was killed while it joined them."""
    command = [sys.executable, "-c", KILLED, source, str(out), "1", "joining"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert done.returncode == -signal.SIGKILL


def below(out: Path) -> list[str]:
    return [path.name for path in out.parent.iterdir() if path.name.startswith(out.name)]


def test_parts_are_used_or_refused_but_not_dropped(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source, out = json_lines(tmp_path / "source"), tmp_path / "x.beton"
    options: dict[str, Any] = {"block": 8, "per_sample": 2, "overwrite": False}
    converted(open_corpus(str(source)), vocabulary, tmp_path / "whole.beton", **options)
    left_by_a_kill(str(source), out)
    before = {path.name: path.read_bytes() for path in Path(f"{out}.parts").iterdir()}
    with pytest.raises(OptionError, match=r"other data or options \(block: was 8, is 16\).*--restart"):
        converted(open_corpus(str(source)), vocabulary, out, **{**options, "block": 16})
    assert {path.name: path.read_bytes() for path in Path(f"{out}.parts").iterdir()} == before
    text = next(path for path in sorted(source.rglob("*")) if path.is_file()) if source.is_dir() else source
    content = text.read_bytes()
    text.write_bytes(content.replace(b"o", b"u"))
    with pytest.raises(OptionError, match=r"source changed: .*--restart"):
        converted(open_corpus(str(source)), vocabulary, out, **options)
    text.write_bytes(content)
    converted(open_corpus(str(source)), vocabulary, out, **options)
    assert out.read_bytes() == (tmp_path / "whole.beton").read_bytes()
    assert below(out) == ["x.beton"]


def test_a_restart_drops_the_parts(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source, out = unpacked(tmp_path / "source"), tmp_path / "x.beton"
    left_by_a_kill(str(source), out)
    converted(open_corpus(str(source)), vocabulary, out, block=16, overwrite=False, restart=True)
    assert below(out) == ["x.beton"]
    with pytest.raises(OptionError, match="exists already"):
        converted(open_corpus(str(source)), vocabulary, out, block=16, overwrite=False, restart=True)


def test_a_finished_file_is_accepted_from_its_own_source_only(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source, out = str(json_lines(tmp_path / "source")), tmp_path / "x.beton"
    (tmp_path / "x.beton.parts").mkdir()
    (tmp_path / "x.beton.parts" / "000099.tokens").write_bytes(b"left")
    _, first = converted(open_corpus(source), vocabulary, out, overwrite=False)
    content = out.read_bytes()
    _, again = converted(open_corpus(source), vocabulary, out, overwrite=False)
    assert again.report.found and again.statistics == first.statistics and again.tail == first.tail
    for options in ({"block": 16}, {"padded": True}, {"on_error": "skip"}, {"page_size": 1 << 24}):
        with pytest.raises(OptionError, match="exists already.*--overwrite"):
            converted(open_corpus(source), vocabulary, out, **{"overwrite": False, **options})
    assert out.read_bytes() == content and below(out) == ["x.beton"]


def test_wrong_options_are_refused(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = str(json_lines(tmp_path / "source"))
    out = tmp_path / "x.beton"
    for options in ({"block": 1}, {"block": 1 << 16}, {"on_error": "ignore"}):
        with pytest.raises(OptionError):
            converted(open_corpus(source), vocabulary, out, **options)
    with pytest.raises(OptionError, match="make it first"):
        converted(open_corpus(source), vocabulary, tmp_path / "none" / "x.beton")


def test_one_conversion_to_a_file_at_a_time(vocabulary: Vocabulary, tmp_path: Path) -> None:
    import fcntl

    source = str(json_lines(tmp_path / "source"))
    (tmp_path / "x.beton.parts").mkdir()
    with (tmp_path / "x.beton.parts" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OptionError, match="another process is writing"):
            converted(open_corpus(source), vocabulary, tmp_path / "x.beton")


# the command


def test_the_command(vocabulary: Vocabulary, tmp_path: Path) -> None:
    source = str(unpacked(tmp_path / "source"))
    out, report = str(tmp_path / "x.beton"), tmp_path / "r.json"
    run = CliRunner()
    done = run.invoke(
        main, ["convert", "openwebtext", "--source", source, "--out", out, "--block", "8", "--report", str(report)]
    )
    assert done.exit_code == 0, done.output
    assert "60  documents" in done.output
    facts = json.loads(report.read_text())
    assert facts["documents"]["documents"] == 60
    with Reader(out) as reader:
        manifest = reader.manifest or {}
        assert manifest["source"]["chunks"] == "0-5"
        assert manifest["source"]["vocabulary"]["kind"] == "fairseq"
    again = run.invoke(main, ["convert", "openwebtext", "--source", source, "--out", out])
    assert again.exit_code == 2
    assert "exists already" in again.output
    bad = run.invoke(
        main, ["convert", "openwebtext", "--source", source, "--out", out, "--overwrite", "--chunks", "5-1"]
    )
    assert bad.exit_code == 2
    gone = run.invoke(main, ["convert", "openwebtext", "--source", str(tmp_path / "gone"), "--out", out, "--overwrite"])
    assert gone.exit_code == 1
