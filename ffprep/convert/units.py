"""The work of a conversion in units: runs of consecutive samples, encoded anywhere, used in order.

Local threads and Ray tasks do the same units; what they return is the same however many work and whichever is first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from ffprep.common.ordered import ordered_map, threads
from ffprep.errors import ConversionError, FfprepError
from ffprep.sources.base import Named, Source, StreamSource, announce_samples

if TYPE_CHECKING:
    from ffprep.fields import Encoded, Field

UNIT = 16
"""Samples in a unit: enough that handing it over costs nothing, few enough that a unit of photographs is small."""

ANNOUNCED = 16
"""Units that a source is told of at a time: it may work on all their samples together."""

IMAGE = 2
"""Type id of images."""


@dataclass(frozen=True)
class SampleResult:
    """What became of a sample.

    Attributes
    ----------
    name : str
        The source's name of it.
    encoded : sequence of Encoded
        One for each field; empty when the sample was refused.
    sizes : sequence of int
        Bytes of each raw value; 0 for what is not bytes.
    refusal : Exception or None
        Why it was refused.
    fatal : bool
        The refusal is no fault of the sample; it ends the unit and, whatever the policy, the conversion.
    """

    name: str
    encoded: Sequence[Encoded]
    sizes: Sequence[int]
    refusal: Exception | None = None
    fatal: bool = False


@dataclass(frozen=True)
class WorkUnit:
    """Samples ``start`` to ``stop - 1`` of a source; for a stream with their values, as they came.

    ``broken`` is what ended the stream behind them.
    """

    start: int
    stop: int
    items: Sequence[Named] | None = None
    broken: Exception | None = None


def units_of(source: Source | StreamSource, start: int, stop: int) -> Iterator[WorkUnit]:
    """Cuts samples ``start`` to ``stop - 1`` into units. A stream that ends early ends the units."""
    stream = getattr(source, "stream", None)
    if stream is None:
        for first in range(start, stop, UNIT):
            yield WorkUnit(first, min(first + UNIT, stop))
        return
    rows = iter(stream(start))
    for first in range(start, stop, UNIT):
        items, broken = _take(rows, min(UNIT, stop - first))
        if items or broken:
            yield WorkUnit(first, first + len(items), items, broken)
        if first + len(items) < min(first + UNIT, stop):
            return


def _take(rows: Iterator[Named], count: int) -> tuple[list[Named], Exception | None]:
    items: list[Named] = []
    try:
        for item in islice(rows, count):
            items.append(item)
    except MemoryError:
        raise
    except Exception as error:
        return items, error
    return items, None


def encode_unit(source: Source, unit: WorkUnit, stopped: Callable[[], bool] = lambda: False) -> list[SampleResult]:
    """Reads and encodes the samples of a unit.

    Refusals (the sample cannot be read, or its values do not fit) are results, and so is any other error, as a fatal
    one. ``stopped`` is asked before each sample.
    """
    results: list[SampleResult] = []
    if unit.items is None:
        announce_samples(source, range(unit.start, unit.stop))
    for index in range(unit.start, unit.stop):
        if stopped():
            break
        name = f"sample {index:,}"
        try:
            values: tuple[Any, ...] | Exception
            if unit.items is None:
                name = source.sample_name(index)
                values = source.sample(index)
            else:
                name, values = unit.items[index - unit.start]
            if isinstance(values, Exception):
                raise values
            results.append(SampleResult(name, encode_sample(source.fields, values), raw_sizes(values)))
        except (FfprepError, OSError) as error:
            results.append(SampleResult(name, (), (), error))
        except MemoryError:
            raise
        except Exception as error:
            results.append(_fatal(name, error))
            return results
    if unit.broken is not None:
        results.append(_fatal(f"sample {unit.stop:,}", unit.broken))
    return results


def _fatal(name: str, error: Exception) -> SampleResult:
    if isinstance(error, FfprepError):
        return SampleResult(name, (), (), error, fatal=True)
    wrapped = ConversionError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return SampleResult(name, (), (), wrapped, fatal=True)


def encode_sample(fields: Mapping[str, Field], values: Sequence[Any]) -> list[Encoded]:
    """Encodes the values of a sample.

    Raises
    ------
    ConversionError
        When a value does not fit its field, which the message names, unless it is the only image: what is wrong with a
        file's image needs no more than the file's name.
    """
    if not isinstance(values, (tuple, list)) or len(values) != len(fields):
        kind = f"{len(values)} values" if isinstance(values, (tuple, list)) else type(values).__name__
        raise ConversionError(f"the source gave {kind} for the {len(fields)} fields {', '.join(fields)}")
    encoded = []
    single = sum(field.type_id == IMAGE for field in fields.values()) == 1
    for (name, field), value in zip(fields.items(), values, strict=True):
        try:
            encoded.append(field.encode_any(value))
        except ConversionError as error:
            text = str(error).removeprefix(f"{name}: ")
            raise ConversionError(text if single and field.type_id == IMAGE else f"{name}: {text}") from error
    return encoded


def raw_sizes(values: Sequence[Any]) -> list[int]:
    """Bytes of each value that is bytes or shared bytes, 0 for the others."""
    plain = (getattr(value, "value", value) for value in values)
    return [len(value) if isinstance(value, (bytes, bytearray, memoryview)) else 0 for value in plain]


def _announced(source: Source, units: Iterator[WorkUnit]) -> Iterator[WorkUnit]:
    """The same units; the source is told of several of them at a time."""
    if not hasattr(source, "announce"):
        yield from units
        return
    while some := list(islice(units, ANNOUNCED)):
        announce_samples(source, range(some[0].start, some[-1].stop))
        yield from some


def by_threads(source: Source, units: Iterator[WorkUnit], workers: int) -> Generator[list[SampleResult], None, None]:
    """Encode units in threads and yield their results in order.

    Encoding mostly runs without the interpreter's lock (reading files, the JPEG kernel, Pillow), so threads are enough;
    they share the source's open files and caches. No more than ``2 * workers + 2`` units are under way or waiting to be
    taken.
    """
    stop = threading.Event()

    def encode(unit: WorkUnit) -> list[SampleResult]:
        return encode_unit(source, unit, stop.is_set)

    encoders = threads(encode, workers, name="ffprep-encode", stop=stop)
    return ordered_map(encoders, _announced(source, units), ahead=2 * workers + 1)
