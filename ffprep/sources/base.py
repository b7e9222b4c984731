"""What a source is: a data set in its published form, as numbered samples of raw values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError

if TYPE_CHECKING:
    from ffprep.fields import Field
    from ffprep.sources.reading.left_out import LeftOut


class Source(Protocol):
    """A data set whose samples can be read by number, from several threads at a time.

    A source that does part of its work for many samples at once may also have a method ``announce``; see
    `announce_samples`. One may have ``notes``, a list of str that commands show before the work begins.
    One whose samples have files of their own has a method ``stamp``, by which a conversion that
    goes on notices changed ones: it returns a file's size in bytes and its time in nanoseconds, or None.
    One that reads several samples in less time than one by one has a method ``read_together``; see `read_together`.
    One that leaves bad rows out when it is opened has them in ``left_out``, a ``LeftOut``.

    Attributes
    ----------
    name : str
        Name of the data set in commands and manifests.
    fields : Mapping[str, Field]
        Names and encoders of the fields, in the order of a sample's values.
    """

    @property
    def name(self) -> str: ...

    @property
    def fields(self) -> Mapping[str, Field]: ...

    def __len__(self) -> int:
        """Number of samples; for a ``StreamSource`` the most that may come."""

    def sample(self, index: int) -> tuple[Any, ...]:
        """Raw values of a sample, one for each field, as the field's ``encode`` takes them.

        Raises
        ------
        SourceError, OSError
            When this sample cannot be read; others may still be.
        """

    def sample_name(self, index: int) -> str:
        """Where the sample comes from: a path within the data set, on one line, the same on every machine."""

    def manifest(self) -> dict[str, Any]:
        """Facts about the data set for the file's manifest, as JSON values that do not depend on time or machine."""


class Named(NamedTuple):
    """A sample of a stream: its name, and its values or the reason why it cannot be read."""

    name: str
    values: tuple[Any, ...] | Exception


class Together(NamedTuple):
    """A sample that was read with others: its values, and what the source's ``stamp`` gives for it."""

    values: tuple[Any, ...]
    stamp: tuple[int, int] | None


class StreamSource(Source, Protocol):
    """A data set that can only be read in order, such as a download in progress; ``sample`` is not used."""

    def stream(self, start: int) -> Iterator[Named]:
        """The samples from number ``start`` on. Called from one thread only.

        An error that is raised, rather than yielded in place of a sample, ends the stream and the conversion.
        """


class Selection:
    """Some samples of a source, in a given order.

    Parameters
    ----------
    source : Source
        The source of the samples.
    indices : Sequence[int] or ndarray of integers
        Numbers of the samples in that source.
    facts : dict
        What the manifest records about the choice.
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

    @property
    def left_out(self) -> LeftOut | None:
        return getattr(self.source, "left_out", None)

    def announce(self, indices: Sequence[int]) -> None:
        announce_samples(self.source, [int(self.indices[index]) for index in indices])

    def read_together(self, indices: Sequence[int], most: int) -> Sequence[Together | None]:
        return read_together(self.source, [int(self.indices[index]) for index in indices], most)

    def sample_name(self, index: int) -> str:
        return self.source.sample_name(int(self.indices[index]))

    def stamp(self, index: int) -> tuple[int, int] | None:
        stamp = getattr(self.source, "stamp", None)
        return None if stamp is None else stamp(int(self.indices[index]))

    def manifest(self) -> dict[str, Any]:
        return {**self.source.manifest(), **self.facts}


def announce_samples(source: Source, indices: Sequence[int]) -> None:
    """Tell a source which samples will be read soon, if it has a method ``announce``.

    A source may then do part of the work for all of them at once. Its ``announce`` may be called from any thread, and
    again for the same samples. It raises nothing; ``sample`` does.
    """
    announce = getattr(source, "announce", None)
    if announce is not None:
        announce(indices)


def read_together(source: Source, indices: Sequence[int], most: int) -> Sequence[Together | None]:
    """Read several samples, of `most` bytes together, if the source has a method ``read_together`` for it.

    Values that are bytes may be views of memory, which is used again when no view of it is left. The method may be
    called from any thread. It raises nothing: a sample is None that ``sample`` is to read, and to tell what is wrong.
    """
    together = getattr(source, "read_together", None)
    return [None] * len(indices) if together is None else together(indices, most)


def shuffled(source: Source, seed: int) -> Selection:
    """All samples of a source in a random order, which depends only on ``seed`` and the number of samples.

    A loader shuffles in every epoch anyway. A shuffled file helps readers that shuffle only pages (quasi-random order),
    since data sets are published sorted by class.
    """
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(source))
    return Selection(source, order, {"shuffle_seed": seed})
