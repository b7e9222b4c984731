"""Threads that check the images that arrived.

Each takes several images at a time, since waking the event loop costs more than handing over an image.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ffprep.download.messages import FetchRequest, FetchResult

_Job = tuple[FetchRequest, bytes, "asyncio.Future[FetchResult]"]


class CheckThreads:
    """Threads that check images, a few per task.

    Parameters
    ----------
    check : callable
        Given a request and the bytes its URL returned; called in the threads.
    threads : int
        Number of threads.
    """

    MOST = 16
    """The most images that a thread takes at once."""

    def __init__(self, check: Callable[[FetchRequest, bytes], FetchResult], threads: int) -> None:
        self._check = check
        self._idle = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ffprep-check")
        self._queue: deque[_Job] = deque()

    async def check(self, request: FetchRequest, data: bytes) -> FetchResult:
        """Have the bytes that a request returned checked, and wait for the result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[FetchResult] = loop.create_future()
        self._queue.append((request, data, future))
        self._dispatch(loop)
        return await future

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Spread the queued jobs over the idle threads."""
        while self._idle and self._queue:
            self._idle -= 1
            per_thread = -(-len(self._queue) // (self._idle + 1))
            jobs = [self._queue.popleft() for _ in range(min(self.MOST, per_thread))]
            self._pool.submit(self._work, loop, jobs)

    def _work(self, loop: asyncio.AbstractEventLoop, jobs: list[_Job]) -> None:
        """Run some checks; called in a thread."""
        results: list[FetchResult | BaseException] = []
        for request, data, _ in jobs:
            try:
                results.append(self._check(request, data))
            except BaseException as error:
                results.append(error)
        loop.call_soon_threadsafe(self._finish, loop, jobs, results)

    def _finish(
        self, loop: asyncio.AbstractEventLoop, jobs: list[_Job], results: list[FetchResult | BaseException]
    ) -> None:
        """Deliver results; called in the event loop."""
        self._idle += 1
        for (_, _, future), result in zip(jobs, results, strict=True):
            if future.done():  # the loop is ending, after another error
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._dispatch(loop)
