"""The worker processes, from the point of view of the process that gives them rows to fetch."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from pathlib import Path

from ffprep.download.messages import (
    CloseShard,
    FetchRequest,
    FetchResult,
    FetchResults,
    NoMoreRows,
    OpenShard,
    WorkerConfig,
)
from ffprep.download.settings import DownloadOptions
from ffprep.errors import FfprepError, OptionError

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    "from ffprep.download.fetch_worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_QUEUED = 64
"""The most rows that wait in a worker besides those it is fetching: enough to last until it is given more."""

OTHER_FILES = 64
"""The most files that a worker has open besides its connections: shards, pipes, those of libraries."""

_HELD = 8192
"""The most rows that wait in a worker because their hosts may not be asked now; others are given in their place."""


def worker_configs(options: DownloadOptions, cpus: int) -> list[WorkerConfig]:
    """Split the connections among the workers, so that together they have as many as were asked for.

    Parameters
    ----------
    options : DownloadOptions
    cpus : int
        Processors to use.

    Raises
    ------
    OptionError
        There is nothing to split, or a process would have more files open than it may.
    """
    count = cpus if options.workers is None else options.workers
    count = min(count, options.connections, options.per_host)
    if count < 1:
        raise OptionError("workers, connections and per_host must be at least 1")
    threads = min(32, max(1, cpus // count))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and -(-options.connections // count) + OTHER_FILES > files:
        raise OptionError(
            f"{options.connections} connections in {count} processes, but a process may open {files} files only; "
            "use fewer connections or more workers"
        )

    def part(whole: int, process: int) -> int:
        return whole // count + (process < whole % count)  # the first ones get one more where it does not divide

    return [
        WorkerConfig(options, part(options.connections, process), part(options.per_host, process), threads)
        for process in range(count)
    ]


class WorkerProcesses:
    """Worker processes, each with its part of the connections. Use as a context manager: none outlives it.

    They are started as programs of their own, not forked: the caller may have threads and locks, and its main module
    needs no guard.

    Parameters
    ----------
    configs : sequence of WorkerConfig
        One for each process.

    Raises
    ------
    FfprepError
        From any method, when a process has died.
    Exception
        From `collect`: the error that ended a process.
    """

    def __init__(self, configs: Sequence[WorkerConfig]) -> None:
        self._configs = configs
        self._processes: list[_WorkerProcess] = []
        self._wake_receiver, self._wake_sender = Pipe(duplex=False)

    def __enter__(self) -> WorkerProcesses:
        try:
            for config in self._configs:
                self._processes.append(_WorkerProcess(config))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill all processes, whatever they are doing."""
        for process in self._processes:
            process.kill()
        for end in (self._wake_receiver, self._wake_sender):
            end.close()

    @property
    def busy(self) -> bool:
        """Whether any request is unanswered."""
        return any(process.in_flight for process in self._processes)

    def most_room(self) -> tuple[int, int]:
        """Number of the process that can take the most rows, and how many it can take."""
        rooms = [process.room for process in self._processes]
        most = max(rooms)
        return rooms.index(most), most

    def open_shard(self, process: int, shard: int, path: Path, descriptor: int) -> None:
        """Pass a process the file to which it appends a shard's images."""
        self._processes[process].send(OpenShard(shard, path), descriptor)

    def close_shard(self, processes: Iterable[int], shard: int) -> None:
        """Tell processes to close their files of a shard."""
        for process in processes:
            self._processes[process].send(CloseShard(shard))

    def give(self, process: int, requests: list[FetchRequest]) -> None:
        """Give a process rows to fetch."""
        self._processes[process].give(requests)

    def no_more(self) -> None:
        """Tell the processes that nothing can be given to them until they have results."""
        for process in self._processes:
            process.no_more()

    def wake(self) -> None:
        """Make a waiting `collect` return; may be called from any thread."""
        self._wake_sender.send_bytes(b"")

    def collect(self) -> Iterator[tuple[int, list[FetchResult]]]:
        """Wait for results or for `wake`; yields process numbers with their results."""
        pipes = {process.results: number for number, process in enumerate(self._processes)}
        for ready in wait([*pipes, self._wake_receiver]):
            if ready is self._wake_receiver:
                self._wake_receiver.recv_bytes()
            else:
                assert isinstance(ready, Connection)
                number = pipes[ready]
                yield number, self._processes[number].receive()


class _WorkerProcess:
    """One process, its two pipes, and how many rows it has been given."""

    def __init__(self, config: WorkerConfig) -> None:
        ours, theirs = socket.socketpair()
        self.results, outgoing = Pipe(duplex=False)
        self._requests = Connection(ours.detach())
        self._capacity = config.connections + min(config.connections, _QUEUED)
        self.in_flight = 0
        self._held = 0
        self._told = False
        try:
            descriptors = (theirs.fileno(), outgoing.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for the downloading process, which then ends this one
            )
        finally:
            theirs.close()
            outgoing.close()
        self.send(config)

    @property
    def room(self) -> int:
        return max(0, self._capacity + self._held - self.in_flight)

    def send(self, message: object, descriptor: int | None = None) -> None:
        try:
            self._requests.send(message)
            if descriptor is not None:
                send_handle(self._requests, descriptor, self._process.pid)
        except OSError as error:
            raise self._cause_of_death() from error

    def give(self, requests: list[FetchRequest]) -> None:
        self.in_flight += len(requests)
        self._told = False
        self.send(requests)

    def no_more(self) -> None:
        if not self._told:
            self._told = True
            self.send(NoMoreRows())

    def receive(self) -> list[FetchResult]:
        try:
            received = self.results.recv()
        except (EOFError, OSError) as error:
            raise self._cause_of_death() from error
        if isinstance(received, BaseException):
            raise received
        assert isinstance(received, FetchResults)
        self.in_flight -= len(received.results)
        self._held = min(received.held, _HELD)
        return received.results

    def _cause_of_death(self) -> BaseException:
        """Why the process is gone: the error that it sent last, or its exit status."""
        try:
            while self.results.poll():
                if isinstance(last := self.results.recv(), BaseException):
                    return last
        except (EOFError, OSError):
            pass
        self._process.kill()  # does nothing if it has ended already
        status = self._process.wait()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return FfprepError(
            f"a process that fetches images {how}; complete shards are kept: the same command goes on from there"
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self.results.close()
