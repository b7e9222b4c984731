"""Comparing every sample of a file with what its source says now: names, sizes, labels, tokens, pixels."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.beton.sections import clean_name
from ffprep.beton.verify import MAX_PROBLEMS, Problem, VerifyReport
from ffprep.beton.writing.conditions import differences
from ffprep.common.names import readable
from ffprep.common.workers.cpus import usable_cpus
from ffprep.common.workers.ordered import ordered_map, threads
from ffprep.convert.units import UNIT, encode_sample
from ffprep.errors import BetonError, DecodeError, FfprepError, JpegError, OptionError
from ffprep.fields import Encoded, Field, RGBImageField
from ffprep.fields.rgb_image import MODE_JPEG
from ffprep.jpeg import decode_planes
from ffprep.sources.base import Source, announce_samples
from ffprep.text.blocks.block_source import BlockSource

MEAN_BOUND, WORST_BOUND = 1.0, 24
"""How far pixels of an image that was encoded anew may be from those that the source gives now, of 255.

With the same versions of Pillow and its libraries they are equal; others may resize or round otherwise."""

LOSSLESS = ("kept", "rewritten", "transcoded")
"""What `RGBImageField` says it did where a JPEG's pixels are those of the file it was given."""

_FACTS = ("classes", "labels", "vocabulary")
_SHOWN = 40  # characters of a value in a message


