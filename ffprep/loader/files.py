"""One file or several as one row of samples, numbered through: the first file's, then the second's, and so on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import find_index
from ffprep.errors import OptionError
from ffprep.fields import Field, NDArrayField
from ffprep.fields.decoders import CaptionDecoder, Decoder
from ffprep.text.blocks.blocks import source_facts

if TYPE_CHECKING:
    from ffprep.text.tokens.vocabulary import Vocabulary

Ids = npt.NDArray[np.int64]


class Files:
    """Files whose samples a loader takes together.

    Parameters
    ----------
    readers : sequence of Reader
        At least one.

    Attributes
    ----------
    readers : list of Reader
    starts : ndarray of int64, shape (files + 1,)
        Number of each file's first sample, and the number of all samples.
    fields : dict of str to Field
        Of all files; where several have a name, the first of these.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self.readers = list(readers)
        self.starts: Ids = np.cumsum([0, *(reader.num_samples for reader in readers)], dtype=np.int64)
        self.fields: dict[str, Field] = {}
        for reader in readers:
            for name, field in reader.fields.items():
                self.fields.setdefault(name, field)
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.readers)

    @property
    def num_samples(self) -> int:
        """Samples of all files."""
        return int(self.starts[-1])

    def __str__(self) -> str:
        more = len(self.readers) - 1
        return f"{self.readers[0].path}{f' and {more} more' if more else ''}"

    def file_of(self, samples: Ids) -> Ids:
        """Which file each sample is of."""
        files: Ids = np.searchsorted(self.starts, samples, side="right") - 1
        return files

    def split(self, samples: Ids) -> list[Ids]:
        """The samples of each file, in their order."""
        files = self.file_of(samples)
        return [samples[files == f] for f in range(len(self.readers))]

    def local(self, parts: Sequence[Ids]) -> list[Ids]:
        """Parts that `split` made, numbered from each file's own first sample."""
        return [part - start for part, start in zip(parts, self.starts[:-1], strict=True)]

    def where(self, sample: int) -> str:
        """File and sample for a message: the sample's number is that in its own file."""
        file = int(self.file_of(np.array([sample]))[0])
        reader = self.readers[file]
        return f"{reader.path}: {reader.sample_label(sample - int(self.starts[file]))}"

    def column(self, name: str) -> npt.NDArray[Any]:
        """Metadata of a field, of all files; of several files a copy."""
        if len(self.readers) == 1:
            return self.readers[0].column(name)
        if name not in self._columns:
            self._columns[name] = np.concatenate([reader.column(name) for reader in self.readers])
        return self._columns[name]

    def check(self, output: str, source: str, decoder: Decoder | None) -> None:
        """See that a field is the same in all files, as far as its decoder needs it to be.

        Raises
        ------
        OptionError
            It differs, or tokens are numbered differently; the message names both files.
        """
        first = self.readers[0]
        if source == "tokens" and len(self.readers) > 1:
            self.vocabulary()
        for reader in self.readers[1:]:
            lacking = next((one for one in (first, reader) if source not in one.fields), None)
            if lacking is not None:
                having = reader if lacking is first else first
                if source not in having.fields:
                    continue
                raise OptionError(
                    f"{having.path} has a field {source!r} and {lacking.path} has none; leave it out with "
                    f"pipelines={{{output!r}: None}}"
                )
            if isinstance(decoder, CaptionDecoder):
                continue
            a, b = first.fields[source], reader.fields[source]
            if _form(a) != _form(b):
                decoders = {"tokens": "CaptionTokensDecoder", "length": "CaptionLengthDecoder"}
                advice = f"; {decoders[source]} brings captions to one form" if source in decoders else ""
                raise OptionError(
                    f"field {source!r} is {_form(a)} in {first.path} and {_form(b)} in {reader.path}{advice}"
                )

    def vocabulary(self) -> Vocabulary | None:
        """How the tokens are numbered; None where no file says.

        Raises
        ------
        OptionError
            Two files number them differently.
        """
        from ffprep.text.tokens.vocabulary import from_manifest

        first: tuple[Reader, Vocabulary] | None = None
        for reader in self.readers:
            record = source_facts(reader).get("vocabulary")
            if record is None:
                continue
            found = from_manifest(record)
            if first is None:
                first = reader, found
            elif not first[1].same_as(found):
                raise OptionError(
                    f"the tokens of {first[0].path} are numbered as {first[1].kind} ({first[1].size:,} ids), those of "
                    f"{reader.path} as {found.kind} ({found.size:,}); convert both with the same --tokens"
                )
        return None if first is None else first[1]

    def close(self) -> None:
        """Let go of all files."""
        self._columns.clear()
        for reader in self.readers:
            reader.close()


def _form(field: Field) -> str:
    if isinstance(field, NDArrayField):
        return f"{type(field).__name__} {np.dtype(field.dtype).name}{tuple(int(n) for n in field.shape)}"
    return type(field).__name__


def open_files(
    paths: str | Sequence[str],
    custom_fields: Mapping[str, type[Any]] | None = None,
    reader: type[Reader] = Reader,
    index: Any = False,
) -> Files:
    """Open files with their seek indexes; of several, those that are open are closed when one cannot be.

    Raises
    ------
    OptionError
        There is no path, or several and one index.
    BetonError
        A file cannot be used.
    """
    if not paths:
        raise OptionError("no file is given")
    if not isinstance(paths, str) and len(paths) > 1 and not isinstance(index, (bool, type(None))):
        raise OptionError("index is one path, and there are several files; their own are found by index=None")
    readers: list[Reader] = []
    try:
        for path in [paths] if isinstance(paths, str) else paths:
            readers.append(reader(path, custom_fields))
            readers[-1].seek_index = find_index(readers[-1], index)
        return Files(readers)
    except BaseException:
        for opened in readers:
            opened.close()
        raise
