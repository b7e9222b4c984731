"""Samples one at a time, for debugging, analysis and ``torch.utils.data.DataLoader``."""

from __future__ import annotations

import io
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ffprep.beton.checksums import guard
from ffprep.common.html import escaped
from ffprep.common.names import NamesKeywords
from ffprep.errors import OptionError
from ffprep.fields import NDArrayField, RGBImageField
from ffprep.fields.decoders import STORED_TOKENS
from ffprep.loader import Loader
from ffprep.loader.block_loader import BlockLoader
from ffprep.loader.block_reader import BlockReader
from ffprep.loader.files import Files, Ids, open_files
from ffprep.loader.order.order import as_indices
from ffprep.loader.plan.options import OF_DATALOADER, paths_of
from ffprep.text.blocks.blocks import source_facts

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset
    from torch.utils.data import default_collate
else:
    try:
        from torch.utils.data import Dataset as TorchDataset
        from torch.utils.data import default_collate
    except ImportError:  # raw samples and arrays need no torch
        TorchDataset = object

Path = str | os.PathLike[str]


class Samples(list[Any]):
    """What ``__getitems__`` returns: a list of samples that also keeps them as one batch.

    Attributes
    ----------
    batch : tuple
        The batch as a loader makes it; `Dataset.collate` returns it without stacking the samples again.
    """

    batch: tuple[Any, ...]


