"""The units of a conversion as tasks of a Ray cluster; the file is written by one process, in order.

For sources that can only be read in order, whose samples come from the driver anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

from ffprep.common.workers.cluster import connected
from ffprep.common.workers.ordered import Submit, ordered_map
from ffprep.convert.units import SampleResult, WorkUnit, encode_unit
from ffprep.errors import ConversionError, FfprepError, first_line
from ffprep.sources.base import Source

_AHEAD = 4  # units under way for each processor


def by_ray(
    source: Source, units: Iterator[WorkUnit], workers: int, address: str | None = None
) -> Generator[list[SampleResult], None, None]:
    """Encode units in Ray tasks and yield their results in order.

    The source travels to each node once, and each process of a worker unpickles it once; the nodes must see its files
    at the same paths. Ray runs a task again whose node died.
    """
    with connected(address, workers) as ray:
        ahead = _AHEAD * max(workers, int(ray.cluster_resources().get("CPU", 1)))
        yield from ordered_map(_tasks(ray, source), units, ahead)


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
                raise (error.cause if isinstance(error.cause, (FfprepError, OSError)) else error) from None
            except ray.exceptions.RayError as error:
                raise ConversionError(
                    f"{source.name}: samples {unit.start:,} to {unit.stop - 1:,}: Ray gave up their task "
                    f"({type(error).__name__}: {first_line(error).rstrip('.')}); the same command goes on from there"
                ) from error
            del pending[reference]
            return results

        return wait

    try:
        yield submit
    finally:
        for reference in pending:
            ray.cancel(reference)


_opened: dict[str, Source] = {}
"""The source of the conversion that this process of a worker takes part in."""


def _encode(shared: list[Any], unit: WorkUnit) -> list[SampleResult]:
    """Encode a unit in a task."""
    name = shared[0].hex()
    if name not in _opened:
        _opened.clear()
        ray: Any = import_module("ray")
        _opened[name] = ray.get(shared[0])
    return [on_its_own(result) for result in encode_unit(_opened[name], unit)]


def on_its_own(result: SampleResult) -> SampleResult:
    """The result with payloads that can be sent: memory that several share cannot."""
    if not any(isinstance(value.payload, memoryview) for value in result.encoded):
        return result
    encoded = [
        replace(value, payload=bytes(value.payload)) if isinstance(value.payload, memoryview) else value
        for value in result.encoded
    ]
    return replace(result, encoded=encoded)
