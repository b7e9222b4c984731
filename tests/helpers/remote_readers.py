"""What tests ask of readers of remote files."""

from __future__ import annotations

from pathlib import Path

from ffprep.beton import Reader
from ffprep.remote.states import States


def same(reader: Reader, local: Path, samples: list[int]) -> bool:
    """Whether samples are those of the local file."""
    with Reader(local) as other:
        return all(reader.sample(i) == other.sample(i) for i in samples)


def states_of(reader: Reader) -> States:
    """The states of its pages, as they are on the disk."""
    assert reader.source is not None
    return States.open(reader.path.parent, reader.source.size)
