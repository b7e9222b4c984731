"""What the loader says before its kernels are compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from numba.core import event

from ffprep.kernels import jit, shipped
from ffprep.loader.engine import compiling, worker


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[Any], str]]:
    """Let no kernel be shipped; return what is said when numba begins to compile a function."""
    jit._numba()  # which listens itself
    listeners: list[Any] = []
    monkeypatch.setattr(shipped, "address", lambda function: None)
    monkeypatch.setattr(event, "register", lambda kind, listener: listeners.append(listener))
    compiling.tell_when_compiling.cache_clear()

    def compile_one(function: Any) -> str:
        compiling.tell_when_compiling()
        for listener in listeners:
            happening = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)})
            listener.on_start(happening)
            listener.on_end(happening)
        return capsys.readouterr().err

    yield compile_one
    compiling.tell_when_compiling.cache_clear()


def test_first_kernel_that_is_compiled_says_why(monkeypatch: pytest.MonkeyPatch, said: Callable[[Any], str]) -> None:
    monkeypatch.setenv(shipped.VARIABLE, "jit")
    kernel = jit.plain_function(worker.work)
    assert said(lambda: None) == ""  # a function of the user's
    line = said(kernel)
    assert line.count("\n") == 1 and f"{shipped.VARIABLE}=jit" in line
    assert said(kernel) == ""  # once is enough


def test_sources_that_changed_are_named_as_the_reason(
    monkeypatch: pytest.MonkeyPatch, said: Callable[[Any], str]
) -> None:
    monkeypatch.setattr(shipped, "refusal", lambda: None)
    assert "have changed" in said(jit.plain_function(worker.work))


def test_nothing_is_said_where_the_code_is_shipped(monkeypatch: pytest.MonkeyPatch, said: Callable[[Any], str]) -> None:
    monkeypatch.setattr(shipped, "address", lambda function: 4096)
    assert said(jit.plain_function(worker.work)) == ""
