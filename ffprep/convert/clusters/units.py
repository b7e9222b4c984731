"""The units of a conversion as tasks of a Ray cluster; the file is written by one process, in order.

For sources that can only be read in order, whose samples come from the driver anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

from ffprep.common.workers.cluster import Tasks, await_processors, connected
from ffprep.common.workers.ordered import Submit, ordered_map
from ffprep.convert.units import SampleResult, WorkUnit, encode_unit
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
        await_processors(ray)
        ahead = _AHEAD * max(workers, int(ray.cluster_resources().get("CPU", 1)))
        yield from ordered_map(_tasks(ray, source), units, ahead)


@contextlib.contextmanager
def _tasks(ray: Any, source: Source) -> Iterator[Submit[WorkUnit, list[SampleResult]]]:
    """Ray tasks as the workers of `ordered_map`. Those whose results were not taken are cancelled at the end."""
    tasks = Tasks(ray, encode_alone, source, None)
    tasks.check_nodes()
    pending: dict[Any, None] = {}

    def submit(unit: WorkUnit) -> Callable[[], list[SampleResult]]:
        reference = tasks.start(unit)
        pending[reference] = None

        def wait() -> list[SampleResult]:
            results: list[SampleResult] = tasks.take(
                reference, lambda: f"{source.name}: samples {unit.start:,} to {unit.stop - 1:,}"
            )
            del pending[reference]
            return results

        return wait

    try:
        yield submit
    finally:
        tasks.cancel(pending)


def encode_alone(source: Source, unit: WorkUnit) -> list[SampleResult]:
    """Encode a unit in a task, to results that can be sent."""
    return [on_its_own(result) for result in encode_unit(source, unit)]


def on_its_own(result: SampleResult) -> SampleResult:
    """The result with payloads that can be sent: memory that several share cannot."""
    if not any(isinstance(value.payload, memoryview) for value in result.encoded):
        return result
    encoded = [
        replace(value, payload=bytes(value.payload)) if isinstance(value.payload, memoryview) else value
        for value in result.encoded
    ]
    return result._replace(encoded=encoded)
