"""The processes that fetch, as the process sees them that gives them rows."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle

from ffprep.download.messages import Asked, Close, Found, Open, Share
from ffprep.errors import FfprepError

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    "from ffprep.download.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_AHEAD = 64
"""Rows a process may have waiting beside those it fetches: enough for the time until it is given more."""


class Team:
    """Processes that fetch, each with its share of the connections.

    Started as programs of their own, not forked: the caller may have threads and locks, and need not protect its main
    module. Use as a context manager; whatever ends it, no process is left.

    Parameters
    ----------
    shares : sequence of Share
        One a process.

    Raises
    ------
    FfprepError
        From any method: a process died.
    Exception
        What ended a process, from `collect`.
    """

    def __init__(self, shares: Sequence[Share]) -> None:
        self._shares = shares
        self._processes: list[_Process] = []
        self._woken, self._alarm = Pipe(duplex=False)

    def __enter__(self) -> Team:
        try:
            for share in self._shares:
                self._processes.append(_Process(share))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, whatever they are doing."""
        for process in self._processes:
            process.kill()
        for end in (self._woken, self._alarm):
            end.close()

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return any(process.under_way for process in self._processes)

    def room(self) -> tuple[int, int]:
        """Number of the process that can take most rows, and how many."""
        rooms = [process.room for process in self._processes]
        most = max(rooms)
        return rooms.index(most), most

    def open(self, process: int, shard: int, descriptor: int) -> None:
        """Hand a process the file for a shard's images."""
        self._processes[process].send(Open(shard), descriptor)

    def close_shard(self, processes: Iterable[int], shard: int) -> None:
        """Let processes forget a shard."""
        for process in processes:
            self._processes[process].send(Close(shard))

    def give(self, process: int, rows: list[Asked]) -> None:
        """Have a process fetch rows."""
        self._processes[process].give(rows)

    def wake(self) -> None:
        """End a `collect` that waits; from any thread."""
        self._alarm.send_bytes(b"")

    def collect(self) -> Iterator[tuple[int, list[Found]]]:
        """Wait for results, or for `wake`; the number of the process, and what it found."""
        pipes = {process.results: number for number, process in enumerate(self._processes)}
        for ready in wait([*pipes, self._woken]):
            if ready is self._woken:
                self._woken.recv_bytes()
            else:
                assert isinstance(ready, Connection)
                number = pipes[ready]
                yield number, self._processes[number].receive()


class _Process:
    """One process, its two pipes, and how many rows it has."""

    def __init__(self, share: Share) -> None:
        ours, theirs = socket.socketpair()
        self.results, outgoing = Pipe(duplex=False)
        self._orders = Connection(ours.detach())
        self._most = share.connections + min(share.connections, _AHEAD)
        self.under_way = 0
        try:
            descriptors = (theirs.fileno(), outgoing.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                start_new_session=True,  # Ctrl-C is for the process that gives the orders
            )
        finally:
            theirs.close()
            outgoing.close()
        self.send(share)

    @property
    def room(self) -> int:
        return self._most - self.under_way

    def send(self, order: object, descriptor: int | None = None) -> None:
        try:
            self._orders.send(order)
            if descriptor is not None:
                send_handle(self._orders, descriptor, self._process.pid)
        except OSError as error:
            raise self._end() from error

    def give(self, rows: list[Asked]) -> None:
        self.under_way += len(rows)
        self.send(rows)

    def receive(self) -> list[Found]:
        try:
            found = self.results.recv()
        except (EOFError, OSError) as error:
            raise self._end() from error
        if isinstance(found, BaseException):
            raise found
        assert isinstance(found, list)
        self.under_way -= len(found)
        return found

    def _end(self) -> BaseException:
        """Why the process is gone: what it last said, or how it ended."""
        try:
            while self.results.poll():
                if isinstance(said := self.results.recv(), BaseException):
                    return said
        except (EOFError, OSError):
            pass
        self._process.kill()  # does nothing to one that has ended
        status = self._process.wait()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        return FfprepError(f"a process that fetches images {how}; complete shards are kept: the same command goes on")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._orders.close()
        self.results.close()
