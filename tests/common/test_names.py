"""Names of files as readable text, and names of what systems leave behind."""

from __future__ import annotations

import os
from typing import Generic, Protocol, TypeVar, runtime_checkable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffprep.common.names import NamesKeywords, in_clutter, is_clutter, readable
from ffprep.errors import UnknownOptionError


@given(st.binary())
def test_readable_names_keep_what_is_utf_8_and_escape_other_bytes(name: bytes) -> None:
    assert readable(os.fsdecode(name)) == name.decode("utf-8", "backslashreplace")


@given(st.text(st.characters(codec=None)))
def test_readable_text_can_always_be_stored(text: str) -> None:
    stored = readable(text).encode("utf-8").decode("utf-8")
    assert stored == readable(text) == readable(stored)


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "__MACOSX", "._a.JPEG", "._n01440764.tar", "lost+found", "@eaDir"]
)
def test_clutter(name: str) -> None:
    assert is_clutter(name) and in_clutter(f"train/{name}/a.JPEG") and in_clutter(f"train/{name}")


@pytest.mark.parametrize("name", ["n01440764", ".net", "_a.JPEG", "a._b.JPEG", "macosx", "__init__", "..a"])
def test_data(name: str) -> None:
    assert not is_clutter(name) and not in_clutter(f"train/{name}/a.JPEG")


@runtime_checkable
class Named(Protocol):
    def called(self) -> str: ...


Kind = TypeVar("Kind")


def test_a_users_class_may_be_of_a_protocol_too() -> None:
    class Plain(NamesKeywords):
        def __init__(self, size: int = 1) -> None:
            self.size = size

    class First(Plain, Named):
        def called(self) -> str:
            return "first"

    class Second(Named, Plain, Generic[Kind]):
        def called(self) -> str:
            return "second"

    for kind in (First, Second):
        made = kind(size=2)
        assert made.size == 2 and isinstance(made, Plain) and isinstance(made, Named) and issubclass(kind, Plain)
        with pytest.raises(UnknownOptionError, match=rf"{kind.__name__} has no option 'sizze'; did you mean size"):
            kind(sizze=2)
    assert not isinstance(Plain(), Named) and not isinstance(1, First) and not issubclass(int, Plain)
