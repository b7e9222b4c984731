"""How a conversion by a cluster is made: in how many parts, and whether nodes can write these to their places."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ffprep.beton.sections import canonical_json
from ffprep.common.files.replacing import naming, write_file
from ffprep.convert.units import WorkUnit, encode_unit
from ffprep.errors import OptionError
from ffprep.sources.base import Source

PLAN = "parts.json"
"""The file of the plan, in the folder of parts."""

PART_BYTES = 1 << 27
FEWEST_PARTS, FEWEST_SAMPLES = 64, 64
"""Small data sets have so many parts, as long as each has so many samples."""
MOST_PARTS = 10_000
TRIED = 16
"""Samples that are encoded to learn how large they are."""


@dataclass(frozen=True)
class Plan:
    """How a conversion is made.

    Attributes
    ----------
    parts : int
        Their number.
    folder : str
        The name of the folder in which they lie.
    placed : bool
        Whether nodes write payloads to their places in one file, rather than files that are merged.
    """

    parts: int
    folder: str
    placed: bool

    def write(self, folder: Path) -> Plan:
        """Keep the plan in a folder."""
        write_file(folder / PLAN, canonical_json(vars(self)))
        return self


def plan_in(folder: Path, source: Source, total: int) -> Plan:
    """The plan of an earlier run, or one that is made now."""
    path = folder / PLAN
    try:
        with naming(path):
            found = json.loads(path.read_bytes())
        if not (1 <= found["parts"] <= MOST_PARTS and re.fullmatch("[0-9a-f]{16}", found["folder"])):
            raise ValueError
        return Plan(int(found["parts"]), found["folder"], found.get("placed") is True)
    except FileNotFoundError:
        return Plan(*_planned(source, total)).write(folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise OptionError(f"{path}: is damaged; --restart drops what is done and begins anew") from None


def _planned(source: Source, total: int) -> tuple[int, str, bool]:
    """How many parts a conversion is made in, and whether they can be placed: it depends on the source alone."""
    chosen = sorted({place * (total - 1) // max(1, TRIED - 1) for place in range(TRIED)})
    tried = [
        value
        for index in chosen
        for result in encode_unit(source, WorkUnit(index, index + 1))
        for value in result.encoded
    ]
    size = sum(memoryview(value.payload).nbytes for value in tried if value.payload is not None)
    by_size = total * size // len(chosen) // PART_BYTES
    count = int(max(1, min(max(by_size, min(FEWEST_PARTS, total // FEWEST_SAMPLES)), MOST_PARTS, total)))
    ours = not any(field.is_custom for field in source.fields.values())
    return count, secrets.token_hex(8), ours and all(value.key is None for value in tried)
