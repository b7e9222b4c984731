"""Units of work of a conversion: runs of consecutive samples, encoded by any worker and used in order.

Threads and Ray tasks encode the same units. Their results do not depend on how many work or on which finishes first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import xxhash

from ffprep.common.names import readable
from ffprep.common.workers.ordered import ordered_map, threads
from ffprep.errors import ConversionError, FfprepError
from ffprep.sources.base import Named, Source, StreamSource, announce_samples

if TYPE_CHECKING:
    from ffprep.fields import Encoded, Field

UNIT = 16
"""Samples in a unit: enough that handing it over costs little, few enough that a unit of photographs is small."""

ANNOUNCED = 16
"""Units announced to a source at a time, so that it can work on all their samples together."""

IMAGE = 2
"""Type id of images."""


@dataclass(frozen=True)
class SampleResult:
    """The result of encoding a sample.

    Attributes
    ----------
    name : str
        Its name in the source.
    encoded : sequence of Encoded
        One for each field; empty when the sample was refused.
    sizes : sequence of int
        Bytes of each raw value; 0 for values that are not bytes.
    refusal : Exception or None
        Why the sample was refused.
    fatal : bool
        Whether the error is not the sample's fault. It then ends the unit and, whatever the policy, the conversion.
    stamp : int
        As from `stamp_of`, before the sample was read.
    digest : int
        A hash of the sample's name and encoded values; 0 when it was refused.
    """

    name: str
    encoded: Sequence[Encoded]
    sizes: Sequence[int]
    refusal: Exception | None = None
    fatal: bool = False
    stamp: int = 0
    digest: int = 0


@dataclass(frozen=True)
class WorkUnit:
    """Samples ``start`` to ``stop - 1`` of a source.

    Attributes
    ----------
    start, stop : int
    items : sequence of Named, optional
        The samples themselves, if they were read from a stream.
    broken : Exception, optional
        The error that ended the stream after these samples.
    """

    start: int
    stop: int
    items: Sequence[Named] | None = None
    broken: Exception | None = None


def units_of(source: Source | StreamSource, start: int, stop: int) -> Iterator[WorkUnit]:
    """Cut samples ``start`` to ``stop - 1`` into units. If a stream ends early, so do its units."""
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
    """Read and encode the samples of a unit.

    A refusal (the sample cannot be read, or its values do not fit the fields) becomes a result, and so does any other
    error, which is fatal. ``stopped`` is called before each sample; once it is true, the rest of the unit is dropped.
    """
    results: list[SampleResult] = []
    if unit.items is None:
        announce_samples(source, range(unit.start, unit.stop))
    for index in range(unit.start, unit.stop):
        if stopped():
            break
        name = f"sample {index:,}"
        stamp = 0
        try:
            values: tuple[Any, ...] | Exception
            if unit.items is None:
                name = readable(source.sample_name(index))
                stamp = stamp_of(source, index)
                values = source.sample(index)
            else:
                name, values = unit.items[index - unit.start]
                name = readable(name)
            if isinstance(values, Exception):
                raise values
            encoded = encode_sample(source.fields, values)
            digest = _digest(name, encoded)
            results.append(SampleResult(name, encoded, raw_sizes(values), stamp=stamp, digest=digest))
        except (FfprepError, OSError) as error:
            results.append(SampleResult(name, (), (), error, stamp=stamp))
        except MemoryError:
            raise
        except Exception as error:
            results.append(_fatal(name, error))
            return results
    if unit.broken is not None:
        results.append(_fatal(f"sample {unit.stop:,}", unit.broken))
    return results


def stamp_of(source: Source, index: int) -> int:
    """A hash of the size and the time of the file that a sample has for itself; 0 for samples of archives and tables.

    A source whose samples have files of their own has a method ``stamp``, which returns both.
    """
    stamp = getattr(source, "stamp", None)
    try:
        found = stamp(index) if stamp is not None else None
    except OSError:  # reading the sample says what is wrong
        return 1
    return 0 if found is None else xxhash.xxh3_64_intdigest(b"%d %d" % found)


def _digest(name: str, encoded: Sequence[Encoded]) -> int:
    found = xxhash.xxh3_64(name.encode("utf-8", "surrogateescape"))
    for value in encoded:
        found.update(" ".join(map(str, value.metadata)).encode())
        if value.payload is not None:
            found.update(memoryview(value.payload).cast("B"))
    return found.intdigest()


def _fatal(name: str, error: Exception) -> SampleResult:
    if isinstance(error, FfprepError):
        return SampleResult(name, (), (), error, fatal=True)
    wrapped = ConversionError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return SampleResult(name, (), (), wrapped, fatal=True)


def encode_sample(fields: Mapping[str, Field], values: Sequence[Any]) -> list[Encoded]:
    """Encode the values of a sample.

    Raises
    ------
    ConversionError
        A value does not fit its field. The message names the field, unless it is the only image field: then the
        sample's name says enough.
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
    """Size of each value that is bytes or shared bytes, 0 for the others."""
    plain = (getattr(value, "value", value) for value in values)
    return [len(value) if isinstance(value, (bytes, bytearray, memoryview)) else 0 for value in plain]


def _announced(source: Source, units: Iterator[WorkUnit]) -> Iterator[WorkUnit]:
    """Pass units on, announcing several of them at a time to the source."""
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
