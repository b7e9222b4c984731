"""The units of a conversion as tasks of a Ray cluster; the file is still written by one process, in order."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from typing import Any

from ffprep.common.ordered import Submit, ordered_map
from ffprep.convert.units import SampleResult, WorkUnit, encode_unit
from ffprep.errors import ConversionError, FfprepError, OptionError
from ffprep.sources.base import Source

_AHEAD = 4  # units under way for each processor


def by_ray(source: Source, units: Iterator[WorkUnit], workers: int) -> Generator[list[SampleResult], None, None]:
    """Encode units in Ray tasks and yield their results in order.

    The source travels to each node once, and each process of a worker unpickles it once; the nodes must see its files
    at the same paths. Ray runs a task again whose node died. Connects to the cluster that ``ray.init`` or
    ``RAY_ADDRESS`` names, or else starts one on this machine with ``workers`` processors.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise OptionError("--engine ray needs Ray: pip install 'ffprep[ray]'") from None
    with _connected(ray, workers):
        ahead = _AHEAD * max(workers, int(ray.cluster_resources().get("CPU", 1)))
        yield from ordered_map(_tasks(ray, source), units, ahead)


@contextlib.contextmanager
def _connected(ray: Any, workers: int) -> Iterator[None]:
    """A connection to a cluster. It ends here if it began here."""
    if ray.is_initialized():
        yield
        return
    try:
        try:
            ray.init(address="auto", log_to_driver=False)
        except ConnectionError:
            if os.environ.get("RAY_ADDRESS"):
                raise
            ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    except Exception as error:  # Ray raises plain ones
        asked = os.environ.get("RAY_ADDRESS")
        what = f"the cluster that RAY_ADDRESS names ({asked}) does not answer" if asked else "no cluster can be started"
        raise ConversionError(f"--engine ray: {what}: {_line(error)}; --engine local needs none") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _tasks(ray: Any, source: Source) -> Iterator[Submit[WorkUnit, list[SampleResult]]]:
    """Ray tasks as the workers of `ordered_map`. Those whose results were not taken are cancelled at the end.

    Ray would unpickle an object that is an argument again for every task, which takes longer than a unit if the source
    lists a million names. Inside a list it stays a reference, and each process of a worker gets the source once.
    """
    task = ray.remote(_encode)
    shared = [ray.put(source)]
    pending: dict[Any, None] = {}

    def submit(unit: WorkUnit) -> Callable[[], list[SampleResult]]:
        reference = task.remote(shared, unit)
        pending[reference] = None

        def wait() -> list[SampleResult]:
            try:
                results: list[SampleResult] = ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, FfprepError) else error) from None
            except ray.exceptions.RayError as error:
                raise ConversionError(
                    f"{source.name}: samples {unit.start:,} to {unit.stop - 1:,}: Ray gave up their task "
                    f"({type(error).__name__}: {_line(error)}); the same command goes on from there"
                ) from error
            del pending[reference]
            return results

        return wait

    try:
        yield submit
    finally:
        for reference in pending:
            ray.cancel(reference)


def _line(error: BaseException) -> str:
    """An error's first line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


_opened: dict[str, Source] = {}
"""The source of the conversion that this process of a worker takes part in."""


def _encode(shared: list[Any], unit: WorkUnit) -> list[SampleResult]:
    """Encode a unit in a task."""
    name = shared[0].hex()
    if name not in _opened:
        _opened.clear()
        ray: Any = import_module("ray")
        _opened[name] = ray.get(shared[0])
    return encode_unit(_opened[name], unit)
