"""Worker threads and the memory they share with the consumer.

The threads know :class:`PoolMemory` and nothing else, so a pool, an iterator or a loader can be dropped at any time:
the threads are told to end, finish the row they are at, and the memory goes when the last of them has gone.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite.binding.ffi import lib as llvm
from numba.core.compiler_lock import global_compiler_lock

from ffprep.errors import FfprepError
from ffprep.jpeg import native
from ffprep.kernels.image import job as kernel_job
from ffprep.loader.engine import rows, worker

JOIN_SECONDS = 10.0


def _hold_compiler() -> None:
    global_compiler_lock.acquire()
    llvm._lock.__enter__()


def _release_compiler() -> None:
    llvm._lock.__exit__()
    global_compiler_lock.release()


# A fork while another thread compiles would leave numba's and LLVM's locks held for ever in the child.
if hasattr(os, "register_at_fork") and hasattr(llvm, "_lock"):
    os.register_at_fork(before=_hold_compiler, after_in_parent=_release_compiler, after_in_child=_release_compiler)


@dataclass(frozen=True)
class Program:
    """What workers do with each sample: a line of `ops` for each file and operation, a row of the other arrays for each
    operation. See `worker.work`.
    """

    starts: npt.NDArray[np.int64]
    ops: npt.NDArray[np.int64]
    spec: npt.NDArray[np.int64]
    reals: npt.NDArray[np.float64]
    colour: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, count: int, starts: npt.NDArray[np.int64]) -> Program:
        """A program of `count` operations that are all zero, for files that begin at `starts`."""
        return cls(
            starts,
            np.zeros((len(starts) - 1, count, rows.OP_SIZE), np.int64),
            np.zeros((count, kernel_job.SPEC_SIZE), np.int64),
            np.zeros((count, kernel_job.REALS_SIZE), np.float64),
            np.zeros((count, 6), np.float32),
        )


class Pipe:
    """Two file descriptors, closed when nobody holds them any more."""

    def __init__(self, *, blocking_writes: bool) -> None:
        self.reads, self.writes = os.pipe()
        os.set_blocking(self.writes, blocking_writes)

    def __del__(self) -> None:
        for descriptor in (self.reads, self.writes):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class PoolMemory:
    """All that worker threads read and write."""

    def __init__(self, slots: int, operations: int, batch_size: int, grain: int, files: int) -> None:
        self.work_pipe = Pipe(blocking_writes=False)
        self.done_pipe = Pipe(blocking_writes=True)
        self.control = np.zeros(worker.CONTROL_SIZE, np.int64)
        self.control[worker.C_BATCH_SIZE] = batch_size
        self.control[worker.C_SLOTS] = slots
        self.control[worker.C_GRAIN] = grain
        self.control[worker.C_WORK_FD] = self.work_pipe.reads
        self.control[worker.C_DONE_FD] = self.done_pipe.writes
        self.slots = np.zeros((slots, worker.SLOT_SIZE), np.int64)
        self.ids = np.zeros((slots, batch_size), np.int64)
        self.keys = np.zeros((slots, batch_size), np.int64)
        self.program = Program(
            np.zeros((slots, files + 1), np.int64),
            np.zeros((slots, files, operations, rows.OP_SIZE), np.int64),
            np.zeros((slots, operations, kernel_job.SPEC_SIZE), np.int64),
            np.zeros((slots, operations, kernel_job.REALS_SIZE), np.float64),
            np.zeros((slots, operations, 6), np.float32),
        )
        self.items = np.zeros((slots, operations, batch_size, kernel_job.ITEM_SIZE), np.int64)
        self.used = np.zeros((slots, operations, batch_size, kernel_job.USED_SIZE), np.float64)
        self.status = np.zeros((slots, operations, batch_size), np.int64)
        self.kept: list[Any] = [None] * slots
        self.crashes: list[BaseException] = []

    def wake(self, threads: int) -> None:
        """Wake that many sleeping threads."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.work_pipe.writes, b"\0" * threads)

    def run(self, thread: npt.NDArray[np.int64]) -> None:
        """Work in the calling thread until the order to end."""
        worker.work(
            self.control, self.slots, self.ids, self.keys, self.program.starts, self.program.ops, self.program.spec,
            self.program.reals, self.program.colour, self.items, self.used, self.status, thread, np.zeros(8, np.uint8),
        )  # fmt: skip


