"""A stand-in for Ray, whose tasks are done in this process when they are waited for."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ffprep.fields import IntField


class RayError(Exception):
    """As Ray's."""


class WorkerCrashedError(RayError):
    """As Ray's."""


class RayTaskError(RayError):
    """As Ray's: the text is a traceback with colours, the error itself is its cause."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"\x1b[36mray::_encode()\x1b[39m (pid=1)\n  File x\n{cause}")
        self.cause = cause


class Numbers:
    """A source of numbers."""

    name = "numbers"

    def __init__(self) -> None:
        self.fields = {"number": IntField()}

    def __len__(self) -> int:
        return 64

    def sample(self, index: int) -> tuple[int]:
        return (index,)

    def sample_name(self, index: int) -> str:
        return f"{index}"

    def manifest(self) -> dict[str, Any]:
        return {"dataset": "numbers"}


class Reference:
    """A result that is not there yet, or an object."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._name = secrets.token_hex(8)

    def hex(self) -> str:
        return self._name


def stand_in(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A cluster of this process, in which ``fails`` may be replaced."""

    def get(reference: Reference) -> Any:
        return reference.value() if callable(reference.value) else reference.value

    def remote(task: Callable[..., Any]) -> Any:
        def submitted(shared: list[Any], work: Any) -> Reference:
            def run() -> Any:
                made.fails(work)
                return task(shared, work)

            return Reference(run)

        found = SimpleNamespace(remote=submitted)
        found.options = lambda **_: found
        return found

    made = SimpleNamespace(
        is_initialized=lambda: True,
        cluster_resources=lambda: {"CPU": 1.0},
        put=Reference,
        get=get,
        remote=remote,
        nodes=list,
        wait=lambda references, **_: (references[:1], references[1:]),
        cancel=lambda reference: None,
        shutdown=lambda: None,
        fails=lambda part: None,
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError),
    )
    module = ModuleType("ray")
    module.__dict__.update(vars(made))
    made = module  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "ray", module)
    return made
