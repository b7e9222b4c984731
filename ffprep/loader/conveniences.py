"""What a loader offers beyond its batches: names of classes, epochs without end, a selection of its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

from ffprep.beton.reader import Reader
from ffprep.common.names import NamesKeywords
from ffprep.errors import OptionError
from ffprep.fields.decoders import SampleDecoder
from ffprep.loader.epoch.batch_type import Batch
from ffprep.loader.epoch.epoch_state import EpochState, StaysHere
from ffprep.loader.epoch.failures import LoaderErrors
from ffprep.loader.epoch.stats import LoaderStats, Meter
from ffprep.loader.ffcv_names import FfcvLoader
from ffprep.loader.files import Ids
from ffprep.loader.notebook import BatchView, table
from ffprep.loader.order.order import Samples, as_array
from ffprep.loader.plan.options import OF_DATALOADER, at_least
from ffprep.loader.subset import filtered
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import Vocabulary
from ffprep.transforms import ToTensor

L = TypeVar("L", bound="Conveniences[Any]")

INDEX = "index"
"""Name of the output that says which samples a batch has."""


class Conveniences(StaysHere, FfcvLoader, NamesKeywords, Generic[Batch]):
    """Methods and properties of `Loader` that need little of its insides."""

    _instead = OF_DATALOADER

    @classmethod
    def _of_ffprep(cls) -> bool:
        return False  # it does more than to look at its arguments, which it checks one by one

    errors: LoaderErrors
    _meter: Meter
    _epoch_state: EpochState

    _chosen: Samples

    @property
    def reader(self) -> Reader:
        """The file, if there is only one; otherwise an `OptionError` tells where they are."""
        return self.files.only_reader()

    @cached_property
    def indices(self) -> Ids:
        """The samples to visit: int64. Made when it is first asked for, since most loaders visit all."""
        return as_array(self._chosen)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary of the tokens, with the ids of ``<pad>``, ``<mask>`` and so on; None if no file has one."""
        return self.files.vocabulary()

    @property
    def classes(self) -> list[str] | None:
        """Names of the classes, by label, as the conversion recorded them; None if no file has any.

        Raises
        ------
        OptionError
            Two files number their classes differently.
        """
        first: tuple[Any, list[str]] | None = None
        for reader in self.files.readers:
            names = source_facts(reader).get("classes")
            if not isinstance(names, list):
                continue
            if first is not None and names != first[1]:
                raise OptionError(f"{first[0].path} and {reader.path} number their classes differently")
            first = first or (reader, names)
        return None if first is None else [str(name) for name in first[1]]

    @property
    def class_to_idx(self) -> dict[str, int] | None:
        """The label of each class, by its name, as torchvision's data sets have it; None if no file has names."""
        names = self.classes
        return None if names is None else {name: label for label, name in enumerate(names)}

    def show(self, batch: Any) -> BatchView:
        """Return a batch of this loader as notebooks show it, with its images; `repr` of it is one line.

        Parameters
        ----------
        batch : tuple
        """
        loader: Any = self
        return BatchView(batch, [output.name for output in loader._plan()])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the options, the outputs, and some samples as they come."""
        loader: Any = self
        rows = [
            ("files", str(self.files)),
            ("samples", f"{len(loader.indices):,} in {len(loader):,} batches of {loader.batch_size}"),
            ("threads", str(loader.num_workers)),
            ("outputs", ", ".join(output.name for output in loader._plan())),
        ]
        few = loader.batch(loader.indices[:8])
        return table(rows) + self.show(few)._repr_html_()

    @property
    def epoch(self) -> int:
        """The epoch that is running, or the next one between epochs."""
        return self._epoch_state.current

    @property
    def next_epoch(self) -> int:
        """The epoch that the next ``iter(loader)`` begins. Setting it begins that epoch from its start."""
        return self._epoch_state.upcoming

    @next_epoch.setter
    def next_epoch(self, epoch: int) -> None:
        self._epoch_state.go_to(at_least(epoch, 0, "epoch"))

    def set_epoch(self, epoch: int) -> None:
        """Let the next ``iter(loader)`` begin this epoch; a position in it that was loaded is kept."""
        if not self._epoch_state.confirm(epoch):
            self.next_epoch = epoch

    def stats(self) -> LoaderStats:
        """Return how many batches, samples and bytes this loader handed out, and how long the loop waited for them.

        Batches of `batch` do not count. The difference of two results is what happened between them.
        """
        return self._meter.read(self._epoch_state.ready, self.errors.count)

    def forever(self) -> Iterator[Batch]:
        """Yield the batches of this epoch, of the next and so on without end, for loops that count steps.

        `state_dict` and `load_state_dict` work as between and within single epochs.
        """
        loader: Any = self
        while True:
            yield from loader

    def filter(self: L, field_name: str, condition: Callable[[Any], bool]) -> L:
        """Return a loader of those samples of this one that fulfil a condition.

        Parameters
        ----------
        field_name : str
            Output to decide by, as its pipeline makes it. One that follows an image is made with that image, in the
            crops of epoch 0.
        condition : callable
            Takes one row of the output.

        Raises
        ------
        OptionError
            There is no such output, or no sample fulfils the condition.
        """
        chosen: L = filtered(self, field_name, condition)
        return chosen


def with_mapped_outputs(
    pipelines: Mapping[str, Any], mapper: Mapping[str, str], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return pipelines in which each further output that `mapper` names reads the field that it maps it to.

    Raises
    ------
    OptionError
        An output has a field's name, or what it is mapped to is no field.
    """
    mapped = {name: given for name, given in pipelines.items() if name not in mapper}
    for name, source in mapper.items():
        if name in fields or source not in fields:
            raise OptionError(
                f"custom_field_mapper maps {name!r} to {source!r}; it maps further outputs to "
                f"fields, which are {', '.join(fields)}"
            )
        given = pipelines.get(name, PipelineSpec(source))
        mapped[name] = PipelineSpec(source, transforms=given) if isinstance(given, (list, tuple)) else given
    return mapped


def with_index_output(pipelines: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return pipelines with one more output, the samples' numbers.

    Raises
    ------
    OptionError
        There is an output or a field of that name.
    """
    if INDEX in pipelines or INDEX in fields:
        raise OptionError(
            f"with_index=True adds an output {INDEX!r}, and there is one already; give a pipeline that begins with "
            "SampleDecoder() under another name instead"
        )
    return {**pipelines, INDEX: [SampleDecoder(), ToTensor()]}
