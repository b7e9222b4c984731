"""The loader: ffcv's arguments, an epoch that is a function of its numbers, and nothing left behind."""

from __future__ import annotations

import operator
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader
from ffprep.common.cpus import usable_cpus
from ffprep.errors import DecodeError, FfprepError, OptionError
from ffprep.loader.engine.memory import Memory
from ffprep.loader.epoch.position import Course
from ffprep.loader.epoch.state import State, read_state
from ffprep.loader.files import open_files
from ffprep.loader.order.order import (
    HasSampleOrder,
    Ids,
    Order,
    OrderOption,
    SequentialOrder,
    Share,
    as_indices,
    distributed_share,
)
from ffprep.loader.order.traversal import Traversal, payload_fields
from ffprep.loader.order.weighted import WeightedOrder
from ffprep.loader.plan.options import at_least, check_enough, one_of
from ffprep.loader.plan.outputs import Output, mask_output, plan_output
from ffprep.loader.plan.pipelines import moved, read_pipelines

if TYPE_CHECKING:
    from ffprep.loader.epoch.iterator import EpochIterator
    from ffprep.loader.epoch.scheduler import EpochSetup, Feed

DEFAULT_WINDOW_PAGES = 64


class Loader:
    """Batches from ``.beton`` files; takes the place of ``ffcv.Loader``.

    What an epoch's batch holds, down to the pixel, is a function of the file, the pipelines, `seed`, the epoch and
    the position, for any number of workers, batches in advance, ranks or restarts.

    Parameters
    ----------
    fname : str or Path, or a sequence of them
        One file or several. The samples of several files are numbered through: the first file's, then the second's.
    batch_size : int
        Samples in a batch, on each rank.
    num_workers : int
        Threads that decode; -1 for as many as this process may use CPUs.
    os_cache : bool
        True leaves caching to the operating system: for files that fit into memory. False, with an order of
        SEQUENTIAL or QUASI_RANDOM, reads ahead and keeps only about ``2 * window_pages`` pages in memory.
    order : OrderOption, WeightedOrder, or object with ``sample_order(epoch)``
    distributed : bool
        Give this process its share of each step. Rank and world size come from the arguments below, else from
        ``torch.distributed``, else from the launcher's environment.
    seed : int, optional
        By default drawn from numpy's global generator, as ffcv does, or 0 if distributed.
    indices : sequence of int, optional
        The samples to use; all by default.
    pipelines : mapping
        For each output a list of operations, a PipelineSpec, or None to leave the field out. A field that is not
        named gets its default decoder and ``ToTensor()``. Never changed.
    custom_fields : mapping of name to Field class
    drop_last : bool
        Leave out the last batch when it is not full. With False every sample is seen exactly once, over all ranks;
        the last batches are then shorter, and on some ranks there may be one less.
    batches_ahead : int
        Finished batches to have in store.
    recompile : bool
        Generate and compile the code of operations of your own anew in every epoch. ffprep's own operations are
        looked at anew in every epoch in any case, which costs next to nothing.
    rank, world_size : int, optional
        Which share of how many this process takes. Giving them implies `distributed`.
    on_error : {'raise', 'skip'}
        What to do about a sample that cannot be decoded: raise `DecodeError`, or leave it out with a warning. With a
        mask its row stays, as zeros, and is masked.
    window_pages : int
        Pages of the file that QUASI_RANDOM shuffles together.
    pad : {'repeat', 'mask'}, optional
        Fill the last batches up, so that all ranks have the same number of full ones; in place of `drop_last`. The
        epoch's first samples come again. With ``mask`` the last member of each tuple is a tensor of bool, shape
        (batch,): False where a row is such padding, so that an evaluation counts every sample exactly once.
    index : bool or path, optional
        The seek index that ``ffprep index`` makes, for fast crops of JPEGs without restart markers. By default the one
        beside the file, ``<fname>.index``, is used if it is there and belongs to the file; one that does not is
        left alone, with a warning. True, or the path of a single file's, insists on it; False uses none. Batches are
        the same either way.
    device : torch.device, str or int, optional
        Hand out every tensor on this device, as if each pipeline ended with ``ToDevice(device)``.
    weights : sequence of float, 'balanced' or 'equal', optional
        Share of each file in an epoch, up to a factor. ``'equal'`` gives all the same; ``'balanced'`` goes by their
        numbers of different images, so that images with five captions are not shown five times as often as images
        with one. By default an epoch is every sample of every file once. A file with a large share begins again, in
        a fresh order, when all of its samples have been seen; of one with a small share the next epoch takes the
        samples that this one had no room for. A sample that comes more than once in an epoch is cropped and flipped
        otherwise each time.
    epoch_samples : int, optional
        Length of an epoch, over all ranks. By default the number of samples; with ``'balanced'`` that of images.

    Attributes
    ----------
    files : Files
        The open files; `reader` is the first where there is no other.
    indices : ndarray of int64
    seed : int

    Raises
    ------
    OptionError
        An argument does not fit the file, or there would be no batch at all.
    BetonError
        The file cannot be used.
    """

    _reader_class: type[Reader] = Reader

    def __init__(
        self,
        fname: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        batch_size: int,
        num_workers: int = -1,
        os_cache: bool = True,
        order: OrderOption | WeightedOrder | HasSampleOrder = OrderOption.SEQUENTIAL,
        distributed: bool = False,
        seed: int | None = None,
        indices: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        pipelines: Mapping[str, Any] | None = None,
        custom_fields: Mapping[str, type[Any]] | None = None,
        drop_last: bool = True,
        batches_ahead: int = 3,
        recompile: bool = False,
        *,
        rank: int | None = None,
        world_size: int | None = None,
        on_error: str = "raise",
        window_pages: int = DEFAULT_WINDOW_PAGES,
        pad: str | None = None,
        index: bool | str | os.PathLike[str] | None = None,
        device: Any = None,
        weights: Sequence[float] | str | None = None,
        epoch_samples: int | None = None,
    ) -> None:
        given = dict(locals())
        self._arguments = {name: given[name] for name in given if name not in ("self", "fname")}
        from ffprep.loader.epoch.scheduler import Parking

        self.fname = os.fspath(fname) if isinstance(fname, (str, os.PathLike)) else [os.fspath(path) for path in fname]
        self.batch_size = at_least(batch_size, 1, "batch_size")
        self.batches_ahead = at_least(batches_ahead, 0, "batches_ahead")
        self.num_workers = usable_cpus() if num_workers < 1 else int(num_workers)
        self.drop_last = bool(drop_last) and pad is None
        self.os_cache = bool(os_cache)
        self.distributed = bool(distributed) or rank is not None
        self.recompile = recompile
        self.on_error = on_error
        one_of(on_error, ("raise", "skip"), "on_error")
        self.pad = one_of(pad, ("repeat", "mask", None), "pad")
        self._window_pages = at_least(window_pages, 1, "window_pages")
        self._share = distributed_share(self.batch_size, distributed, rank, world_size, os.environ, pad is not None)
        self._pipelines: dict[str, Any] = {
            name: list(given) if isinstance(given, list) else given for name, given in (pipelines or {}).items()
        }
        self.files = open_files(self.fname, custom_fields, self._reader_class, index)
        self.indices: Ids = as_indices(indices, self.files.num_samples)
        self._order_option = order
        self._device = device
        self._memory = Memory(self.batches_ahead, str(self.files))
        self._parking = Parking()
        self._finalizer = weakref.finalize(self, self._parking.close)
        self._finalizer.atexit = False
        self._iterators: weakref.WeakSet[EpochIterator] = weakref.WeakSet()
        self._course = Course()
        self._closed = False
        self.seed = self._drawn_seed() if seed is None else operator.index(seed)
        self._recipes = read_pipelines(self._pipelines, self.files)
        if device is not None:
            self._recipes = [moved(recipe, device) for recipe in self._recipes]
        self._outputs()  # whatever is wrong with the pipelines is said here
        samples = None if epoch_samples is None else at_least(epoch_samples, 1, "epoch_samples")
        payloads = payload_fields(self._recipes, self.files)
        self._traversal = Traversal(
            self.files, payloads, self.indices, self._window_pages, self.os_cache, weights, samples
        )
        self._order = self._traversal.order(self._order_option, self.seed, self)
        check_enough(len(self._order), self._share, self.drop_last, str(self.files))

    # -- making ----------------------------------------------------------------------------------------

    @property
    def reader(self) -> Reader:
        """The file, where there is one only.

        Raises
        ------
        OptionError
            There are several; they are in ``files.readers``.
        """
        if len(self.files) > 1:
            raise OptionError(f"the loader of {self.files} has several readers; take them from files.readers")
        return self.files.readers[0]

    def _drawn_seed(self) -> int:
        if self.distributed:
            return 0
        return int(np.random.randint(0, np.iinfo(np.int32).max))  # noqa: NPY002

    def _outputs(self, epoch: int = 0) -> list[Output]:
        outputs = [plan_output(recipe, self.files, epoch) for recipe in self._recipes]
        return [*outputs, mask_output(self._device)] if self.pad == "mask" else outputs

    # -- epochs ----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Batches of this rank in a whole epoch."""
        return self._share.batches(len(self._order), self.drop_last)

    def __iter__(self) -> EpochIterator:
        """Begin the next epoch, or go on with the one that was loaded by `load_state_dict`.

        Returns
        -------
        iterator of tuples
            One member for each output: fields in the file's order, then outputs under other names, then the mask if
            there is one.
        """
        from ffprep.loader.epoch.iterator import EpochIterator, Progress

        if self._closed:
            raise FfprepError(f"{self.files}: this loader was closed")
        self._course.settle()
        setup = self._setup(self._course.epoch, self._course.first)
        feed = self._feed(setup)
        progress = Progress(setup.epoch, setup.first)
        iterator = EpochIterator(feed, progress, self, self.batches_ahead)
        self._iterators.add(iterator)
        self._course.begun(progress, iterator)
        return iterator

    def batch(self, samples: Sequence[int] | npt.NDArray[np.integer[Any]], epoch: int | None = None) -> tuple[Any, ...]:
        """Make one batch of any samples, just as an epoch makes it; epochs under way are not disturbed.

        Parameters
        ----------
        samples : sequence of int
            Numbers of samples in the file, one or more.
        epoch : int, optional
            Epoch for the random draws; by default the next.

        Returns
        -------
        tuple
            One member for each output.
        """
        from ffprep.loader.epoch.iterator import EpochIterator, Progress

        if self._closed:
            raise FfprepError(f"{self.files}: this loader was closed")
        ids = as_indices(samples, self.files.num_samples)
        if len(ids) == 0:
            raise OptionError("a batch needs at least one sample")
        epoch = self._course.upcoming if epoch is None else at_least(epoch, 0, "epoch")
        setup = self._setup(epoch, 0, SequentialOrder(ids), Share(len(ids), padded=self.pad is not None))
        iterator = EpochIterator(self._feed(setup), Progress(epoch, 0), self, 0)
        self._iterators.add(iterator)
        try:
            return next(iterator)
        except StopIteration:
            raise DecodeError(f"{self.files}: none of the samples could be decoded") from None
        finally:
            iterator.close()

    def _setup(self, epoch: int, first: int, order: Order | None = None, share: Share | None = None) -> EpochSetup:
        from ffprep.loader.engine.program import compile_program
        from ffprep.loader.epoch.scheduler import EpochSetup

        if self.recompile:
            for recipe in self._recipes:
                recipe.stages.clear()
        outputs = self._outputs(epoch)
        side, buffers = self._memory.of(outputs)
        ops = [op for output in outputs for op in output.natives]
        share = self._share if share is None else share
        setup = EpochSetup(
            self.files, self._order if order is None else order, share, self.drop_last and order is None, epoch,
            self.seed, first, outputs, compile_program(ops, self.files, share.batch_size, self.seed, epoch),
            buffers, self.batches_ahead, self.on_error, self.pad == "mask", side,
        )  # fmt: skip
        if order is None:
            setup.readahead = self._traversal.readahead(self._order, epoch, first)
        return setup

    def _feed(self, setup: EpochSetup) -> Feed:
        from ffprep.loader.epoch.scheduler import Feed

        ops = setup.program.ops
        grain = 1 if any(op.kind == "image" for op in ops) else 64
        pool = self._parking.take(
            self.num_workers, self.batches_ahead + 2, max(1, len(ops)), setup.share.batch_size, grain, len(self.files)
        )
        return Feed(setup, pool, self._parking)

    @property
    def epoch(self) -> int:
        """The epoch that is running, or the next one if none is."""
        return self._course.current

    @property
    def next_epoch(self) -> int:
        """The epoch that the next ``iter(loader)`` begins. Setting it begins that epoch from its start."""
        return self._course.upcoming

    @next_epoch.setter
    def next_epoch(self, epoch: int) -> None:
        self._course.go_to(at_least(epoch, 0, "epoch"))

    def set_epoch(self, epoch: int) -> None:
        """Let the next ``iter(loader)`` begin this epoch; the place inside it that was loaded is kept."""
        if not self._course.name(epoch):
            self.next_epoch = epoch

    # -- state -----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return where the epoch that runs has got to: what was handed out, not what was prepared.

        Returns
        -------
        dict
            A few integers. ``position`` counts samples over all ranks, so the state fits any number of workers,
            any batch size and any world size.
        """
        running, position = self._course.running, self._course.first
        if running is not None:
            position = self._share.consumed(running.batches, len(self._order), running.first)
        parts = self._traversal.parts(self._order)
        epoch = self._course.epoch if running is None else running.epoch
        return State(epoch, position, self.seed, len(self._order), self._order_name(), parts).to_dict()

    def _order_name(self) -> str:
        option = self._order_option
        return option.name if isinstance(option, (OrderOption, WeightedOrder)) else "GIVEN"

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next ``iter(loader)`` go on exactly where `state_dict` was called.

        After an epoch's last batch the next epoch begins; but if `set_epoch` names the epoch that was loaded, what is
        left of that comes first, which is nothing. So both kinds of loop go on as they would have: those that count
        epochs themselves, and trainers that only ask for another ``iter(loader)``.

        Raises
        ------
        OptionError
            The state is of another data set or order.
        """
        known = read_state(state, len(self._order), self._order_name(), self._traversal.parts(self._order))
        if known.seed != self.seed:
            self.seed = known.seed
            self._order = self._traversal.order(self._order_option, self.seed, self)
        self._course.go_to(known.epoch, known.position, known.position == len(self._order))

    # -- the rest --------------------------------------------------------------------------------------

    def filter(self, field_name: str, condition: Callable[[Any], bool]) -> Loader:
        """Return a loader of those of this one's samples that fulfil a condition.

        Parameters
        ----------
        field_name : str
            Output whose value is looked at, as its pipeline makes it.
        condition : callable
            Gets one row.

        Raises
        ------
        OptionError
            There is no such output, or no sample is left.
        """
        from ffprep.loader.subset import fulfilling

        outputs = [recipe.name for recipe in self._recipes]
        own = self._pipelines.get(field_name)
        chosen = fulfilling(self, self._arguments, outputs, own, field_name, condition)
        return type(self)(self.fname, **{**self._arguments, "seed": self.seed, "indices": chosen})

    def close(self) -> None:
        """End the threads and let go of the file. Batches handed out stay valid."""
        self._closed = True
        for iterator in list(self._iterators):
            iterator.close()
        self._parking.close(wait=True)
        self._memory.close()
        self.files.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<Loader of {self.files}: {len(self.indices)} samples, {len(self)} batches of {self.batch_size}, "
            f"{self._order_name()}, seed {self.seed}>"
        )


__all__ = ["Loader", "OrderOption", "Share"]
