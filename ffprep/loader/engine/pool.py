"""Worker threads and the memory they share with the consumer.

The threads know :class:`SharedTables` and nothing else, so a pool, an iterator or a loader can be dropped at any time:
the threads are told to end, they finish what they have claimed, and the memory goes when the last of them has ended.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep import abi
from ffprep.common.closing import call_when_gone, close_descriptors
from ffprep.errors import FfprepError
from ffprep.jpeg import native
from ffprep.kernels.image.job import free_thread, new_thread
from ffprep.loader.engine import worker
from ffprep.loader.engine.buffers import Lent
from ffprep.loader.engine.program import Program

JOIN_SECONDS = 10.0

FEW = 256
"""Of up to so many files, telling all tasks where the outputs are takes less time than choosing."""


class _Held(threading.local):
    """Locks of the compiler that a thread which forks has taken, in this order."""

    def __init__(self) -> None:
        self.locks: list[Any] = []


_held = _Held()


def _hold_compiler() -> None:
    numbas, llvms = sys.modules.get("numba.core.compiler_lock"), sys.modules.get("llvmlite.binding.ffi")
    for module, name in ((numbas, "global_compiler_lock"), (getattr(llvms, "lib", None), "_lock")):
        lock = getattr(module, name, None)  # none where nothing has been compiled, or in another numba
        if lock is not None:
            lock.__enter__()
            _held.locks.append(lock)


def _release_compiler() -> None:
    while _held.locks:
        _held.locks.pop().__exit__(None, None, None)


# A fork while another thread compiles would leave numba's and LLVM's locks held for ever in the child.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_compiler, after_in_parent=_release_compiler, after_in_child=_release_compiler)


class Pipe:
    """Two file descriptors, closed when nobody holds them any more."""

    def __init__(self, *, blocking_writes: bool) -> None:
        self.reads, self.writes = os.pipe()
        call_when_gone(self, close_descriptors, (self.reads, self.writes))
        os.set_blocking(self.writes, blocking_writes)


def as_bytes(records: npt.NDArray[np.void]) -> npt.NDArray[np.uint8]:
    """Return the bytes of an array of records, in one dimension; a view."""
    return records.reshape(-1).view(np.uint8)


class SharedTables:
    """All that worker threads read and write; its arrays are those of :func:`ffprep.loader.engine.worker.work`."""

    def __init__(self, slots: int, operations: int, batch_size: int, grain: int, files: int) -> None:
        self.work_pipe = Pipe(blocking_writes=False)
        self.done_pipe = Pipe(blocking_writes=True)
        self.control = np.zeros(1, abi.CONTROL)
        self.control_address = self.control.ctypes.data
        self.control["batch_size"] = batch_size
        self.control["slots"] = slots
        self.control["grain"] = grain
        self.control["work_fd"] = self.work_pipe.reads
        self.control["done_fd"] = self.done_pipe.writes
        self.slots = np.zeros(slots, abi.SLOT)
        self.ids = np.zeros((slots, batch_size), np.int64)
        self.keys = np.zeros((slots, batch_size), np.int64)
        self.starts = np.zeros((slots, files + 1), np.int64)
        self.tasks = np.zeros((slots, files, operations), abi.TASK)
        self.specs = np.zeros((slots, operations), abi.IMAGE_SPEC)
        self.items = np.zeros((slots, operations, batch_size), abi.ITEM)
        self.used = np.zeros((slots, operations, batch_size), abi.BOX)
        self.status = np.zeros((slots, operations, batch_size), np.int64)
        # Made once, since batches of small samples come fast: numpy copies records field by field, not as bytes, and
        # looks a field up by its name at each use.
        self.task_bytes = as_bytes(self.tasks).reshape(slots, -1)
        self.spec_bytes = as_bytes(self.specs).reshape(slots, -1)
        self.outs, self.lengths = self.tasks["out"], self.tasks["lengths"]
        self.counts, self.failures = self.slots["count"], self.slots["failed"]
        self.slot_addresses = [self.slots.ctypes.data + slot * self.slots.itemsize for slot in range(slots)]
        self.kept: list[Any] = [None] * slots
        self.programs: list[Program | None] = [None] * slots
        self.crashes: list[BaseException] = []

    def wake(self, threads: int) -> None:
        """Wake that many sleeping threads."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.work_pipe.writes, b"\0" * threads)

    def run(self, thread: npt.NDArray[np.void]) -> None:
        """Work in the calling thread until the order to end."""
        worker.work(
            self.control, self.slots, self.ids, self.keys, self.starts, self.tasks, self.specs,
            self.items, self.used, self.status, thread, np.zeros(8, np.uint8),
        )  # fmt: skip


