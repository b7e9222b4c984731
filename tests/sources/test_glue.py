"""GLUE's files with all their traps, and the hub's: every row decodes to its text, every label is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ffprep.beton import Reader
from ffprep.cli import main
from ffprep.convert.conversion import convert
from ffprep.errors import OptionError, SourceError
from ffprep.sources import text_rows
from ffprep.sources.glue import TASKS, find_file, find_folder, open_glue, splits_of, tasks_there
from ffprep.text.tokens.sequences import split_row
from ffprep.text.tokens.vocabulary import Vocabulary, from_manifest

FILES = {
    "CoLA/train.tsv": 'gj04\t1\t\tOur "friends" won\'t buy it.\ncj99\t0\t*\tAs you eat the most.',
    "CoLA/dev.tsv": "gj04\t0\t*\tThe last line lacks its newline.",
    "CoLA/test.tsv": "index\tsentence\n0\tBill whistled past the house.\n",
    "SST-2/train.tsv": "sentence\tlabel\nhide new secretions \t0\n\"quoted once\t0\n it 's good \t1\n",
    "SST-2/test.tsv": "index\tsentence\n0\tuneasy mishmash .\n1\tcafé …\n",
    "MRPC/msr_paraphrase_train.txt": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
    '1\t1\t2\tHe said "no".\t"No," he said.\r\n0\t3\t4\tShares rose.\tShares fell.\r\n',
    "STS-B/train.tsv": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
    "0\tm\tM\t2012\t0001\tnone\tnone\tA plane.\tAn air plane.\t5.000\n"
    "1\tm\tM\t2012\t4\tn\tn\tA man.\tA dog.\t0.25\n",
    "STS-B/dev_noheader.tsv": "4\tm\tM\t2012test\t9\tnone\tnone\tA cello.\tA cellist.\t4.250\n",
    "QQP/dev.tsv": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhat?\tWhy?\t0\n"
    "4\t5\t6\tone too few\t1\n7\t8\t9\tWhat is\u2028it?\tWhat's it?\t1\n",
    "QQP/train_part.tsv": "1\t2\t3\tthe first is short 0\n1\t2\t3\tWho?\tWhom?\t1\n",
    "MNLI/dev_matched.tsv": "index\tpromptID\tpairID\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
    "0\t1\t2\tg\tA dog.\tAn animal.\tentailment\tentailment\n1\t1\t2\tg\tA dog.\tA cat.\tneutral\tcontradiction\n",
    "MNLI/dev_mismatched.tsv": "index\tsentence1\tsentence2\tgold_label\n0\tA.\tB.\tneutral\n",
    "MNLI/test_matched.tsv": "index\tsentence1\tsentence2\n0\tA.\tB.\n",
    "QNLI/train.tsv": "index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tentailment\n1\tWho?\tIt.\tnot_entailment\n",
    "RTE/dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\tentailment\n",
    "WNLI/dev.tsv": "index\tsentence1\tsentence2\tlabel\n0\tI stuck a pin.\tThe pin.\t1\n",
}

CASES: list[tuple[str, str, list[tuple[str, ...]], list[float]]] = [
    ("cola", "train", [('Our "friends" won\'t buy it.',), ("As you eat the most.",)], [1, 0]),
    ("cola", "validation", [("The last line lacks its newline.",)], [0]),
    ("cola", "test", [("Bill whistled past the house.",)], [-1]),
    ("sst2", "train", [("hide new secretions ",), ('"quoted once',), (" it 's good ",)], [0, 0, 1]),
    ("sst2", "test", [("uneasy mishmash .",), ("café …",)], [-1, -1]),
    ("mrpc", "train", [('He said "no".', '"No," he said.'), ("Shares rose.", "Shares fell.")], [1, 0]),
    ("stsb", "train", [("A plane.", "An air plane."), ("A man.", "A dog.")], [5.0, 0.25]),
    ("stsb", "validation", [("A cello.", "A cellist.")], [4.25]),
    ("qqp", "validation", [("What?", "Why?"), ("What is\u2028it?", "What's it?")], [0, 1]),
    ("qqp", "train", [("Who?", "Whom?")], [1]),
    ("mnli", "validation_matched", [("A dog.", "An animal."), ("A dog.", "A cat.")], [0, 2]),
    ("mnli", "validation_mismatched", [("A.", "B.")], [1]),
    ("mnli", "test_matched", [("A.", "B.")], [-1]),
    ("qnli", "train", [("Who?", "He."), ("Who?", "It.")], [0, 1]),
    ("rte", "validation", [("It rained.", "It was wet.")], [0]),
    ("wnli", "validation", [("I stuck a pin.", "The pin.")], [1]),
]  # fmt: skip


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("glue")
    for name, content in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content.encode())
    return root


def read_back(path: Path) -> tuple[list[tuple[str, ...]], list[float], dict[str, Any]]:
    with Reader(path) as reader:
        facts = (reader.manifest or {})["source"]
        vocabulary = from_manifest(facts["vocabulary"])
        pair = facts["rows"]["pair"]
        samples = [reader.sample(i) for i in range(len(reader))]
        texts = [split_row(vocabulary, s["tokens"], s["length"], pair) for s in samples]
        if "text" in reader.fields:
            stored = [tuple(s[n].decode() for n in ("text", "text_pair") if n in s) for s in samples]
            assert stored == texts
        return texts, [s["label"] for s in samples], facts


@pytest.mark.parametrize(("task", "split", "texts", "labels"), CASES)
def test_rows_decode_to_their_texts(
    glue: Path,
    vocabulary: Vocabulary,
    tmp_path: Path,
    task: str,
    split: str,
    texts: list[tuple[str, ...]],
    labels: list[float],
) -> None:
    rows = open_glue(str(glue), TASKS[task], split, vocabulary, 64, keep_text=True)
    convert(rows, tmp_path / "x.beton", workers=2)
    found, numbers, facts = read_back(tmp_path / "x.beton")
    assert found == texts
    assert numbers == labels
    assert all(type(n) is (float if task == "stsb" else int) for n in numbers)
    assert (facts["task"], facts["split"], facts["metric"]) == (task, split, TASKS[task].metric)
    assert tuple(facts.get("labels", ())) == TASKS[task].labels
    assert facts["rows"]["bad"] == (1 if task == "qqp" else 0)


@pytest.mark.parametrize(
    ("task", "header", "good", "bad"),
    [
        ("sst2", "sentence\tlabel", ["0", "1"], ["7", "NA", "-", "positive?", "0.5"]),
        ("rte", "index\tsentence1\tsentence2\tlabel", ["entailment", "not_entailment"], ["maybe", "nan"]),
        ("stsb", "sentence1\tsentence2\tscore", ["0.5", "5"], ["NaN", "high", "inf"]),
    ],
)
def test_an_unknown_label_is_one_rows_fault(
    vocabulary: Vocabulary, tmp_path: Path, task: str, header: str, good: list[str], bad: list[str]
) -> None:
    path = tmp_path / "train.tsv"
    labels = [good[0], *bad, good[1]]
    texts = ["x\t"] * (header.count("\t"))
    path.write_text("".join(line + "\n" for line in [header, *("".join(texts) + label for label in labels)]))
    with pytest.raises(SourceError, match=rf"{path}, line 3: label is .*{bad[0]}.*--on-error skip"):
        open_glue(str(path), TASKS[task], "train", vocabulary)
    rows = open_glue(str(path), TASKS[task], "train", vocabulary, skip_labels=True)
    expected = [TASKS[task].labels.index(v) if v in TASKS[task].labels else float(v) for v in good]
    assert [rows.sample(number)[2] for number in range(len(rows))] == expected
    assert [name for name, _ in rows.left_out.rows] == [f"train.tsv, line {n}" for n in range(3, 3 + len(bad))]
    command = ["convert", "glue", "--task", task, "--source", str(path), "--out", str(tmp_path / "x.beton")]
    assert CliRunner().invoke(main, command).exit_code == 1
    done = CliRunner().invoke(main, [*command, "--on-error", "skip"])
    assert done.exit_code == 0, done.output
    assert f"{len(bad)} left out: label is " in done.output


def test_what_is_no_file_of_the_task_is_an_error(glue: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\ngood\t1\nodd\t7\n")
    with pytest.raises(SourceError, match=r"train\.tsv, line 3: label is unknown: '7', not one of negative, positive"):
        open_glue(str(path), TASKS["sst2"], "train", vocabulary)
    with pytest.raises(SourceError, match=r"dev\.tsv, line 3: 5 values for 6 columns"):
        open_glue(str(glue), TASKS["qqp"], "validation", vocabulary, skip=False)
    with pytest.raises(SourceError, match="is it a file of RTE"):
        open_glue(str(path), TASKS["rte"], "train", vocabulary)
    path.write_text("sentence\tlabel\n")
    with pytest.raises(SourceError, match="not a single row"):
        open_glue(str(path), TASKS["sst2"], "train", vocabulary)
    with pytest.raises(SourceError, match="no such file"):
        open_glue(str(tmp_path / "gone"), TASKS["sst2"], "train", vocabulary)


def test_folders_and_files_are_found(glue: Path, tmp_path: Path) -> None:
    assert {task.name for task in tasks_there(str(glue))} == set(TASKS)
    assert find_file(glue / "STS-B", TASKS["stsb"], "validation").name == "dev_noheader.tsv"
    (tmp_path / "RTE_half").mkdir()
    assert find_folder(tmp_path, TASKS["rte"]) == tmp_path / "RTE_half"
    assert [t.name for t in tasks_there(str(tmp_path))] == ["rte"]
    with pytest.raises(SourceError, match="no folder CoLA"):
        find_folder(tmp_path, TASKS["cola"])
    with pytest.raises(SourceError, match="no file of the split train"):
        find_file(tmp_path, TASKS["rte"], "train")
    for name in ("a_train.tsv", "b_train.tsv", "train_ids.tsv"):
        (tmp_path / "RTE_half" / name).touch()
    with pytest.raises(SourceError, match=r"a_train\.tsv, b_train\.tsv may be the split train"):
        find_file(tmp_path, TASKS["rte"], "train")


def test_splits() -> None:
    assert splits_of(TASKS["mnli"], "validation") == ["validation_matched", "validation_mismatched"]
    assert splits_of(TASKS["mnli"], "dev") == ["validation_matched", "validation_mismatched"]
    assert splits_of(TASKS["mnli"], "test_matched") == ["test_matched"]
    assert splits_of(TASKS["rte"], "all") == ["train", "validation", "test"]
    with pytest.raises(OptionError, match="rte has the splits"):
        splits_of(TASKS["rte"], "validation_matched")


def test_the_hub_gives_what_the_files_give(
    glue: Path, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    pq = pytest.importorskip("pyarrow.parquet")
    for task, split, texts, labels in CASES:
        columns = dict(zip(TASKS[task].hub_columns, zip(*texts, strict=True), strict=True))
        data = datasets.Dataset.from_dict({**columns, "label": labels, "idx": list(range(len(labels)))})
        asked: list[Any] = []
        monkeypatch.setattr(datasets, "load_dataset", lambda *a, d=data, seen=asked, **k: (seen.append((a, k)), d)[1])
        rows = open_glue("nyu-mll/glue", TASKS[task], split, vocabulary)
        assert asked == [(("nyu-mll/glue", task), {"split": split})]
        convert(rows, tmp_path / "hub.beton", overwrite=True)
        assert read_back(tmp_path / "hub.beton")[:2] == (texts, labels)
    folder = tmp_path / "copy" / "wnli"
    folder.mkdir(parents=True)
    pq.write_table(data.data.table, folder / "validation-00000-of-00001.parquet")
    rows = open_glue(str(tmp_path / "copy"), TASKS["wnli"], "validation", vocabulary)
    assert rows.table.first[:] == ["I stuck a pin."]


def test_texts_are_cut_longest_first_and_counted(vocabulary: Vocabulary, tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(
        "index\tsentence1\tsentence2\tlabel\n0\t" + "a " * 40 + "\tone two\tentailment\n1\ta\tb\tentailment\n"
    )
    rows = open_glue(str(path), TASKS["rte"], "train", vocabulary, 12)
    assert rows.manifest()["rows"]["cut_rows"] == 1
    assert rows.manifest()["rows"]["truncation"] == "longest first"
    tokens, length, _ = rows.sample(0)
    assert length == 12
    first, second = split_row(vocabulary, tokens, length, True)
    assert (first.split(), second) == (["a"] * 7, "one two")


def test_bytes_do_not_depend_on_workers_or_memory(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "train.tsv"
    lines = [f"sentence {n} of many\t{n % 2}" for n in range(300)]
    path.write_text("sentence\tlabel\n" + "\n".join(lines))
    made = []
    for workers, chunk, kept in ((1, 1024, 1 << 28), (5, 7, 0)):
        monkeypatch.setattr(text_rows, "CHUNK", chunk)
        monkeypatch.setattr(text_rows, "KEPT_BYTES", kept)
        rows = open_glue(str(path), TASKS["sst2"], "train", vocabulary, 16)
        convert(rows, tmp_path / "x.beton", workers=workers, overwrite=True)
        made.append((tmp_path / "x.beton").read_bytes())
    assert made[0] == made[1]


# the command


def test_one_task(glue: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    out = tmp_path / "x.beton"
    arguments = ["convert", "glue", "--task", "qqp", "--source", str(glue), "--split", "validation", "--out", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "2 rows; labels not_duplicate 1, duplicate 1; 1 left out: 5 values for 6 columns (1)" in done.output
    assert "the first is dev.tsv, line 3" in done.output
    strict = CliRunner().invoke(main, [*arguments, "--overwrite", "--on-error", "raise"])
    assert strict.exit_code == 1
    assert "dev.tsv, line 3: 5 values for 6 columns" in strict.output
    assert CliRunner().invoke(main, [*arguments, "--overwrite", "--on-error", "skip"]).exit_code == 0
    assert CliRunner().invoke(main, [*arguments, "--split", "other"]).exit_code == 2
    planned = CliRunner().invoke(main, ["plan", *arguments[1:-2], "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.output)["samples"] == 2


def test_all_tasks(glue: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    out = tmp_path / "all"
    arguments = ["convert", "glue", "--task", "all", "--source", str(glue), "--split", "all", "--out"]
    done = CliRunner().invoke(main, [*arguments, str(out)])
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in out.iterdir()) == sorted(f"{task}-{split}.beton" for task, split, _, _ in CASES)
    assert "note: rte has no train split there" in done.output
    for task, split, texts, labels in CASES:
        assert read_back(out / f"{task}-{split}.beton")[:2] == (texts, labels)
    named = CliRunner().invoke(main, [*arguments[:3], "cola", *arguments[4:], str(tmp_path / "g.beton")])
    assert named.exit_code == 0, named.output
    assert (tmp_path / "g-cola-validation.beton").exists()
    assert np.array_equal(Reader(tmp_path / "g-cola-test.beton").column("label"), [-1])