def compare(
    reader: Reader,
    source: Source,
    report: VerifyReport,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Compare a file with its source sample by sample, and add the differences to a report.

    Samples are matched by their names. JPEGs that were stored without loss are decoded, and so are the files of the
    source: their pixels have to be equal. Images that were encoded anew may differ by `MEAN_BOUND` on average and by
    `WORST_BOUND` at one place. All other values have to be equal.

    Parameters
    ----------
    reader : Reader
        The file.
    source : Source
        As `reopened` opens it.
    report : VerifyReport
        Its ``problems`` grow by at most as many as fit, and ``checked`` by ``samples compared``.
    workers : int, optional
        Threads; by default one for each processor.
    progress : callable, optional
        Called with (samples compared, samples).

    Raises
    ------
    OptionError
        The source can only be read in order, or has other fields.
    """
    if hasattr(source, "stream"):
        raise OptionError(f"{source.name}: arrives in order only; give a local copy to compare with")
    if list(source.fields) != list(reader.fields):
        mine, theirs = ", ".join(reader.fields), ", ".join(source.fields)
        raise OptionError(f"{reader.path}: has the fields {mine}, the source {theirs}")
    count = workers or usable_cpus()
    found = _Differences(reader, source, report)
    found.facts()
    pairs = found.match()
    units = [pairs[start : start + UNIT] for start in range(0, len(pairs), UNIT)]
    done = 0
    comparers = threads(found.of_unit, count, name="ffprep-compare")
    with contextlib.closing(ordered_map(comparers, iter(units), ahead=2 * count + 1)) as results:
        for unit, problems in zip(units, results, strict=True):
            done += len(unit)
            report.checked["samples compared"] = done
            if not found.add(problems):
                return
            if progress is not None:
                progress(done, len(pairs))


class _Differences:
    """The differences between a file and its source."""

    def __init__(self, reader: Reader, source: Source, report: VerifyReport) -> None:
        self.reader = reader
        self.source = source
        self.report = report
        self.total = min(len(source), int((reader.manifest or {}).get("limit", len(source))))
        self.refused = int(((reader.manifest or {}).get("report") or {}).get("refused_count", 0))

    def add(self, problems: Sequence[Problem]) -> bool:
        """Add problems to the report; returns whether there is room for more."""
        room = MAX_PROBLEMS - len(self.report.problems)
        self.report.problems += problems[:room]
        if len(problems) > room:
            self.report.complete = False
        return self.report.complete

    def facts(self) -> None:
        """Compare what the manifest says of the data set as a whole."""
        before = (self.reader.manifest or {}).get("source", {})
        now = self.source.manifest()
        for name in _FACTS:
            if name in before:
                found = differences({name: before[name]}, {name: now.get(name)})
                self.add([Problem(f"the source: {text}") for text in found])

    def match(self) -> list[tuple[int, int]]:
        """Pair the samples of the file with those of the source, and report those that have no partner."""
        names = self.reader.sample_names()
        if names is None:
            shared = min(len(self.reader), self.total)
            if len(self.reader) != self.total:
                self.add([Problem(f"has {len(self.reader):,} samples, and the source {self.total:,}")])
            return [(row, row) for row in range(shared)]
        places: dict[tuple[str, int], int] = {}
        seen: Counter[str] = Counter()
        for index in range(self.total):
            name = clean_name(readable(self.source.sample_name(index))).decode("utf-8")
            places[name, seen[name]] = index
            seen[name] += 1
        rows: Counter[str] = Counter()
        pairs = []
        for row, name in enumerate(names):
            index = places.pop((name, rows[name]), -1)
            rows[name] += 1
            if index >= 0:
                pairs.append((row, index))
            elif not self.add([Problem("is not in the source", row, name)]):
                return []
        order = np.array([index for _, index in pairs])
        if (np.diff(order) < 0).any():
            row = pairs[int(np.flatnonzero(np.diff(order) < 0)[0]) + 1][0]
            text = "the samples are in another order than in the source, from this one on"
            self.add([Problem(text, row, names[row])])
        for index in places.values():
            if (problem := self._additional(index)) is not None and not self.add([problem]):
                return []
        return pairs

    def _additional(self, index: int) -> Problem | None:
        """A sample of the source that the file lacks; None for one that the conversion had to refuse."""
        try:
            encode_sample(self.source.fields, self.source.sample(index))
        except (FfprepError, OSError):
            if self.refused:
                return None
        return Problem(f"the source has {readable(self.source.sample_name(index))}, which is not in the file")

    def of_unit(self, pairs: Sequence[tuple[int, int]]) -> list[Problem]:
        """The differences of some samples."""
        announce_samples(self.source, [index for _, index in pairs])
        return [Problem(text, row, self._name(row)) for row, index in pairs for text in self._of_sample(row, index)]

    def _name(self, row: int) -> str:
        try:
            return self.reader.sample_name(row)
        except BetonError:
            return ""

    def _of_sample(self, row: int, index: int) -> Iterator[str]:
        try:
            values = self.source.sample(index)
            encoded = encode_sample(self.source.fields, values)
        except (FfprepError, OSError) as error:
            yield f"the source cannot be read any more: {' '.join(str(error).split())}"
            return
        for (name, field), value, fresh in zip(self.source.fields.items(), values, encoded, strict=True):
            try:
                text = self._of_value((row, index), name, field, getattr(value, "value", value), fresh)
            except (BetonError, DecodeError, JpegError) as error:
                text = f"cannot be compared: {error}"
            if text:
                yield f"field {name!r}: {text}"

    def _of_value(self, pair: tuple[int, int], name: str, field: Field, value: Any, fresh: Encoded) -> str:
        """Say in what a stored value differs from the source's; an empty string if it does not."""
        row, index = pair
        kind = field.metadata_type
        record = np.array(self.reader.column(name)[row], kind)
        wanted = np.array(fresh.metadata if kind.names else fresh.metadata[0], kind)
        payload = self.reader.payload(name, row) if field.pointer is not None else None
        now = np.frombuffer(bytes(fresh.payload or b""), np.uint8)
        if isinstance(field, RGBImageField):
            assert payload is not None
            return _image_difference(record, payload, wanted, now, value, fresh)
        if payload is None:
            return "" if record.tobytes() == wanted.tobytes() else f"was {record}, the source has {wanted}"
        if np.array_equal(payload, now):
            return ""
        stored, found = field.decode(record, payload), field.decode(wanted, now)
        inside = ""
        if name == "tokens" and isinstance(self.source, BlockSource):
            inside = self.source.unit_at(index, int(np.flatnonzero(np.ravel(stored != found))[0]))
        return _difference(stored, found) + (f" (in {inside})" if inside else "")


def _difference(stored: Any, now: Any) -> str:
    """Say where two values differ."""
    if isinstance(stored, np.ndarray) and isinstance(now, np.ndarray) and stored.shape == now.shape:
        places = np.argwhere(stored != now)
        first = tuple(places[0].tolist())
        place = ", ".join(map(str, first))
        more = f", and {len(places) - 1:,} more" if len(places) > 1 else ""
        return f"value [{place}] was {stored[first]}, the source has {now[first]}{more}"
    return f"was {_shown(stored)}, the source has {_shown(now)}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _image_difference(
    record: Any, payload: npt.NDArray[np.uint8], wanted: Any, now: npt.NDArray[np.uint8], value: Any, fresh: Encoded
) -> str:
    sides = [(int(one["width"]), int(one["height"])) for one in (record, wanted)]
    if sides[0] != sides[1]:
        (width, height), (other, high) = sides
        return f"was {width}x{height}, the source has {other}x{high}"
    if record["mode"] != wanted["mode"]:
        return "is stored in another mode than the source's image would be"
    if record["mode"] != MODE_JPEG:
        return "" if np.array_equal(payload, now) else _pixels(payload.astype(np.int16), now.astype(np.int16), 0, 0)
    if fresh.note is not None and fresh.note[0] in LOSSLESS:
        original = value if isinstance(value, (bytes, bytearray)) else bytes(now)
        if payload.tobytes() == original:
            return ""
        return _planes_difference(payload.tobytes(), bytes(original), now.tobytes())
    if np.array_equal(payload, now):
        return ""
    return _pixels(_decoded(payload), _decoded(now), MEAN_BOUND, WORST_BOUND)


def _planes_difference(payload: bytes, original: bytes, now: bytes) -> str:
    try:
        planes = decode_planes(original)
    except JpegError:  # odd but whole: the conversion puts such a file right before it stores it
        planes = decode_planes(now)
    stored = decode_planes(payload)
    if len(planes) != len(stored):
        return f"has {len(stored)} components, the source {len(planes)}"
    for mine, theirs in zip(stored, planes, strict=True):
        if text := _pixels(mine.samples.astype(np.int16), theirs.samples.astype(np.int16), 0, 0):
            return text
    return ""


def _decoded(payload: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(payload.tobytes())).convert("RGB"), np.int16)


def _pixels(stored: npt.NDArray[np.int16], now: npt.NDArray[np.int16], mean: float, worst: int) -> str:
    if stored.shape != now.shape:
        return f"has pixels of shape {stored.shape}, the source {now.shape}"
    apart = np.abs(stored - now)
    average, most = float(apart.mean()), int(apart.max())
    if average <= mean and most <= worst:
        return ""
    return f"other pixels than the source: {average:.2f} of 255 apart on average, {most} at most"