class Dataset(NamesKeywords, TorchDataset):  # type: ignore[type-arg]
    """A ``.beton`` file as a map-style ``torch.utils.data.Dataset``: ``dataset[i]``, ``len(dataset)``.

    Sample i is, to the pixel, what a `Loader` with the same pipelines and seed gives for it in that epoch. In a file of
    token blocks the samples are single blocks, as in the preset `text_blocks`. Objects can be pickled and used in
    processes that are forked or spawned: only the path and the options are sent.

    ::

        torch.utils.data.DataLoader(dataset, 64, shuffle=True, num_workers=4, collate_fn=dataset.collate)

    Parameters
    ----------
    fname : str or Path, or a sequence of them
    pipelines : mapping, optional
        As for `Loader`. Images of different sizes need a decoder that resizes.
    raw : bool
        Return each sample as a dict of plain values instead: PIL images, numbers, bytes, arrays, JSON objects, and
        tokens as text if the file says how they are numbered.
    seed : int
    epoch : int
        The epoch whose random draws are used; see `set_epoch`.
    indices : sequence of int, optional
        The samples to use; by default all.
    custom_fields : mapping of name to Field class, optional
    num_workers : int
        Threads that decode the samples of one call.
    framework : {'torch', 'numpy', 'jax'}
        Whose arrays samples hold, see `Loader`.

    Raises
    ------
    OptionError
        An argument does not fit the file.
    BetonError
        The file cannot be used.
    """

    _instead: ClassVar[Mapping[str, str]] = {**OF_DATALOADER, "transform": "pipelines"}

    @classmethod
    def _of_ffprep(cls) -> bool:
        return False  # as of `Loader`: the constructor also runs the user's fields and operations

    def __init__(
        self,
        fname: Path | Sequence[Path],
        pipelines: Mapping[str, Any] | None = None,
        *,
        raw: bool = False,
        seed: int = 0,
        epoch: int = 0,
        indices: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        custom_fields: Mapping[str, type[Any]] | None = None,
        num_workers: int = 1,
        framework: str = "torch",
    ) -> None:
        if raw and pipelines is not None:
            raise OptionError("raw samples go through no pipeline; leave pipelines out, or raw")
        self.fname = paths_of(fname)
        self.raw = raw
        self.epoch = epoch
        self._options: dict[str, Any] = {
            "pipelines": pipelines,
            "seed": seed,
            "custom_fields": custom_fields,
            "framework": framework,
        }
        self._num_workers = num_workers
        self._loader: Any = None
        self._files: Files | None = None
        self.indices: Ids = as_indices(indices, self.files.num_samples)
        if not raw:
            self.loader  # noqa: B018  makes the loader now, so that wrong pipelines raise here

    @property
    def files(self) -> Files:
        """The open files. ``files.readers`` have their columns and manifests."""
        if self._files is None:
            self._files = self._loader.files if self._loader is not None else self._open()
        return self._files

    def _open(self) -> Files:
        custom = self._options["custom_fields"]
        files = open_files(self.fname, custom, check="first")
        if not _holds_blocks(files):
            for reader in files.readers if self.raw else ():
                guard(reader)
            return files
        files.close()
        blocks = open_files(self.fname, custom, BlockReader)
        for reader in blocks.readers if self.raw else ():
            assert isinstance(reader, BlockReader)
            guard(reader.blocks.reader)
        return blocks

    @property
    def loader(self) -> Any:
        """The loader that makes the samples in this process."""
        if self._loader is None:
            kind = BlockLoader if _holds_blocks(self.files) else Loader
            self._loader = kind(self.fname, 1, self._num_workers, drop_last=False, batches_ahead=0, **self._options)
        return self._loader

    def set_epoch(self, epoch: int) -> None:
        """Use the random draws of this epoch. DataLoader's workers have copies, so call this before they start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.indices)

    def _samples(self, places: Sequence[int]) -> list[int]:
        found = []
        for place in places:
            number = operator.index(place)
            if not -len(self) <= number < len(self):
                raise IndexError(f"{self.files} has {len(self)} samples here, no sample {number}")
            found.append(int(self.indices[number]))
        return found

    def __getitem__(self, place: int) -> Any:
        """Return one sample: a tuple with one member for each output, or a dict of raw values."""
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[Any]:
        """Return several samples, made together. torch's DataLoader calls this for each batch."""
        numbers = self._samples(places)
        if self.raw:
            return [self._values(number) for number in numbers]
        samples = Samples()
        samples.batch = self.loader.batch(numbers, self.epoch)
        samples.extend(tuple(_row(member, i) for member in samples.batch) for i in range(len(numbers)))
        return samples

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    @staticmethod
    def collate(samples: Sequence[Any]) -> Any:
        """Join samples to a batch, as DataLoader's ``collate_fn``. Samples that were made together are not copied."""
        if isinstance(samples, Samples):
            return samples.batch
        return default_collate(list(samples))

    # -- raw values ------------------------------------------------------------------------------------

    def _values(self, number: int) -> dict[str, Any]:
        file = int(self.files.file_of(np.array([number]))[0])
        reader = self.files.readers[file]
        own = number - int(self.files.starts[file])
        values: dict[str, Any] = {}
        for name, field in reader.fields.items():
            value = reader.value(name, own)
            if isinstance(field, RGBImageField):
                value = _picture(value)
            elif isinstance(field, NDArrayField) and field.dtype in STORED_TOKENS and name == "tokens":
                value = self._text(value)
            values[name] = value
        return values

    def _text(self, tokens: npt.NDArray[Any]) -> Any:
        vocabulary = self.files.vocabulary()
        if vocabulary is None:
            return tokens
        if tokens.ndim == 1:
            return vocabulary.decode(tokens)
        return [vocabulary.decode(row) for row in tokens.reshape(-1, tokens.shape[-1])]

    def close(self) -> None:
        """Let go of the files. Samples that were returned stay valid."""
        if self._loader is not None:
            self._loader.close()
        if self._files is not None:
            self._files.close()
        self._loader = self._files = None

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loader": None, "_files": None}

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first samples."""
        if self.raw:
            return "".join(reader._repr_html_() for reader in self.files.readers[:1])
        batch = self.loader.batch(self._samples(range(min(len(self), 8))), self.epoch)
        return f"<p><b>{escaped(repr(self))}</b></p>{self.loader.show(batch)._repr_html_()}"

    def __repr__(self) -> str:
        return f"<Dataset of {self.files}: {len(self)} samples{', raw' if self.raw else ''}>"


def _holds_blocks(files: Files) -> bool:
    return "blocks" in source_facts(files.readers[0])


def _row(member: Any, i: int) -> Any:
    """Sample i of one member of a batch. The member may be a named tuple, such as ragged data and its lengths."""
    if isinstance(member, tuple) and hasattr(member, "_make"):
        return member._make(part[i] for part in member)
    return member[i]


def _picture(value: Any) -> Any:
    from PIL import Image

    if isinstance(value, np.ndarray):
        return Image.fromarray(value)
    return Image.open(io.BytesIO(value))
