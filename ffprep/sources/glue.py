"""The tasks of GLUE, from its own tsv files or from the Hugging Face hub (``nyu-mll/glue``).

In the tsv files, quotes are plain text and nothing is escaped. Some files have no header, labels are numbers or names,
and the last newline may be missing. MRPC as published by Microsoft has a byte order mark and CRLF. In a few rows of QQP
a text contains a tab or newline; these rows are left out, as in the hub's copy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ffprep.common.files.source_files import open_binary
from ffprep.common.names import Clutter
from ffprep.errors import OptionError, SourceError
from ffprep.sources.reading.hub import check_hub_name, load_dataset
from ffprep.sources.reading.labelled_texts import label_rows, read_table
from ffprep.sources.text_rows import TextRows
from ffprep.text.documents.delimited import Dialect, delimited_rows
from ffprep.text.documents.table_rows import Rows, hub_rows, parquet_rows
from ffprep.text.tokens.vocabulary import Vocabulary


@dataclass(frozen=True)
class Task:
    """A task of GLUE.

    Attributes
    ----------
    name : str
        Its name on the hub.
    folder : str
        Its name in GLUE.
    columns : tuple of str
        Text columns of the tsv files.
    label : str
        Label column of the tsv files.
    hub_columns : tuple of str
        Text columns on the hub, where the label's column is ``label``.
    labels : tuple of str
        Names of the labels by number; empty if the label is a score.
    metric : str
        The metric that GLUE reports.
    header : tuple of str
        Names of the columns in files without a header.
    splits : tuple of str
        Names of the splits.
    """

    name: str
    folder: str
    columns: tuple[str, ...]
    label: str
    hub_columns: tuple[str, ...]
    labels: tuple[str, ...]
    metric: str
    header: tuple[str, ...]
    splits: tuple[str, ...] = ("train", "validation", "test")


_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")
_STSB = ("index", "genre", "filename", "year", "old_index", "source1", "source2", *_PAIR, "score")
_MNLI = ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched")
_MNLI_LABELS = ("entailment", "neutral", "contradiction")
_MNLI_HEADER = ("index", "promptID", "pairID", "genre", *(f"{s}_{p}" for s in _PAIR for p in ("binary_parse", "parse")))

TASKS = {
    task.name: task
    for task in (
        Task("cola", "CoLA", ("sentence",), "label", ("sentence",), ("unacceptable", "acceptable"),
             "Matthews correlation", ("source", "label", "mark", "sentence")),
        Task("sst2", "SST-2", ("sentence",), "label", ("sentence",), ("negative", "positive"), "accuracy",
             ("sentence", "label")),
        Task("mrpc", "MRPC", ("#1 String", "#2 String"), "Quality", _PAIR, ("not_equivalent", "equivalent"),
             "accuracy and F1", ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")),
        Task("stsb", "STS-B", _PAIR, "score", _PAIR, (), "Pearson and Spearman correlation", _STSB),
        Task("qqp", "QQP", ("question1", "question2"), "is_duplicate", ("question1", "question2"),
             ("not_duplicate", "duplicate"), "accuracy and F1",
             ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")),
        Task("mnli", "MNLI", _PAIR, "gold_label", ("premise", "hypothesis"), _MNLI_LABELS, "accuracy",
             (*_MNLI_HEADER, *_PAIR, "label1", "gold_label"), _MNLI),
        Task("qnli", "QNLI", ("question", "sentence"), "label", ("question", "sentence"), _ENTAILMENT, "accuracy",
             ("index", "question", "sentence", "label")),
        Task("rte", "RTE", _PAIR, "label", _PAIR, _ENTAILMENT, "accuracy", ("index", *_PAIR, "label")),
        Task("wnli", "WNLI", _PAIR, "label", _PAIR, _ENTAILMENT[::-1], "accuracy", ("index", *_PAIR, "label")),
    )
}  # fmt: skip
"""The tasks by name."""

_FILES = {
    "train": ("train",),
    "validation": ("dev", "validation", "valid", "val"),
    "test": ("test",),
}


def splits_of(task: Task, asked: str) -> list[str]:
    """The splits that ``train``, ``validation``, ``test``, ``all`` or one of the task's own names stands for.

    Raises
    ------
    OptionError
        When the task has no such split.
    """
    wanted = {"val": "validation", "dev": "validation"}.get(asked, asked)
    found = [s for s in task.splits if wanted in ("all", s) or s.startswith(wanted + "_")]
    if not found:
        raise OptionError(f"{task.name} has the splits {', '.join(task.splits)}, not {asked!r}")
    return found


def open_glue(
    source: str,
    task: Task,
    split: str,
    vocabulary: Vocabulary,
    length: int = 128,
    keep_text: bool = False,
    skip: bool = True,
    skip_labels: bool = False,
    all_files: bool = False,
) -> TextRows:
    """Open one split of a task.

    Parameters
    ----------
    source : str
        Folder of GLUE or of the task, a file of the task, or a data set on the hub.
    task : Task
    split : str
        One of ``task.splits``.
    vocabulary : Vocabulary
    length : int
        Tokens per row.
    keep_text : bool
        Whether to store the texts as well.
    skip : bool
        Whether to leave out, and count, rows with too few or too many columns.
    skip_labels : bool
        Whether to leave out, and count, rows whose label is not one of the task's.
    all_files : bool
        Whether files that systems leave behind (`ffprep.common.names.is_clutter`) may be the split's.

    Raises
    ------
    SourceError
        When the split is not there, or a label is not one of the task's labels and `skip_labels` is False.
    """
    path, clutter = Path(source), Clutter(all_files)
    if path.exists():
        file = find_file(path, task, split, clutter) if path.is_dir() else path
        rows, labelled, form = _local_rows(file, task)
        folder = f"{file.parent}/"
    else:
        check_hub_name(source)
        rows, labelled, form = _hub_rows(source, task, split)
        folder = ""
    pair = len(task.columns) == 2
    table = read_table(rows, pair, labelled, skip)
    table.labels = table.labels or [None] * len(table.first)
    kind = "int" if task.labels else "float"
    table, labels = label_rows(table, task.labels, kind, skip=skip_labels, folder=folder)
    facts = {"task": task.name, "split": split, "metric": task.metric, "form": form, **clutter.facts}
    name = f"glue {task.name} {split}"
    return TextRows(name, table, labels, vocabulary, length, keep_text, facts, clutter.notes())


def _local_rows(file: Path, task: Task) -> tuple[Rows, bool, str]:
    if file.suffix == ".parquet":
        return parquet_rows(file, [*task.hub_columns, "label"]), True, "hub"
    first = first_rows(file)
    header = first[0] if first else []
    if set(task.columns) <= set(header):
        labelled = task.label in header
        columns = [*task.columns, task.label] if labelled else list(task.columns)
        return delimited_rows(file, columns, Dialect()), labelled, "tsv"
    if not any(len(row) == len(task.header) for row in first):
        raise SourceError(
            f"{file}: its first line has {len(header)} values and does not name the columns "
            f"{', '.join(task.columns)}; is it a file of {task.folder}?"
        )
    dialect = Dialect(header=False, names=task.header)
    return delimited_rows(file, [*task.columns, task.label], dialect), True, "tsv"


def first_rows(file: Path, count: int = 20) -> list[list[str]]:
    """Values of the first lines of a tsv file."""
    with open_binary(file) as lines:
        found = [lines.readline(1 << 20) for _ in range(count)]
    found[0] = found[0].removeprefix(b"\xef\xbb\xbf")
    return [line.rstrip(b"\r\n").decode("utf-8", "replace").split("\t") for line in found if line]


def _hub_rows(repository: str, task: Task, split: str) -> tuple[Rows, bool, str]:
    dataset = load_dataset(repository, task.name, split=split)
    return hub_rows(dataset, f"{repository} {task.name} {split}", [*task.hub_columns, "label"]), True, "hub"


def find_file(root: Path, task: Task, split: str, clutter: Clutter | None = None) -> Path:
    """Find the file of a split within the folder of GLUE or of the task, but for what is `clutter`.

    Raises
    ------
    SourceError
        When there is none, or more than one file may be meant.
    """
    folder = find_folder(root, task)
    stem, _, kind = split.partition("_")
    for name in _FILES[stem]:
        exact = folder / f"{name}{'_' + kind if kind else ''}.tsv"
        if exact.exists() and not exact.is_dir():
            return exact
    clutter = clutter or Clutter()
    found = [path for path in sorted(folder.iterdir()) if not path.is_dir() and _names(path, stem, kind)]
    found = [path for path in found if not clutter.leaves_out(path.name)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise SourceError(f"{folder}: no file of the split {split} ({_FILES[stem][0]}.tsv)")
    listed = ", ".join(path.name for path in found)
    raise SourceError(f"{folder}: {listed} may be the split {split}; give the file itself as --source")


def _names(path: Path, stem: str, kind: str) -> bool:
    if path.suffix.lower() not in (".tsv", ".txt", ".parquet"):
        return False
    words = re.split(r"[^a-z0-9]+", path.stem.lower())
    return bool(set(_FILES[stem]) & set(words)) and (not kind or kind in words) and "ids" not in words


def find_folder(root: Path, task: Task) -> Path:
    """The folder of a task: the one with its name within `root`, or `root` itself."""
    plain = re.sub(r"[^a-z0-9]", "", task.folder.lower())
    folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
    keys = {path: re.sub(r"[^a-z0-9]", "", path.name.lower()) for path in folders}
    for matches in ([p for p in folders if keys[p] == plain], [p for p in folders if keys[p].startswith(plain)]):
        if len(matches) == 1:
            return matches[0]
    if folders and not any(path.suffix in (".tsv", ".txt", ".parquet") for path in root.iterdir()):
        raise SourceError(f"{root}: no folder {task.folder} there; it has {', '.join(p.name for p in folders)}")
    return root


def tasks_there(source: str) -> list[Task]:
    """The tasks that a folder holds; all tasks if `source` is not a folder."""
    root = Path(source)
    if not root.is_dir():
        return list(TASKS.values())
    found = []
    for task in TASKS.values():
        try:
            if find_folder(root, task) != root:
                found.append(task)
        except SourceError:
            continue
    return found
