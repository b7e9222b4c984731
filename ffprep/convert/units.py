"""Units of work of a conversion: runs of consecutive samples, encoded by any worker and used in order.

Threads and Ray tasks encode the same units. Their results do not depend on how many work or on which finishes first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import xxhash

from ffprep.common.names import readable
from ffprep.common.workers.ordered import ordered_map, threads, threads_and_caller
from ffprep.errors import ConversionError, FfprepError
from ffprep.sources.base import Named, Source, StreamSource, Together, announce_samples, read_together

if TYPE_CHECKING:
    from ffprep.fields import Encoded, Field

UNIT = 16
"""Samples in a unit: enough that handing it over costs little, few enough that a unit of photographs is small."""

ANNOUNCED = 16
"""Units announced to a source at a time, so that it can work on all their samples together."""

TOGETHER = 1 << 24
"""Bytes of samples that are read before they are encoded together; more are at least one sample."""

_REFUSALS = (FfprepError, OSError)
"""Errors that are about one sample."""

IMAGE = 2
"""Type id of images."""


class SampleResult(NamedTuple):
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
        A hash of the sample's name, and of the metadata and checksums of its values; 0 when it was refused.
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
    error, which is fatal. ``stopped`` is called before each sample is read, and again before it is encoded; once it is
    true, the rest of the unit is dropped.
    """
    results: list[SampleResult] = []
    indices, fields = range(unit.start, unit.stop), source.fields
    together: Sequence[Together | None] = ()
    if unit.items is None:
        announce_samples(source, indices)
        together = read_together(source, indices, TOGETHER) if len(indices) > 1 else ()
    read = (_read(source, unit, index, ready) for index, ready in zip(indices, together or repeat(None), strict=False))
    for some in _together(read, stopped):
        for sample, ready in zip(some, _encode_together(fields, some), strict=True):
            if stopped():
                return results
            results.append(_encode(fields, sample, ready))
            if results[-1].fatal:
                return results
    if unit.broken is not None:
        results.append(_fatal(f"sample {unit.stop:,}", unit.broken))
    return results


class _Read(NamedTuple):
    """A sample that was read, or an error instead of its values; with the bytes of those that are bytes."""

    name: str
    values: Sequence[Any] | Exception
    sizes: Sequence[int] = ()
    stamp: int = 0


def _read(source: Source, unit: WorkUnit, index: int, ready: Together | None) -> _Read:
    name, stamp = f"sample {index:,}", 0
    try:
        if unit.items is not None:
            given, values = unit.items[index - unit.start]
            return _Read(readable(given), values, _sizes(values))
        name = readable(source.sample_name(index))
        if ready is not None:
            return _Read(name, ready.values, raw_sizes(ready.values), _stamp(ready.stamp))
        stamp = stamp_of(source, index)
        values = source.sample(index)
        return _Read(name, values, _sizes(values), stamp)
    except MemoryError:
        raise
    except Exception as error:
        return _Read(name, error, stamp=stamp)


def _together(read: Iterator[_Read], stopped: Callable[[], bool]) -> Iterator[list[_Read]]:
    """Read samples and yield as many at a time as `TOGETHER` allows, up to one whose error ends the unit."""
    some: list[_Read] = []
    size = 0
    while not stopped() and (sample := next(read, None)) is not None:
        some.append(sample)
        size += sum(sample.sizes)
        if isinstance(sample.values, Exception) and not isinstance(sample.values, _REFUSALS):
            break
        if size >= TOGETHER:
            yield some
            some, size = [], 0
    if some:
        yield some


def _encode_together(fields: Mapping[str, Field], some: Sequence[_Read]) -> list[Sequence[Encoded | None]]:
    """For each sample those of its values, in the order of the fields, that are encoded with those of the others."""
    fitting = [_fits(sample.values, fields) for sample in some]
    whole: list[Any] = [sample.values for sample, fits in zip(some, fitting, strict=True) if fits]
    columns = []
    for number, field in enumerate(fields.values()):
        try:
            column = field.encode_together([values[number] for values in whole]) if len(whole) > 1 else ()
        except (FfprepError, OSError):
            column = ()  # one by one, it is known whose it is
        columns.append(column or [None] * len(whole))
    rows = zip(*columns, strict=True)
    return [next(rows) if fits else () for fits in fitting]


