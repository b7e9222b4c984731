"""The task that nodes of a Ray cluster run.

Ray gets the function itself rather than its name (see `ffprep.common.workers.cluster.Tasks`). So it runs also on a node
that lacks ffprep, and says so; by its name, such a node would answer with a traceback of Ray's.
"""

from __future__ import annotations

import socket
import sys
from importlib import import_module
from typing import Any


def run_on_node(shared: list[Any], task: Any) -> tuple[str, Any]:
    """Do a task by `ffprep.common.workers.cluster.do_task`, if this node has the ffprep of the command.

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
        do_task = import_module("ffprep.common.workers.cluster").do_task
    except ImportError as error:
        return f"node {socket.gethostname()} cannot import ffprep ({error}); install it {remedy}", None
    if found != wanted:
        return f"node {socket.gethostname()} has ffprep {found}, and the command {wanted}; install that {remedy}", None
    return "", do_task(shared, task)
