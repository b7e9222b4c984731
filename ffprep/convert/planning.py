"""Estimating a conversion by encoding a few of its samples: bytes, time, and whether the disk has room."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ffprep.common.formatting import duration_text, size_text
from ffprep.convert.units import SampleResult, encode_unit, units_of
from ffprep.errors import SourceError
from ffprep.sources.base import Source

RUNS = 8
_TABLE_ROW = 24  # bytes of the allocation table for each payload


@dataclass(frozen=True)
class ConversionPlan:
    """Estimates of a conversion.

    Attributes
    ----------
    samples : int
        Samples of the source, or the limit.
    bytes_in, bytes_out : int
        Estimated size of the source's encoded values, and of the file.
    seconds : float
        Estimated time to encode on ``workers`` processors like this one; reading from a slow disk may take longer.
    free : int
        Free bytes on the disk of the file.
    tried : int
        Samples that were encoded for the estimate.
    actions : dict
        Share of the tried samples for each field, action and reason.
    refused : int
        Tried samples that cannot be converted.
    """

    samples: int
    bytes_in: int
    bytes_out: int
    seconds: float
    workers: int
    free: int
    tried: int
    actions: dict[str, float]
    refused: int

    @property
    def fits(self) -> bool:
        """Whether the disk has room for the file."""
        return self.bytes_out <= self.free

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {**self.__dict__, "seconds": round(self.seconds, 1), "fits": self.fits}

    def table(self) -> str:
        """The plan as text for the screen."""
        per_sample = self.bytes_out / self.samples
        lines = [
            f"  samples        {self.samples:,}",
            f"  source         {size_text(self.bytes_in)}",
            f"  file           {size_text(self.bytes_out)} ({size_text(per_sample)} a sample)",
            f"  free there     {size_text(self.free)}{'' if self.fits else ': NOT ENOUGH'}",
            f"  time           {duration_text(self.seconds)} with {self.workers} worker{'s' * (self.workers != 1)}, "
            f"{self.samples / self.seconds:,.0f} samples/s, if the disk keeps up",
        ]
        lines.extend(f"  {100 * share:5.1f} %        {what}" for what, share in sorted(self.actions.items()))
        if self.refused:
            lines.append(f"  {self.refused} of the {self.tried} samples tried cannot be converted")
        return "\n".join(lines)


def plan_conversion(source: Source, out: Path, *, limit: int | None = None, workers: int = 1) -> ConversionPlan:
    """Encode some runs of consecutive samples, spread over the source, and extrapolate.

    Parameters
    ----------
    source : Source
        The source to convert.
    out : Path
        The file that would be made.
    limit, workers : int
        As in ``convert``.
    """
    total = len(source) if limit is None else min(limit, len(source))
    if total == 0:
        raise SourceError(f"{source.name}: the source has no samples")
    if not hasattr(source, "stream"):
        _try_some(source, total)  # a first time, so that files are cached and shared row groups are read already
    begun = time.perf_counter()
    results = _try_some(source, total)
    elapsed = time.perf_counter() - begun
    tried = sum(len(run) for run in results)
    raw: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    rows = refused = good = 0
    actions: Counter[str] = Counter()
    for run in results:
        keys: dict[str, Any] = {}
        for result in run:
            if result.refusal is not None:
                refused += 1
                continue
            good += 1
            for name, value, size in zip(source.fields, result.encoded, result.sizes, strict=True):
                rows += value.payload is not None
                if value.note is not None:
                    actions[" ".join((name, *value.note))] += 1
                if value.key is not None and keys.get(name, ...) == value.key:
                    continue
                keys[name] = value.key
                raw[name] += size
                stored[name] += memoryview(value.payload).nbytes if value.payload is not None else 0
    if not good:
        raise next(result.refusal for run in results for result in run if result.refusal is not None)
    size_in, payload = _extrapolate(source, total, good, raw, stored)
    record = sum(field.metadata_type.itemsize + 8 for field in source.fields.values())
    return ConversionPlan(
        samples=total,
        bytes_in=round(size_in),
        bytes_out=round(payload + total * (record + rows / good * _TABLE_ROW)),
        seconds=max(1e-9, elapsed / tried * total / workers),
        workers=workers,
        free=shutil.disk_usage(existing_folder(out.absolute().parent)).free,
        tried=tried,
        actions={what: count / good for what, count in actions.items()},
        refused=refused,
    )


def _extrapolate(source: Source, total: int, good: int, raw: Counter[str], stored: Counter[str]) -> tuple[float, float]:
    """Estimate the bytes of the source and of the file from those of the samples tried.

    A source may know better: ``size_estimate()`` gives the bytes of all its values, and ``field_bytes()`` those of some
    fields, with values that several samples share counted once.
    """
    known = source.field_bytes() if hasattr(source, "field_bytes") else {}
    part = total / len(source)
    size_in = payload = 0.0
    for name in source.fields:
        whole = known[name] * part if name in known else raw[name] / good * total
        size_in += whole
        payload += stored[name] * (whole / raw[name] if name in known and raw[name] else total / good)
    if hasattr(source, "size_estimate") and size_in:
        estimate = source.size_estimate() * part
        return estimate, payload * estimate / size_in
    return size_in, payload


def _try_some(source: Source, total: int) -> list[list[SampleResult]]:
    """Encode some units: spread over the source, or the first ones of a stream."""
    units = units_of(source, 0, total)
    if hasattr(source, "stream"):
        return [encode_unit(source, unit) for unit in islice(units, RUNS)]
    listed = list(units)
    chosen = sorted({i * (len(listed) - 1) // max(1, RUNS - 1) for i in range(RUNS)})
    return [encode_unit(source, listed[i]) for i in chosen]


def existing_folder(folder: Path) -> Path:
    """The folder, or its closest parent that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder
