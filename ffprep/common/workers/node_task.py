"""What nodes of a Ray cluster run.

Ray gets the functions themselves rather than their names (see `ffprep.common.workers.cluster.Tasks`). So they run also
on a node that lacks ffprep, and say so; by their names, such a node would answer with a traceback of Ray's.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from importlib import import_module
from typing import Any


def get_ready() -> None:
    """Import what most tasks need, so that the process in which the first one runs has it."""
    with contextlib.suppress(ImportError):  # tasks say what this node lacks
        import_module("ffprep.convert.clusters.placed")


def run_on_node(shared: list[Any], task: Any) -> tuple[str, Any]:
    """Do a task by `ffprep.common.workers.node_work.do_task`, if this node has the ffprep of the command.

    Parameters
    ----------
    shared : list
        A reference to what the tasks have in common, and the command's version of ffprep.
    task : object

    Returns
    -------
    problem : str
        What this node lacks, and the remedy; empty if nothing.
    result : object
    """
    wanted = shared[1]
    remedy = f"for {sys.executable} there: pip install 'ffprep[all]=={wanted}'"
    try:
        found = import_module("ffprep._version").__version__
        do_task = import_module("ffprep.common.workers.node_work").do_task
    except ImportError as error:
        return f"node {socket.gethostname()} cannot import ffprep ({error}); install it {remedy}", None
    if found != wanted:
        return f"node {socket.gethostname()} has ffprep {found}, and the command {wanted}; install that {remedy}", None
    return "", do_task(shared, task)
