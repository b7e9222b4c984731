"""Configurations that stand for more than they say, nest too deep, or hold values that are none."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffprep.convert.config import read_config
from ffprep.errors import OptionError

LETTERS = "abcdefghijkl"


def laughs(value: str, join: str) -> str:
    """Each name stands for nine times the one before: 9^11 values in 400 bytes."""
    lines = [f"a: &a {value}"]
    lines += [f"{b}: &{b} {join % ','.join([f'*{a}'] * 9)}" for a, b in itertools.pairwise(LETTERS)]
    return "\n".join([*lines, "dataset: imagenet"])


def bombs() -> Iterator[tuple[str, str]]:
    yield laughs("x", "[%s]"), "more than 100,000 values once its aliases"
    yield laughs("{k: v}", "{<<: [%s]}"), "more than 100,000 values once its aliases"
    yield "dataset: &x [*x]", "more than 100,000 values"
    yield "[" * 200_000, "nested more than 20 deep"
    yield f"dataset: {'[' * 30}{']' * 30}", "nested more than 20 deep"


@pytest.mark.parametrize(("text", "complaint"), list(bombs()))
def test_bombs_are_refused_within_little_memory(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    script = (
        "import resource, sys; from pathlib import Path; import yaml\n"
        "from ffprep.convert.config import read_config\n"
        "from ffprep.errors import OptionError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        "try: read_config(Path(sys.argv[1]), [])\n"
        "except OptionError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.startswith(f"{path}: ") and complaint in run.stdout
    assert len(run.stdout) < 300


VALUES = ["2001-99-99", "1" * 9000, "!!int ''", "!!float x", "!!bool x", "!!binary '\u1234'", "!!set [a]"]
VALUES += ["!!python/object/apply:os.system [id]", "*nothing", "2001-01-01 00:00:00 +99:99", "{[a]: b}", "\0"]


@pytest.mark.parametrize("value", VALUES)
def test_values_that_are_none(tmp_path: Path, value: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"dataset: {value}\n")
    with pytest.raises(OptionError, match=r"c\.yaml.*: ") as caught:
        read_config(path, [])
    assert len(str(caught.value)) < len(str(path)) + 250 and "\n" not in str(caught.value)


def test_anchors_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("- &first {dataset: imagenet, split: train}\n- {<<: *first, split: val}\n")
    assert read_config(path, []) == [
        {"dataset": "imagenet", "split": "train"},
        {"dataset": "imagenet", "split": "val"},
    ]


@settings(max_examples=200, deadline=None)
@given(st.text("[]{}&*a:!<-, \n\"'|>?%#0", max_size=40))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)
    try:
        read_config(path, [])
    except OptionError as error:
        assert "any.yaml" in str(error)
