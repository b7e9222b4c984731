"""YAML configurations: what they say, what overrides them, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffprep.convert.config import read_config, to_arguments
from ffprep.errors import OptionError

KNOWN = {"source": False, "jpeg": False, "limit": False, "resume": True}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def make(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return path

    return make


def test_keys_are_options_and_overrides_win(write: Any) -> None:
    path = write("dataset: imagenet\nsource: /data\nmax_side: 500\nresume: true\n")
    assert read_config(path, ["limit=5", "max-side=400", "resume=false"]) == [
        {"dataset": "imagenet", "source": "/data", "max-side": 400, "resume": False, "limit": 5}
    ]


def test_list_makes_several_conversions(write: Any) -> None:
    path = write("- {dataset: a, out: x}\n- {dataset: b, out: y}\n")
    assert [c["dataset"] for c in read_config(path, ["quiet=true"])] == ["a", "b"]
    assert all(c["quiet"] is True for c in read_config(path, ["quiet=true"]))


def test_arguments_for_the_command_line() -> None:
    options = {"source": "/a b", "jpeg": None, "limit": 5, "resume": True}
    assert to_arguments(options, KNOWN, "c") == ["--source=/a b", "--limit=5", "--resume"]
    assert to_arguments({"resume": False, "source": ["a", "b"]}, KNOWN, "c") == ["--source=a", "--source=b"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sauce": 1}, "unknown option 'sauce'; did you mean source?"),
        ({"resume": "maybe"}, "resume is true or false, not 'maybe'"),
        ({"source": {"a": 1}}, "source takes a plain value"),
        ({"source": [["a"]]}, "source takes a plain value"),
    ],
)
def test_wrong_options_are_named(options: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        to_arguments(options, KNOWN, "c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a mapping of options is expected"),
        ("[]", "is empty"),
        ("hello", "a mapping of options is expected"),
        ("- dataset: a\n- 5", "conversion 2: a mapping"),
        ("source: x", "says no dataset"),
        ("dataset: 5", "says no dataset"),
        ("a: b: c", "line 1: not valid YAML"),
        ("dataset: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_bad_configuration_is_one_typed_error(write: Any, text: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        read_config(write(text), [])


def test_unreadable_configuration_is_one_typed_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read: No such file"):
        read_config(tmp_path / "absent.yaml", [])
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="not a text file"):
        read_config(tmp_path / "b.yaml", [])
    with pytest.raises(OptionError, match="key=value is expected"):
        read_config(tmp_path / "b.yaml", ["resume"])