class Pool:
    """Worker threads, and a ring of batches they are filling.

    Parameters
    ----------
    threads : int
    slots : int
        Batches that can be under way at once.
    operations : int
        Rows of the programs that will be published.
    batch_size : int
    grain : int
        Samples a thread takes at a time.
    files : int
        Files of the programs that will be published.
    """

    def __init__(self, threads: int, slots: int, operations: int, batch_size: int, grain: int, files: int) -> None:
        self.shape = (threads, slots, operations, batch_size, grain, files)
        self.pid = os.getpid()
        self._memory = PoolMemory(slots, operations, batch_size, grain, files)
        self._slots = slots
        self._published = 0
        self._collected = 0
        decode = ctypes.cast(native.library().ffp_decode_region, ctypes.c_void_p).value or 0
        owned = [kernel_job.new_thread(0, decode) for _ in range(threads)]
        self._compile(owned[0])
        self._threads = [
            threading.Thread(target=_thread_main, args=(self._memory, mine), name=f"ffprep-worker-{i}", daemon=True)
            for i, mine in enumerate(owned)
        ]
        self._finalizer = weakref.finalize(self, _order_to_end, self._memory, threads, self.pid)
        self._finalizer.atexit = False
        _live.add(self)
        for thread in self._threads:
            thread.start()

    def _compile(self, thread: npt.NDArray[np.int64]) -> None:
        """Call everything that the threads will call, once, without effect."""
        self._memory.control[worker.C_STOP] = 1
        self._memory.run(thread)
        self._memory.control[worker.C_STOP] = 0
        kernel_job.free_thread(thread)

    @property
    def pending(self) -> int:
        """Batches published and not collected."""
        return self._published - self._collected

    @property
    def has_room(self) -> bool:
        """Whether another batch can be published."""
        return self.pending < self._slots

    @property
    def usable(self) -> bool:
        """Whether its threads live, in this process."""
        return self.pid == os.getpid() and self._finalizer.alive and not self._memory.crashes

    def publish(
        self,
        ids: npt.NDArray[np.int64],
        keys: npt.NDArray[np.int64],
        program: Program,
        outputs: Sequence[Sequence[npt.NDArray[Any]]],
        kept: Any,
    ) -> None:
        """Hand a batch to the workers.

        Parameters
        ----------
        ids : ndarray of int64
            Samples, at most the batch size.
        keys : ndarray of int64
            What their random draws are keyed by.
        program : Program
        outputs : for each operation, its arrays
            First the rows, then the lengths if there are any.
        kept : object
            Kept alive until the batch is collected, with the outputs.
        """
        try:
            self._publish(ids, keys, program, outputs, kept)
        except BaseException:  # also an interrupt: a half-published batch would never end
            self.stop(wait=False)
            raise

    def _publish(
        self,
        ids: npt.NDArray[np.int64],
        keys: npt.NDArray[np.int64],
        program: Program,
        outputs: Sequence[Sequence[npt.NDArray[Any]]],
        kept: Any,
    ) -> None:
        memory, slot = self._memory, self._published % self._slots
        self._published += 1
        memory.ids[slot, : len(ids)] = ids
        memory.keys[slot, : len(ids)] = keys
        for mine, given in (
            (memory.program.starts, program.starts),
            (memory.program.ops, program.ops),
            (memory.program.spec, program.spec),
            (memory.program.reals, program.reals),
            (memory.program.colour, program.colour),
        ):
            mine[slot] = given
        for o, arrays in enumerate(outputs):
            memory.program.ops[slot, :, o, rows.O_OUT] = arrays[0].ctypes.data
            memory.program.ops[slot, :, o, rows.O_LENGTHS] = arrays[1].ctypes.data if len(arrays) > 1 else 0
        row = memory.slots[slot]
        row[worker.SLOT_LEFT] = memory.ids.shape[1]
        row[worker.SLOT_COUNT] = len(ids)
        row[worker.SLOT_CANCELLED] = 0
        row[worker.SLOT_FAILED] = 0
        memory.kept[slot] = (outputs, kept)
        asleep = worker.publish(memory.control, memory.ids.shape[1])
        if asleep:
            memory.wake(min(asleep, len(self._threads)))

    def collect(self) -> npt.NDArray[np.int64] | None:
        """Wait for the oldest batch.

        Returns
        -------
        ndarray of int64, shape (operations, rows), or None
            Status of each row, when one failed.
        """
        memory, slot = self._memory, self._collected % self._slots
        while worker.peek(memory.slots[slot], worker.SLOT_LEFT) != 0:
            self._check()
            os.read(memory.done_pipe.reads, 4096)
        row = memory.slots[slot]
        failed = row[worker.SLOT_FAILED] != 0
        status = memory.status[slot, :, : row[worker.SLOT_COUNT]].copy() if failed else None
        memory.kept[slot] = None
        self._collected += 1
        return status

    def cancel(self) -> None:
        """Let workers skip what is left of the batches under way; returns at once."""
        for batch in range(self._collected, self._published):
            worker.poke(self._memory.slots[batch % self._slots], worker.SLOT_CANCELLED, 1)

    def drain(self) -> None:
        """Wait until workers are done with all batches under way, and forget these."""
        while self.pending:
            self.collect()

    def _check(self) -> None:
        if self.pid != os.getpid():
            raise FfprepError("this epoch was begun before a fork; begin one in this process with iter(loader)")
        if self._memory.crashes:
            raise FfprepError(f"a worker thread died: {self._memory.crashes[0]!r}") from self._memory.crashes[0]
        if not self._finalizer.alive:
            raise FfprepError("the loader was closed while an epoch was running")

    def stop(self, wait: bool) -> None:
        """Tell the threads to end; with `wait`, return when they have."""
        self._finalizer()
        if wait and self.pid == os.getpid():
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(JOIN_SECONDS)


def _thread_main(memory: PoolMemory, thread: npt.NDArray[np.int64]) -> None:
    # Nothing here may take a lock of the compiler or of imports: a fork would leave it locked in the child.
    context = None
    try:
        context = thread[kernel_job.T_CONTEXT] = native.library().ffp_context_new()
        if not context:
            raise MemoryError("no memory for a JPEG decoder")
        memory.run(thread)
    except BaseException as error:
        memory.crashes.append(error)
        os.write(memory.done_pipe.writes, b"\0")
    finally:
        kernel_job.free_thread(thread)
        if context:
            native.library().ffp_context_free(context)


def _order_to_end(memory: PoolMemory, threads: int, pid: int) -> None:
    if pid == os.getpid():
        worker.poke(memory.control, worker.C_STOP, 1)
        memory.wake(threads)
        with contextlib.suppress(OSError):
            os.write(memory.done_pipe.writes, b"\0")  # whoever waits for a batch looks again


_live: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    # Threads without the GIL must not outlive the interpreter's memory.
    pools = list(_live)
    for pool in pools:
        pool.stop(wait=False)
    for pool in pools:
        pool.stop(wait=True)