def _encode(fields: Mapping[str, Field], sample: _Read, ready: Sequence[Encoded | None]) -> SampleResult:
    name, values, sizes, stamp = sample
    try:
        if isinstance(values, Exception):
            raise values
        encoded = encode_sample(fields, values, ready)
        for number, value in enumerate(encoded):
            if value.payload is not None and value.checksum is None:
                # Made here so that the writer need not.
                encoded[number] = replace(value, checksum=xxhash.xxh3_64_intdigest(value.payload))
        return SampleResult(name, encoded, sizes, None, False, stamp, _digest(name, encoded))
    except _REFUSALS as error:
        return SampleResult(name, (), (), error, stamp=stamp)
    except MemoryError:
        raise
    except Exception as error:
        return _fatal(name, error)


def stamp_of(source: Source, index: int) -> int:
    """A hash of the size and the time of the file that a sample has for itself; 0 for samples of archives and tables.

    A source whose samples have files of their own has a method ``stamp``, which returns both.
    """
    stamp = getattr(source, "stamp", None)
    try:
        found = stamp(index) if stamp is not None else None
    except OSError:  # reading the sample says what is wrong
        return 1
    return _stamp(found)


def _stamp(found: tuple[int, int] | None) -> int:
    return 0 if found is None else xxhash.xxh3_64_intdigest(b"%d %d" % found)


def _digest(name: str, encoded: Sequence[Encoded]) -> int:
    found = [name, *[" ".join(map(str, (*value.metadata, value.checksum))) for value in encoded]]
    return xxhash.xxh3_64_intdigest("\n".join(found).encode("utf-8", "surrogateescape"))


def _fatal(name: str, error: Exception) -> SampleResult:
    if isinstance(error, FfprepError):
        return SampleResult(name, (), (), error, fatal=True)
    wrapped = ConversionError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return SampleResult(name, (), (), wrapped, fatal=True)


def _fits(values: Any, fields: Mapping[str, Field]) -> TypeGuard[Sequence[Any]]:
    return isinstance(values, (tuple, list)) and len(values) == len(fields)


def encode_sample(
    fields: Mapping[str, Field], values: Sequence[Any], ready: Sequence[Encoded | None] = ()
) -> list[Encoded]:
    """Encode the values of a sample, but for those that are `ready`.

    Raises
    ------
    ConversionError
        A value does not fit its field. The message names the field, unless it is the only image field: then the
        sample's name says enough.
    """
    if not _fits(values, fields):
        kind = f"{len(values)} values" if isinstance(values, (tuple, list)) else type(values).__name__
        raise ConversionError(f"the source gave {kind} for the {len(fields)} fields {', '.join(fields)}")
    encoded = []
    for (name, field), value, done in zip(fields.items(), values, ready or repeat(None), strict=False):
        try:
            encoded.append(field.encode_any(value) if done is None else done)
        except ConversionError as error:
            text = str(error).removeprefix(f"{name}: ")
            single = sum(field.type_id == IMAGE for field in fields.values()) == 1
            raise ConversionError(text if single and field.type_id == IMAGE else f"{name}: {text}") from error
    return encoded


def raw_sizes(values: Sequence[Any]) -> list[int]:
    """Size of each value that is bytes or shared bytes, 0 for the others."""
    return [
        len(value) if type(value) is bytes or type(value) is memoryview else 0 if type(value) is int else _size(value)
        for value in values
    ]


def _size(value: Any) -> int:
    value = getattr(value, "value", value)
    return len(value) if isinstance(value, (bytes, bytearray, memoryview)) else 0


def _sizes(values: Any) -> list[int]:
    return raw_sizes(values) if isinstance(values, (tuple, list)) else []


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
    taken. The caller's thread is one of the workers, unless it has to wait for a stream.
    """
    stop = threading.Event()

    def encode(unit: WorkUnit) -> list[SampleResult]:
        return encode_unit(source, unit, stop.is_set)

    start = threads if hasattr(source, "stream") else threads_and_caller
    encoders = start(encode, workers, name="ffprep-encode", stop=stop)
    return ordered_map(encoders, _announced(source, units), ahead=2 * workers + 1)
