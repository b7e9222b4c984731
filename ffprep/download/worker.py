"""A process that fetches: an event loop that speaks HTTP, threads that check, files of shards that it appends to.

It ends when its orders do: the process that gives them closes the pipe, or dies, and what was under way is of no use to
anyone. Its results are complete when they are reported.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import signal
import threading
import traceback
from collections.abc import Coroutine
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any, NoReturn

from ffprep.download.checks import Checks
from ffprep.download.fetch import Fetcher
from ffprep.download.images import Unusable, check_image
from ffprep.download.messages import Asked, Close, Found, Open, Share
from ffprep.download.shards import Appender


def main(orders: int, results: int) -> NoReturn:
    """Fetch what is ordered until there are no more orders.

    Parameters
    ----------
    orders, results : int
        Descriptors of a socket to read from and of a pipe to write to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever gives the orders is told, too
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is an open file
    pipe = Connection(results, readable=False)
    try:
        incoming = Connection(orders)
        _run_loop(_Worker(incoming, pipe, incoming.recv()).work())
    except (EOFError, BrokenPipeError):
        os._exit(0)
    except BaseException as error:
        if not isinstance(error, OSError):
            traceback.print_exc()
        try:
            pipe.send(error)
        except Exception:
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
        os._exit(1)
    os._exit(0)


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)  # takes a fifth off the time


class _Worker:
    def __init__(self, orders: Connection, results: Connection, share: Share) -> None:
        self._orders = orders
        self._results = results
        self._share = share
        self._options = share.options
        self._files: dict[int, tuple[int, Appender]] = {}
        self._checks = Checks(self._check, share.threads)
        self._queue: asyncio.Queue[Asked] = asyncio.Queue()
        self._found: list[Found] = []

    async def work(self) -> None:
        """Fetch for ever; ends with the first error."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), daemon=True, name="ffprep-orders").start()
        async with Fetcher(self._options.fetch, self._share.connections, self._share.per_host) as fetcher:
            await asyncio.gather(*(self._fetch(fetcher) for _ in range(self._share.connections)))

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take in orders; in a thread."""
        while True:
            try:
                order = self._orders.recv()
                if isinstance(order, Open):
                    descriptor = recv_handle(self._orders)
                    self._files[order.shard] = descriptor, Appender(descriptor)
                elif isinstance(order, Close):
                    os.close(self._files.pop(order.shard)[0])
                else:
                    loop.call_soon_threadsafe(self._put, order)
            except (EOFError, OSError):
                os._exit(0)

    def _put(self, rows: list[Asked]) -> None:
        for row in rows:
            self._queue.put_nowait(row)

    async def _fetch(self, fetcher: Fetcher) -> None:
        loop = asyncio.get_running_loop()
        while True:
            row = await self._queue.get()
            fetched = await fetcher.fetch(row.url)
            ok = fetched.status == "ok"
            found = await self._checks.put(row, fetched.data) if ok else Found(row.number, fetched.status)
            if not self._found:
                loop.call_soon(self._report)
            self._found.append(found)

    def _report(self) -> None:
        """Send what was found in this turn of the loop."""
        found, self._found = self._found, []
        self._results.send(found)

    def _check(self, row: Asked, data: bytes) -> Found:
        """Check an image and keep it in its shard's file; in a thread."""
        digest = hashlib.sha256(data).hexdigest()
        options = self._options
        try:
            if row.sha256 and digest != row.sha256:
                raise Unusable("changed")
            image = check_image(data, options.max_pixels, options.min_side, options.resize_to)
        except Unusable as cause:
            return Found(row.number, str(cause))
        offset = self._files[row.number // options.shard_size][1].append(image.data)
        return Found(row.number, "ok", digest, len(image.data), image.width, image.height, image.extension, offset)
