"""What a loader offers beyond its batches: names of classes, epochs without end, a selection of its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

from ffprep.beton.reader import Reader
from ffprep.errors import OptionError
from ffprep.fields.decoders import SampleDecoder
from ffprep.loader.ffcv_names import FfcvLoader
from ffprep.loader.files import Ids
from ffprep.loader.order.order import Samples, as_array
from ffprep.loader.subset import filtered
from ffprep.pipeline.pipeline_spec import PipelineSpec
from ffprep.text.blocks.blocks import source_facts
from ffprep.text.tokens.vocabulary import Vocabulary
from ffprep.transforms import ToTensor

L = TypeVar("L", bound="Conveniences")

INDEX = "index"
"""Name of the output that says which samples a batch has."""


class Conveniences(FfcvLoader):
    """Methods and properties of `Loader` that need nothing of its insides."""

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

    def forever(self) -> Iterator[tuple[Any, ...]]:
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
