"""A Ray cluster that gets ready while a command does.

Importing Ray, connecting, and the start of a process on each node take seconds, in which a command can look through its
source.
"""

from __future__ import annotations

import contextlib
import os
import sys

from ffprep.common.workers import cluster, node_task

_open = contextlib.ExitStack()


def begin(address: str | None) -> None:
    """Connect to a cluster that runs already, and let each of its nodes start a process for tasks, without waiting.

    `cluster.connected` then uses this connection, until `end`. Nothing happens if it is not known which cluster is
    meant.

    Parameters
    ----------
    address : str, optional
        As for `cluster.connected`.

    Raises
    ------
    OptionError, ConversionError
        As from `cluster.connected`.
    """
    asked = os.environ.get("RAY_ADDRESS") if address in (None, "auto") else address
    if asked in (None, "", "auto"):
        return
    ray = _open.enter_context(cluster.connected(address, 1))
    cluster.getting_ready[:] = cluster.on_nodes(ray, cluster.by_value(ray, node_task.get_ready))


def end() -> None:
    """End the connection that `begin` made, if it made one; by the error that is being handled, if there is one."""
    cluster.getting_ready.clear()
    _open.__exit__(*sys.exc_info())
