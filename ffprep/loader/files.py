"""One file or several as one sequence of samples: those of the first file, then those of the second, and so on."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.checksums import check_tables
from ffprep.beton.reader import Reader
from ffprep.beton.seek_index import find_index
from ffprep.beton.sets import Place, SetFile, each_opened, files_of
from ffprep.errors import OptionError
from ffprep.fields import ArrayImageField, Field, MaskField, NDArrayField, VariableArrayField
from ffprep.fields.decoders import CaptionDecoder, Decoder
from ffprep.loader.checks import Checks
from ffprep.loader.watch import PAUSE, FileWatch
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import Vocabulary, from_manifest

Ids = npt.NDArray[np.int64]
"""Sample numbers, or positions in an epoch."""


class Files:
    """The open files of a loader. Their samples are numbered over all files.

    Parameters
    ----------
    readers : sequence of Reader
        At least one.
    checks : Checks, optional
        What payloads are compared with when they are read; by default with nothing.

    Attributes
    ----------
    readers : list of Reader
    starts : ndarray of int64, shape (files + 1,)
        Number of each file's first sample, and the number of all samples.
    fields : dict of str to Field
        Fields of all files. Where several files have a field of one name, that of the first such file.
    remote : bool
        Whether one of them is in a store.
    tables : dict
        What the engine noted of all files, so that it need not do so in every epoch.
    """

    def __init__(self, readers: Sequence[Reader], checks: Checks | None = None) -> None:
        self.readers = list(readers)
        self.checks = checks or Checks("off")
        self.watch = FileWatch(self.readers, self.checks)
        self.remote = any(reader.source is not None for reader in self.readers)
        self.starts: Ids = np.cumsum([0, *(reader.num_samples for reader in readers)], dtype=np.int64)
        self.fields: dict[str, Field] = {}
        for reader in readers:
            for name, field in reader.fields.items():
                self.fields.setdefault(name, field)
        self.tables: dict[Hashable, Any] = {}
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.readers)

    @property
    def num_samples(self) -> int:
        """Number of samples in all files."""
        return int(self.starts[-1])

    def __str__(self) -> str:
        more = len(self.readers) - 1
        first = self.readers[0]
        place = first.path if first.source is None else first.source.url
        return f"{place}{f' and {more} more' if more else ''}"

    def look(self, samples: Ids) -> None:
        """Look whether the files that samples lie in are what they were; see `FileWatch.look`."""
        if len(self.readers) == 1:
            self.watch.look((0,))
        else:
            self.watch.look(np.unique(self.file_of(samples)).tolist(), PAUSE)

    def only_reader(self) -> Reader:
        """Return the file, if there is only one.

        Raises
        ------
        OptionError
            There are several.
        """
        if len(self) > 1:
            raise OptionError(f"the loader of {self} has several readers; take them from files.readers")
        return self.readers[0]

    def file_of(self, samples: Ids) -> Ids:
        """Return the index of the file that each sample belongs to, int64."""
        files: Ids = np.searchsorted(self.starts, samples, side="right") - 1
        return files

    def split(self, samples: Ids) -> list[Ids]:
        """Return the samples that belong to each file, in the order given."""
        if len(self.readers) == 1:
            return [samples]
        files = self.file_of(samples)
        order = np.argsort(files, kind="stable")
        return np.split(samples[order], np.searchsorted(files[order], np.arange(1, len(self.readers))))

    def present(self, samples: Ids) -> Iterator[tuple[int, Ids]]:
        """Yield the index of each file that some samples belong to, and their numbers in that file."""
        if len(self.readers) == 1:
            yield 0, samples
            return
        files = self.file_of(samples)
        order = np.argsort(files, kind="stable")
        samples, files = samples[order], files[order]
        begins = np.flatnonzero(np.concatenate([[True], files[1:] != files[:-1]])[: len(files)])
        ends = [*begins[1:].tolist(), len(files)]
        for begin, end in zip(begins.tolist(), ends, strict=False):
            f = int(files[begin])
            yield f, samples[begin:end] - self.starts[f]

    def local(self, parts: Sequence[Ids]) -> list[Ids]:
        """Return the parts that `split` made, numbered within each file instead of over all files."""
        return [part - start for part, start in zip(parts, self.starts[:-1], strict=True)]

    def where(self, sample: int) -> str:
        """Name a sample for a message: by its file and its number in this file."""
        file = int(self.file_of(np.array([sample]))[0])
        reader = self.readers[file]
        place = reader.path if reader.source is None else reader.source.url
        return f"{place}: {reader.sample_label(sample - int(self.starts[file]))}"

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return a field's metadata for the samples of all files: a view of a single file, or a copy that is kept."""
        if len(self.readers) == 1:
            return self.readers[0].column(name)
        if name not in self._columns:
            self._columns[name] = np.concatenate([reader.column(name) for reader in self.readers])
        return self._columns[name]

    def check(self, output: str, source: str, decoder: Decoder | None) -> None:
        """Check that a field is the same in all files, as far as its decoder needs that.

        Parameters
        ----------
        output : str
            Output that the check is for; the message advises how to leave it out.
        source : str
            Name of the field.
        decoder : Decoder or None

        Raises
        ------
        OptionError
            The field or the numbering of the tokens differs; the message names both files.
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
        """Return the vocabulary of the tokens; None if no file's manifest has one.

        Raises
        ------
        OptionError
            Two files number their tokens differently.
        """
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
                    f"the tokens of {first[0].path} are numbered as {first[1].label} ({first[1].size:,} ids), those of "
                    f"{reader.path} as {found.label} ({found.size:,}); convert both with the same --vocabulary "
                    "or --tokenizer"
                )
        return None if first is None else first[1]

    def close(self) -> None:
        """Close all files."""
        self._columns.clear()
        self.tables.clear()
        for reader in self.readers:
            reader.close()


def _form(field: Field) -> str:
    if isinstance(field, NDArrayField):
        return f"{type(field).__name__} {np.dtype(field.dtype).name}{tuple(int(n) for n in field.shape)}"
    return repr(field) if isinstance(field, (ArrayImageField, MaskField, VariableArrayField)) else type(field).__name__


def open_files(
    paths: Place | Sequence[Place],
    custom_fields: Mapping[str, type[Any]] | None = None,
    reader: type[Reader] = Reader,
    index: Any = False,
    check: str = "off",
) -> Files:
    """Open files and their seek indexes. If one file cannot be opened, those before it are closed again.

    Parameters
    ----------
    paths : path, or a sequence of paths
        Files, indexes of sets, folders or patterns; see `files_of`.
    custom_fields : mapping of name to Field class, optional
    reader : type of Reader
        What to open the files with.
    index : bool or path, optional
        Seek index to use; see `Loader`.
    check : {'first', 'always', 'off'}
        When to compare what is read with its checksums; see `Loader`.

    Raises
    ------
    OptionError
        There is no path, or one index is given for several files.
    BetonError
        A file cannot be used.
    """
    files = files_of(paths)
    if not files:
        raise OptionError("no file is given")
    if len(files) > 1 and not isinstance(index, (bool, type(None))):
        raise OptionError("index is one path, and there are several files; their own are found by index=None")
    readers: list[Reader] = []  # in no order, where several are opened at a time

    def opened(file: SetFile) -> Reader:
        one = reader(file, custom_fields)
        readers.append(one)
        one.seek_index = find_index(one, index)
        if check != "off":
            check_tables(one)
            file.check_tables(one.head)
        return one

    try:
        return Files(list(each_opened(opened, files)), Checks(check))
    except BaseException:
        for one in readers:
            one.close()
        raise
