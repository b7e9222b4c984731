"""What a source is: a data set in the form it is published in, as numbered samples of raw values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ffprep.errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ffprep.fields import Field


class Source(Protocol):
    """A data set whose samples can be asked for by number, from several threads at a time.

    Attributes
    ----------
    name : str
        The data set, as commands and manifests call it.
    fields : Mapping[str, Field]
        Field names and encoders, in the order of a sample's values.
    """

    @property
    def name(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Field]: ...

    def __len__(self) -> int:
        """Number of samples; for a ``StreamSource`` the most that will come."""

    def sample(self, index: int) -> tuple[Any, ...]:
        """Raw values of a sample, one a field, as the fields' ``encode`` takes them.

        Raises
        ------
        SourceError, OSError
            When the sample cannot be read. It may be skipped then.
        """

    def sample_name(self, index: int) -> str:
        """Where the sample came from: a path inside the data set, one line, the same on every machine."""

    def manifest(self) -> dict[str, Any]:
        """Facts about the data set for the file's manifest: JSON values, no times, nothing of the machine."""


class AnnouncedSource(Source, Protocol):
    """A source that does part of its work for many samples at once."""

    def announce(self, indices: Sequence[int]) -> None:
        """Called with samples that are asked for soon, from any thread, maybe again for some of them.

        Raises nothing: ``sample`` does.
        """


class Named(NamedTuple):
    """A sample of a stream with its name; instead of values, why it cannot be read."""

    name: str
    values: tuple[Any, ...] | Exception


class StreamSource(Source, Protocol):
    """A data set that comes in order only, such as a download in progress; ``sample`` is not used."""

    def stream(self, start: int) -> Iterator[Named]:
        """Samples from number ``start`` on. Called from one thread.

        An error that is raised, unlike one given for a sample, ends the stream and the conversion.
        """


class Selection:
    """Some samples of a source, in a given order.

    Parameters
    ----------
    source : Source
        Where the samples come from.
    indices : Sequence[int] or ndarray of integers
        Their numbers there.
    facts : dict
        What the manifest says about the choice.
    """

    def __init__(self, source: Source, indices: Sequence[int] | npt.NDArray[np.int64], facts: dict[str, Any]) -> None:
        if hasattr(source, "stream"):
            raise OptionError(f"{source.name}: samples of a stream come in their own order only; convert a local copy")
        self.source = source
        self.indices = indices
        self.facts = facts

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def fields(self) -> Mapping[str, Field]:
        return self.source.fields

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int) -> tuple[Any, ...]:
        return self.source.sample(int(self.indices[index]))

    def announce(self, indices: Sequence[int]) -> None:
        announce_samples(self.source, [int(self.indices[index]) for index in indices])

    def sample_name(self, index: int) -> str:
        return self.source.sample_name(int(self.indices[index]))

    def manifest(self) -> dict[str, Any]:
        return {**self.source.manifest(), **self.facts}


def announce_samples(source: Source, indices: Sequence[int]) -> None:
    """Tell a source, if it wants to know, which samples are asked for soon."""
    announce = getattr(source, "announce", None)
    if announce is not None:
        announce(indices)


def shuffled(source: Source, seed: int) -> Selection:
    """All samples of a source in a random order that depends on ``seed`` and the number of samples alone.

    A loader shuffles every epoch anyway; a shuffled file helps readers that shuffle pages only (quasi-random order),
    since data sets come sorted by class.
    """
    import numpy as np

    order = np.random.Generator(np.random.Philox(seed)).permutation(len(source))
    return Selection(source, order, {"shuffle_seed": seed})