class WorkerPool:
    """Worker threads, and a ring of batches they are filling.

    Parameters
    ----------
    threads : int
    slots : int
        Batches that can be under way at once.
    operations : int
        Operations of the programs that will be published.
    batch_size : int
    grain : int
        Samples a thread takes at a time.
    files : int
        Files of the programs that will be published.
    processors : sequence of int
        Processors to keep the threads on, in turn; without any, they run anywhere.
    """

    def __init__(
        self,
        threads: int,
        slots: int,
        operations: int,
        batch_size: int,
        grain: int,
        files: int,
        processors: Sequence[int] = (),
    ) -> None:
        self.shape = (threads, slots, operations, batch_size, grain, files)
        self.pid = os.getpid()
        self._tables = SharedTables(slots, operations, batch_size, grain, files)
        self._slots = slots
        self._published = 0
        self._collected = 0
        decode = native.entry("ffp_decode_region")
        owned = [new_thread(0, decode) for _ in range(threads)]
        self._compile(owned[0])
        self._threads = [
            threading.Thread(
                target=_thread_main,
                args=(self._tables, mine, processors[i % len(processors)] if processors else None),
                name=f"ffprep-worker-{i}",
                daemon=True,
            )
            for i, mine in enumerate(owned)
        ]
        self._finalizer = weakref.finalize(self, _order_to_end, self._tables, threads, self.pid)
        self._finalizer.atexit = False
        _live.add(self)
        for thread in self._threads:
            thread.start()

    def _compile(self, thread: npt.NDArray[np.void]) -> None:
        """Compile everything that the threads will call, by calling it once without effect."""
        self._tables.control["stop"] = 1
        self._tables.run(thread)
        self._tables.control["stop"] = 0
        free_thread(thread)

    @property
    def pending(self) -> int:
        """Batches published and not collected."""
        return self._published - self._collected

    @property
    def ready(self) -> int:
        """Batches that the workers are done with and that can be collected at once."""
        addresses, batches = self._tables.slot_addresses, range(self._collected, self._published)
        left = (worker.load_field(addresses[batch % self._slots] + worker.LEFT) for batch in batches)
        return sum(1 for _ in itertools.takewhile(lambda tickets: tickets == 0, left))

    @property
    def has_room(self) -> bool:
        """Whether another batch can be published."""
        return self.pending < self._slots

    @property
    def usable(self) -> bool:
        """Whether its threads are alive, in this process."""
        return self.pid == os.getpid() and self._finalizer.alive and not self._tables.crashes

    def publish(
        self,
        ids: npt.NDArray[np.int64],
        keys: npt.NDArray[np.int64],
        program: Program,
        outputs: Sequence[Sequence[Lent]],
        members: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Hand a batch to the workers.

        The pool keeps the outputs and the program alive until the batch is collected.

        Parameters
        ----------
        ids : ndarray of int64
            Samples, at most the batch size.
        keys : ndarray of int64
            What their random draws are keyed by.
        program : Program
        outputs : for each operation, its arrays, with their addresses
            First the rows, then the lengths if there are any.
        members : ndarray of int64, optional
            Index of the file that each sample belongs to: only the tasks of these are told where the outputs are, since
            telling thousands of others takes longer than a small batch. By default all are.
        """
        try:
            self._publish(ids, keys, program, outputs, members)
        except BaseException:  # also an interrupt: a half-published batch would never end
            self.stop(wait=False)
            raise

    def _publish(
        self,
        ids: npt.NDArray[np.int64],
        keys: npt.NDArray[np.int64],
        program: Program,
        outputs: Sequence[Sequence[Lent]],
        members: npt.NDArray[np.int64] | None,
    ) -> None:
        tables, slot = self._tables, self._published % self._slots
        self._published += 1
        tables.ids[slot, : len(ids)] = ids
        tables.keys[slot, : len(ids)] = keys
        if tables.programs[slot] is not program:  # else all of this is there from the batch before
            tables.starts[slot] = program.starts
            tables.task_bytes[slot], tables.spec_bytes[slot] = as_bytes(program.tasks), as_bytes(program.specs)
            tables.programs[slot] = program
        few = members is None or len(program.tasks) <= FEW
        for o, arrays in enumerate(outputs):
            for table, (_, place) in zip((tables.outs, tables.lengths), arrays, strict=False):
                if few:
                    table[slot, :, o] = place
                else:
                    table[slot, 0, o] = place  # where a kernel makes all rows at once, it looks here
                    table[slot, members, o] = place
        tables.slots[slot] = (tables.ids.shape[1], len(ids), 0, 0)  # left, count, cancelled, failed
        tables.kept[slot] = outputs
        asleep = worker.publish(tables.control_address, tables.ids.shape[1])
        if asleep:
            claims = -(-tables.ids.shape[1] // int(self.shape[4]))
            tables.wake(min(asleep, len(self._threads), claims))

    def collect(self) -> npt.NDArray[np.int64] | None:
        """Wait for the oldest batch.

        Returns
        -------
        ndarray of int64, shape (operations, rows), or None
            Status of each row, when one failed.
        """
        tables, slot = self._tables, self._collected % self._slots
        while worker.load_field(tables.slot_addresses[slot] + worker.LEFT) != 0:
            self._check()
            os.read(tables.done_pipe.reads, 4096)
        failed = tables.failures[slot] != 0
        status = tables.status[slot, :, : tables.counts[slot]].copy() if failed else None
        tables.kept[slot] = None
        self._collected += 1
        return status

    def cancel(self) -> None:
        """Tell the workers to skip what is left of the batches under way; return at once."""
        for batch in range(self._collected, self._published):
            worker.store_field(self._tables.slot_addresses[batch % self._slots] + worker.CANCELLED, 1)

    def drain(self) -> None:
        """Wait until the workers have done all batches under way, and discard them."""
        while self.pending:
            self.collect()

    def _check(self) -> None:
        if self.pid != os.getpid():
            raise FfprepError("this epoch was begun before a fork; begin one in this process with iter(loader)")
        if self._tables.crashes:
            raise FfprepError(f"a worker thread died: {self._tables.crashes[0]!r}") from self._tables.crashes[0]
        if not self._finalizer.alive:
            raise FfprepError("the loader was closed while an epoch was running")

    def stop(self, wait: bool) -> None:
        """Tell the threads to end; with `wait`, return when they have."""
        self._finalizer()
        if wait and self.pid == os.getpid():
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(JOIN_SECONDS)


def _thread_main(tables: SharedTables, thread: npt.NDArray[np.void], processor: int | None) -> None:
    # Nothing here may take a lock of the compiler or of imports: a fork would leave it locked in the child.
    context = None
    try:
        if processor is not None:
            with contextlib.suppress(OSError):  # it was taken from the process in the meantime
                os.sched_setaffinity(0, [processor])  # of this thread
        context = native.library().ffp_context_new()
        if not context:
            raise MemoryError("no memory for a JPEG decoder")
        thread["context"] = context
        tables.run(thread)
    except BaseException as error:
        tables.crashes.append(error)
        os.write(tables.done_pipe.writes, b"\0")
    finally:
        free_thread(thread)
        if context:
            native.library().ffp_context_free(context)


def _order_to_end(tables: SharedTables, threads: int, pid: int) -> None:
    if pid == os.getpid():
        worker.store_field(tables.control_address + worker.STOP, 1)
        tables.wake(threads)
        with contextlib.suppress(OSError):
            os.write(tables.done_pipe.writes, b"\0")  # whoever waits for a batch looks again


_live: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    # Threads without the GIL must not outlive the interpreter's tables.
    pools = list(_live)
    for pool in pools:
        pool.stop(wait=False)
    for pool in pools:
        pool.stop(wait=True)
