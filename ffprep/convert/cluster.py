"""The units of a conversion as tasks of a Ray cluster; the file is still written by one process, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ffprep.convert.units import Result, Unit, encode_unit
from ffprep.errors import OptionError
from ffprep.sources.base import Source

_AHEAD = 4  # units under way for each processor


def by_ray(source: Source, units: Iterator[Unit], workers: int) -> Iterator[list[Result]]:
    """Encodes units in Ray tasks and yields their results in order.

    The source travels to each node once; the nodes must see its files at the same paths. A task that dies with its node
    is run again by Ray. Connects to the cluster that ``ray.init`` or ``RAY_ADDRESS`` names, else starts one here with
    ``workers`` processors.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise OptionError("--engine ray needs Ray: pip install 'ffprep[ray]'") from None
    started = not ray.is_initialized()
    if started:
        _connect(ray, workers)
    pending: deque[Any] = deque()
    try:
        task = ray.remote(encode_unit)
        shared = ray.put(source)
        ahead = _AHEAD * max(workers, int(ray.cluster_resources().get("CPU", 1)))
        for unit in units:
            pending.append(task.remote(shared, unit))
            if len(pending) > ahead:
                yield ray.get(pending.popleft())
        while pending:
            yield ray.get(pending.popleft())
    finally:
        for reference in pending:
            ray.cancel(reference)
        if started:
            ray.shutdown()


def _connect(ray: Any, workers: int) -> None:
    try:
        ray.init(address="auto", log_to_driver=False)
    except ConnectionError:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
