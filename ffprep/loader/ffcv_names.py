"""What scripts and custom orders read from ffcv's loader and from its module, ``ffcv.loader.loader``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ffprep.loader.files import Files
from ffprep.loader.memory_managers import MemoryManager, OSCacheManager
from ffprep.loader.order.order import Order, OrderOption
from ffprep.loader.order.sampling import Sampling
from ffprep.loader.order.share import Share
from ffprep.loader.order.traversal import LoadersOrder, QuasiRandom, Random, Sequential, TraversalOrder
from ffprep.loader.plan.pipelines import Pipeline
from ffprep.pipeline.pipeline_spec import PipelineSpec

if TYPE_CHECKING:
    from ffprep.beton.reader import Reader

ORDER_TYPE: TypeAlias = TraversalOrder | OrderOption
"""What stock ffcv calls the type of the argument ``order``."""

ORDER_MAP: Mapping[OrderOption, type[TraversalOrder]] = {
    OrderOption.RANDOM: Random,
    OrderOption.SEQUENTIAL: Sequential,
    OrderOption.QUASI_RANDOM: QuasiRandom,
}
"""The class of each order."""

DEFAULT_PROCESS_CACHE = int(os.environ.get("FFCV_DEFAULT_CACHE_PROCESS", "0"))
DEFAULT_OS_CACHE = not DEFAULT_PROCESS_CACHE
"""Of stock ffcv's argument ``os_cache``. Here it is True, whatever the environment says."""


class FfcvLoader:
    """Attributes and methods of ffcv's ``Loader`` that ours needs for nothing itself."""

    files: Files
    seed: int
    _order: Order
    _share: Share
    _sampling: Sampling
    _pipelines: dict[str, Any]
    _checked_pipelines: list[Pipeline]

    if TYPE_CHECKING:

        @property
        def reader(self) -> Reader: ...

        @property
        def next_epoch(self) -> int: ...

    @property
    def epoch_order(self) -> tuple[Order, Share]:
        """The order of the whole job, and the share of it that this rank takes."""
        return self._order, self._share

    def order_of(self, option: OrderOption) -> Order:
        """Return one of the built-in orders over this loader's samples."""
        return self._sampling.order(option, self.seed, self)

    @property
    def traversal_order(self) -> TraversalOrder:
        """An object whose ``sample_order(epoch)`` gives the samples that this rank sees in an epoch."""
        return LoadersOrder(self)

    def next_traversal_order(self) -> npt.NDArray[np.int64]:
        """Return the numbers of the samples that this rank sees in the next epoch, in order.

        The last of them may lie beyond the last full batch, which ``drop_last`` leaves out.
        """
        return LoadersOrder(self).sample_order(self.next_epoch)

    @property
    def first_traversal_order(self) -> npt.NDArray[np.int64]:
        """What `next_traversal_order` returned before the first epoch."""
        return LoadersOrder(self).sample_order(0)

    @property
    def pipelines(self) -> dict[str, Any]:
        """The pipelines as they were given; a copy, changing which changes nothing."""
        return dict(self._pipelines)

    @property
    def pipeline_specs(self) -> dict[str, PipelineSpec]:
        """The source, the decoder and the transforms of each output, default ones included; a copy as well."""
        return {
            pipeline.name: PipelineSpec(
                pipeline.source, pipeline.decoder, [item for item, _ in pipeline.transforms], pipeline.draws
            )
            for pipeline in self._checked_pipelines
        }

    @property
    def code(self) -> dict[str, tuple[object, ...]]:
        """What runs your own operations, for each output: another object in each epoch if the loader recompiles."""
        return {pipeline.name: tuple(pipeline.stages.values()) for pipeline in self._checked_pipelines}

    @property
    def field_name_to_f_ix(self) -> dict[str, int]:
        """The number of each field in the file."""
        return {name: number for number, name in enumerate(self.reader.fields)}

    @property
    def memory_manager(self) -> MemoryManager:
        """Reads payloads of the file by their address, and knows which samples lie in which page."""
        return OSCacheManager(self.reader)
