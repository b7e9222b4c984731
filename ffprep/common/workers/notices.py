"""Short notices that the tasks of a Ray cluster and the command leave for one another, with the head of the cluster.

They are hints: one may be lost, with the head, or not be found where Ray has no such store. Asking for one does not
make Ray take the task's processor away, as waiting for an object does, for which it would start a further process.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any

_NAMESPACE = b"ffprep"


ANSWER_SECONDS = 5.0
"""How long a head that has gone is waited for. By default, Ray ends the process in the end."""


def _store() -> Any:
    return import_module("ray.experimental.internal_kv").internal_kv_get_gcs_client()


def forget() -> None:
    """Ask no more for notices: asking a head that has ended would take until Ray ends the process."""
    with contextlib.suppress(Exception):
        import_module("ray.experimental.internal_kv")._internal_kv_reset()


def leave(key: str, text: str) -> None:
    """Leave a notice, in place of one with the same key."""
    with contextlib.suppress(Exception):
        _store().internal_kv_put(key.encode(), text.encode(), True, _NAMESPACE, ANSWER_SECONDS)


def find(key: str) -> str | None:
    """The notice with a key, if there is one."""
    with contextlib.suppress(Exception):
        found = _store().internal_kv_get(key.encode(), _NAMESPACE, ANSWER_SECONDS)
        return None if found is None else bytes(found).decode()
    return None


def drop(prefix: str) -> None:
    """Drop all notices whose keys begin so."""
    with contextlib.suppress(Exception):
        _store().internal_kv_del(prefix.encode(), True, _NAMESPACE, ANSWER_SECONDS)
