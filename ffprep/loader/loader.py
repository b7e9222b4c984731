"""The loader, with ffcv's arguments: it plans outputs, starts epochs and says how far they have got."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.ffcv_reader import Reader as FfcvReader
from ffprep.beton.reader import Reader
from ffprep.beton.sets import files_of
from ffprep.errors import DecodeError, FfprepError, OptionError
from ffprep.loader.checks import CHECKS
from ffprep.loader.conveniences import Conveniences, with_index_output, with_mapped_outputs
from ffprep.loader.engine.memory import BatchMemory
from ffprep.loader.epoch.batch_type import Batch
from ffprep.loader.epoch.epoch_state import EpochProgress, EpochState
from ffprep.loader.epoch.failures import ErrorBudget, LoaderErrors, as_budget
from ffprep.loader.epoch.saved_state import SavedState, read_state
from ffprep.loader.epoch.stats import Meter
from ffprep.loader.ffcv_names import DEFAULT_OS_CACHE, DEFAULT_PROCESS_CACHE, ORDER_MAP, ORDER_TYPE
from ffprep.loader.files import open_files
from ffprep.loader.order.order import Order, OrderOption, Samples, SequentialOrder, as_indices
from ffprep.loader.order.pages import payload_fields
from ffprep.loader.order.sampling import AnyOrder, Sampling, order_name
from ffprep.loader.order.share import Share, check_enough, distributed_share
from ffprep.loader.plan import options
from ffprep.loader.plan.frameworks import FRAMEWORKS, for_framework
from ffprep.loader.plan.options import MOST_AHEAD, MOST_SAMPLES, at_least, one_of, paths_of, yes_or_no
from ffprep.loader.plan.outputs import Output
from ffprep.loader.plan.pipelines import copied, on_device, read_pipelines
from ffprep.loader.plan.planner import mask_output, plan_output

if TYPE_CHECKING:
    from typing_extensions import Self

    from ffprep.loader.epoch.iterator import EpochIterator

DEFAULT_WINDOW_PAGES = 64


class Loader(Conveniences[Batch]):
    """Batches from ``.beton`` files; a replacement for ``ffcv.Loader``.

    What a batch holds, down to the pixel, is a function of the files, the pipelines, `seed`, the epoch and the position
    in it. It does not depend on the number of workers, batches in advance or ranks, nor on restarts.

    Parameters
    ----------
    fname : str or Path, or a sequence of them
        One file or several; each may also be the index of a set, a folder, or a pattern such as ``train-*.beton``, and
        any of these may be a URL: ``s3://bucket/train.beton``. Samples are numbered over all files: those of the first
        file, then those of the second.
    batch_size : int
        Samples in a batch, on each rank.
    num_workers : int
        Threads that decode; -1 for as many as there are CPUs that this process may use.
    os_cache : bool
        True leaves caching to the operating system, which suits files that fit into memory. False, with the order
        SEQUENTIAL or QUASI_RANDOM, reads ahead and keeps only about ``2 * window_pages`` pages in memory, or as many as
        ``batches_ahead + 2`` steps of all ranks lie in; more than fit into memory are refused. RANDOM over files that
        do not fit, or with False, has the system read what the next batches need and no more.
    order : OrderOption, WeightedOrder, NodeOrder, RepeatedOrder, ClipOrder, or object with ``sample_order(epoch)``
    distributed : bool
        Give this process its share of each step. Rank and world size come from the arguments below, else from
        ``torch.distributed``, else from the launcher's environment variables.
    seed : int, optional
        By default drawn from numpy's global generator, as in ffcv, or 0 if distributed.
    indices : sequence of int, optional
        The samples to use; all by default.
    pipelines : mapping
        For each output a list of operations, a PipelineSpec, or None to leave the field out. A field that is not
        named gets its default decoder and ``ToTensor()``. The mapping is never changed.
    custom_fields : mapping of name to Field class
    drop_last : bool
        Leave out the last batch if it is not full. With False every sample is seen exactly once, over all ranks; the
        last batches are then shorter, and some ranks may have one batch less than others.
    batches_ahead : int
        Finished batches to keep in store.
    recompile : bool
        Generate and compile the code of your own operations anew in every epoch; ffprep's are planned anew anyway.
    rank, world_size : int, optional
        Which share of how many this process takes. Giving them implies `distributed`.
    on_error : {'raise', 'skip', 'replace'}
        What to do about a sample that cannot be decoded: raise `DecodeError`, or warn and leave it out (if there is a
        mask, its row stays, as zeros, and is masked) or put another sample of the epoch in its place. Which one depends
        on the seed, the epoch and the position alone. The bad samples are in `errors`.
    window_pages : int
        Pages of the file that QUASI_RANDOM shuffles together.
    pad : {'repeat', 'mask'}, optional
        Fill up the last batches with the epoch's first samples, so that all ranks have the same number of full batches;
        `drop_last` is then ignored. With ``mask`` the last member of each tuple is a tensor of bool, shape (batch,):
        False where a row is such padding, so that an evaluation can count every sample exactly once.
    index : bool or path, optional
        The seek index that ``ffprep index`` makes, for fast crops of JPEGs without restart markers. By default the one
        beside the file, ``<fname>.index``, is used if it exists; one that belongs to another file is ignored, with a
        warning. True, or a path for a single file, requires an index; False uses none. Batches are the same either way.
    device : torch.device, str or int, optional
        Put every tensor on this device, as if each pipeline ended with ``ToDevice(device)``.
    weights : sequence of float, 'balanced' or 'equal', optional
        Share of each file in an epoch, up to a factor. ``'equal'`` gives all files the same share. ``'balanced'``
        counts different images, so that images with five captions are not shown five times as often as images with
        one. By default an epoch shows every sample of every file once. A file with a large share begins again, in a
        fresh order, when all of its samples have been shown; a file with a small share continues in the next epoch
        where this one stopped. A sample that comes more than once in an epoch is cropped and flipped anew each time.
    epoch_samples : int, optional
        Length of an epoch, over all ranks. By default the number of samples, or with ``'balanced'`` that of images.
    with_index : bool
        Give the samples' numbers, counted through all files, as one more output ``index``: int64, shape (batch,).
    framework : {'torch', 'numpy', 'jax'}
        Whose arrays batches hold. With ``numpy`` and ``jax``, `ToTensor` does nothing, `ToTorchImage` still puts the
        channels first, and torch is never imported. numpy's arrays go to any framework by DLPack, without a copy.
    custom_field_mapper : mapping of str to str, optional
        Further outputs and the fields that they read, as in FFCV-SSL: with ``{"second": "image"}``, ``pipelines`` may
        hold ``second``, a list that begins with a decoder of images. They come after the fields, in this order.
    error_budget : ErrorBudget, int or float, optional
        How many bad samples to put up with before `DecodeError` is raised: a count, a share of an epoch's samples, or
        an `ErrorBudget` of these and of bad samples in a row. By default any number.
    check : {'first', 'always', 'off'}
        Compare each value of the file with its checksum when it is first read, each time, or never. Tables are compared
        when the file is opened, unless ``'off'``. A value that changed since it was written is one that cannot be
        decoded. Files of ffprep have checksums; for others ``ffprep index`` records them, and without them nothing is
        compared.
    cache : path, optional
        Folder on local disk for the pages of remote files, which all processes of the machine share; by default the
        one that the environment names in ``FFPREP_CACHE``, or ``~/.cache/ffprep``.
    cache_limit : int, optional
        Bytes that the pages in this folder may take from now on, whoever reads them; by default 0.9 of the disk.
    pin_threads : bool or sequence of int
        Keep each worker thread on one processor: of those that this process may use, or of these, in turn.

    Attributes
    ----------
    files : Files
        The open files. If there is only one, it is also `reader`.
    indices : ndarray of int64
        The samples that an epoch shows, by their numbers over all files.
    seed : int
        What the order and the augmentations are drawn from.
    errors : LoaderErrors
        The bad samples met so far, in the batches that were handed out; `state_dict` keeps them.

    Raises
    ------
    OptionError
        An argument does not fit the file, or there would be no batch at all.
    BetonError
        The file cannot be used.
    """

    _reader_class: type[Reader] = FfcvReader

    def __init__(
        self,
        fname: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        batch_size: int,
        num_workers: int = -1,
        os_cache: bool = True,
        order: AnyOrder = OrderOption.SEQUENTIAL,
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
        check: str = "first",
        error_budget: ErrorBudget | int | float | None = None,
        with_index: bool = False,
        cache: str | os.PathLike[str] | None = None,
        cache_limit: int | None = None,
        framework: str = "torch",
        custom_field_mapper: Mapping[str, str] | None = None,
        pin_threads: bool | Sequence[int] = False,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "fname")}
        from ffprep.loader.epoch.pool_cache import PoolCache  # not at the top: it imports numba

        self.fname = paths_of(fname)
        self.batch_size = at_least(batch_size, 1, "batch_size")
        self.batches_ahead = at_least(batches_ahead, 0, "batches_ahead", MOST_AHEAD)
        self.num_workers = options.worker_threads(num_workers)
        self.drop_last = yes_or_no(drop_last, "drop_last") and pad is None
        self.os_cache = yes_or_no(os_cache, "os_cache")
        self.distributed = yes_or_no(distributed, "distributed") or rank is not None
        self.recompile = yes_or_no(recompile, "recompile")
        self.on_error = one_of(on_error, ("raise", "skip", "replace"), "on_error")
        self._budget, self.errors = as_budget(error_budget), LoaderErrors()
        self.pad = one_of(pad, ("repeat", "mask", None), "pad")
        self._window_pages = at_least(window_pages, 1, "window_pages")
        self._share = distributed_share(self.batch_size, distributed, rank, world_size, os.environ, pad is not None)
        self._pipelines = copied(pipelines)
        checked, places = one_of(check, CHECKS, "check"), files_of(self.fname, cache, cache_limit)
        self.files = open_files(places, custom_fields, self._reader_class, index, checked)
        if custom_field_mapper:
            self._pipelines = with_mapped_outputs(self._pipelines, custom_field_mapper, self.files.fields)
        if yes_or_no(with_index, "with_index"):
            self._pipelines = with_index_output(self._pipelines, self.files.fields)
        samples = self.files.num_samples
        self._chosen: Samples = range(samples) if indices is None else as_indices(indices, samples)
        self._order_option = order
        self._device = device
        self._memory = BatchMemory(self.batches_ahead, str(self.files))
        self._pool_cache = PoolCache(options.processors_to_pin(pin_threads))
        self._finalizer = weakref.finalize(self, self._pool_cache.close)
        self._finalizer.atexit = False
        self._iterators: weakref.WeakSet[EpochIterator[Batch]] = weakref.WeakSet()
        self._epoch_state = EpochState()
        self._closed = False
        self.seed = options.chosen_seed(seed, self.distributed)
        self._checked_pipelines = read_pipelines(self._pipelines, self.files)
        self._framework = one_of(framework, FRAMEWORKS, "framework")
        if device is not None:
            self._checked_pipelines = [on_device(pipeline, device) for pipeline in self._checked_pipelines]
        self._checked_pipelines = [for_framework(pipeline, framework) for pipeline in self._checked_pipelines]
        self._memory.check(self._plan())  # so that mistakes in the pipelines are reported now
        length = None if epoch_samples is None else at_least(epoch_samples, 1, "epoch_samples", MOST_SAMPLES)
        payloads = payload_fields({pipeline.source for pipeline in self._checked_pipelines}, self.files)
        self._meter = Meter(self.files, payloads)
        pages = self._window_pages
        self._sampling = Sampling(self.files, payloads, self._chosen, pages, self.os_cache, weights, length)
        self._order = self._sampling.order(self._order_option, self.seed, self)
        self._share = self._order.share(self._share)
        check_enough(len(self._order), self._share, self.drop_last, str(self.files))

    # -- epochs ----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of batches that this rank gets in a whole epoch."""
        return self._share.batches(len(self._order), self.drop_last)

    def __iter__(self) -> EpochIterator[Batch]:
        """Begin the next epoch, or continue the one that was loaded by `load_state_dict`.

        Returns
        -------
        iterator of tuples
            Each has one member for each output: the fields in the file's order, then outputs under other names, then
            the mask if there is one.
        """
        self._check_open()
        self._epoch_state.settle()
        progress = EpochProgress(self._epoch_state.epoch, self._epoch_state.first)
        if not progress.first:
            self.errors.in_a_row = 0
        iterator = self._start(progress, self._order, self._share, self.drop_last)
        self._epoch_state.begin(progress, iterator)
        return iterator

    def batch(self, samples: Sequence[int] | npt.NDArray[np.integer[Any]], epoch: int | None = None) -> Batch:
        """Make one batch of any samples, exactly as an epoch would; epochs that are running are not disturbed.

        Parameters
        ----------
        samples : sequence of int
            Numbers of samples in the file, one or more.
        epoch : int, optional
            Epoch for the random draws; by default the next one.

        Returns
        -------
        tuple
            One member for each output.
        """
        self._check_open()
        ids = as_indices(samples, self.files.num_samples)
        if len(ids) == 0:
            raise OptionError("a batch needs at least one sample")
        epoch = self._epoch_state.upcoming if epoch is None else at_least(epoch, 0, "epoch")
        share = Share(len(ids), padded=self.pad is not None)
        read = np.unique(self.files.file_of(ids)).tolist()
        iterator = self._start(EpochProgress(epoch, 0), SequentialOrder(ids), share, drop_last=False, read=read)
        try:
            return next(iterator)
        except StopIteration:
            raise DecodeError(f"{self.files}: none of the samples could be decoded") from None
        finally:
            iterator.close()

    def _check_open(self) -> None:
        if self._closed:
            raise FfprepError(f"{self.files}: this loader was closed")

    def _plan(self, epoch: int = 0) -> list[Output]:
        outputs = [plan_output(pipeline, self.files, epoch) for pipeline in self._checked_pipelines]
        return [*outputs, mask_output(self._device, self._framework)] if self.pad == "mask" else outputs

    def _start(
        self, progress: EpochProgress, order: Order, share: Share, drop_last: bool, read: Iterable[int] | None = None
    ) -> EpochIterator[Batch]:
        """Plan an epoch, write its program and start it: `share` of `order`, from where `progress` says.

        `read` are the files that it reads; None stands for all.
        """
        from ffprep.loader.engine.program import compile_program  # these import numba
        from ffprep.loader.epoch.iterator import EpochIterator
        from ffprep.loader.epoch.remote import fetching_of
        from ffprep.loader.epoch.scheduler import Scheduler
        from ffprep.loader.epoch.setup import EpochSetup

        self.files.watch.look(range(len(self.files)) if read is None else read)  # planning reads tables where they lie
        if self.recompile:
            for pipeline in self._checked_pipelines:
                pipeline.stages.clear()
        epoch, first = progress.epoch, progress.first
        outputs = self._plan(epoch)
        device_stream, buffers = self._memory.pools_for(outputs)
        ops = [op for output in outputs for op in output.natives]
        setup = EpochSetup(
            self.files, order, share, drop_last, epoch, self.seed, first, outputs,
            compile_program(ops, self.files, share.batch_size, self.seed, epoch), buffers, self.batches_ahead,
            self.on_error, self.errors.copy(), self._budget, self.pad == "mask", device_stream,
        )  # fmt: skip
        if order is self._order:
            setup.readahead = self._sampling.readahead(order, epoch, first, share, self.batches_ahead)
        setup.fetching = fetching_of(setup, self._sampling.payloads, order is self._order)
        scheduler = Scheduler(setup, self._pool_cache, self.num_workers)
        iterator: EpochIterator[Batch] = EpochIterator(scheduler, progress, self, self.batches_ahead, self._meter)
        self._iterators.add(iterator)
        return iterator

    # -- state -----------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return how far the running epoch has got, counting what was handed out and not what was prepared.

        Returns
        -------
        dict
            A few integers. ``position`` counts samples over all ranks: the state fits any number and batch size.
        """
        running, position = self._epoch_state.running, self._epoch_state.first
        if running is not None:
            position = self._share.consumed(running.batches, len(self._order), running.first)
        parts = self._sampling.parts(self._order)
        epoch = self._epoch_state.epoch if running is None else running.epoch
        name = order_name(self._order_option)
        state = SavedState(epoch, position, self.seed, len(self._order), name, parts).to_dict()
        return {**state, "errors": self.errors.to_dict()} if self.errors.count else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next ``iter(loader)`` continue exactly where `state_dict` was called.

        If the state lies at the end of an epoch, the next epoch begins, unless `set_epoch` names the epoch that was
        loaded: then its rest comes first, which is empty. So loops that count epochs and loops that do not go on right.

        Raises
        ------
        OptionError
            The state belongs to another data set or order.
        """
        known = read_state(state, len(self._order), order_name(self._order_option), self._sampling.parts(self._order))
        self.errors = LoaderErrors.from_dict(state.get("errors"))
        if known.seed != self.seed:
            self.seed = known.seed
            self._order = self._sampling.order(self._order_option, self.seed, self)
        self._epoch_state.go_to(known.epoch, known.position, known.position == len(self._order))

    def close(self) -> None:
        """End the threads and close the files. Batches that were handed out stay valid."""
        self._closed = True
        for iterator in list(self._iterators):
            iterator.close()
        self._meter.finish()
        self._pool_cache.close(wait=True)
        self._memory.close()
        self.files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __repr__(self) -> str:
        size = f"{len(self._chosen)} samples, {len(self)} batches of {self.batch_size}"
        return f"<Loader of {self.files}: {size}, {order_name(self._order_option)}, seed {self.seed}>"


__all__ = ["DEFAULT_OS_CACHE", "DEFAULT_PROCESS_CACHE", "ORDER_MAP", "ORDER_TYPE", "Loader", "OrderOption", "Share"]
