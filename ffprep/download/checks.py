"""Checking what arrived in threads, many at a time: waking the event loop costs more than handing over an image."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ffprep.download.messages import Asked, Found

_Waiting = tuple[Asked, bytes, "asyncio.Future[Found]"]


class Checks:
    """Threads that check images, each a few at a time.

    Parameters
    ----------
    check : callable
        Given a row and what its URL gave; run in the threads.
    threads : int
    """

    MOST = 16
    """Images a thread takes at once."""

    def __init__(self, check: Callable[[Asked, bytes], Found], threads: int) -> None:
        self._check = check
        self._free = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ffprep-check")
        self._waiting: deque[_Waiting] = deque()

    async def put(self, row: Asked, data: bytes) -> Found:
        """What became of an image."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((row, data, future))
        self._start(loop)
        return await future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._free and self._waiting:
            self._free -= 1
            share = -(-len(self._waiting) // (self._free + 1))
            some = [self._waiting.popleft() for _ in range(min(self.MOST, share))]
            self._pool.submit(self._work, loop, some)

    def _work(self, loop: asyncio.AbstractEventLoop, some: list[_Waiting]) -> None:
        done: list[Found | BaseException] = []
        for row, data, _ in some:
            try:
                done.append(self._check(row, data))
            except BaseException as error:
                done.append(error)
        loop.call_soon_threadsafe(self._finish, loop, some, done)

    def _finish(self, loop: asyncio.AbstractEventLoop, some: list[_Waiting], done: list[Found | BaseException]) -> None:
        self._free += 1
        for (_, _, future), found in zip(some, done, strict=True):
            if isinstance(found, BaseException):
                future.set_exception(found)
            else:
                future.set_result(found)
        self._start(loop)
