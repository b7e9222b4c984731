"""A worker process: an event loop that speaks HTTP, threads that check images, and files to which it appends them.

The process ends when its pipe of requests is closed, which happens also when the downloading process dies: nobody needs
what is still in progress then. An image is in its file before its result is reported.
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

from ffprep.download.check_threads import CheckThreads
from ffprep.download.image_checks import Unusable, check_image
from ffprep.download.messages import (
    CloseShard,
    FetchRequest,
    FetchResult,
    FetchResults,
    NoMoreRows,
    OpenShard,
    WorkerConfig,
)
from ffprep.download.row_loop import RowLoop
from ffprep.download.shards import ImageAppender

MACOS_OPEN_FILES = 10_240
"""What macOS lets a process have open, though it says that there is no limit."""


def allow_open_files() -> None:
    """Let this process open as many files as the system lets it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for wanted in (most, MACOS_OPEN_FILES):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            return
        except (OSError, ValueError):
            continue  # the limit stays as it is if neither is taken


def main(requests: int, results: int) -> NoReturn:
    """Serve requests until their pipe is closed.

    Parameters
    ----------
    requests, results : int
        Descriptors of the socket to read requests from and of the pipe to write results to.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the downloading process gets it as well, and ends this one
    allow_open_files()  # every connection is one
    outgoing = Connection(results, readable=False)
    try:
        incoming = Connection(requests)
        _run_loop(_FetchWorker(incoming, outgoing, incoming.recv()).work())
    except (EOFError, BrokenPipeError):
        os._exit(0)
    except BaseException as error:
        if not isinstance(error, OSError):
            traceback.print_exc()
        try:
            outgoing.send(error)
        except Exception:
            outgoing.send(RuntimeError(f"{type(error).__name__}: {error}"))
        os._exit(1)
    os._exit(0)


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)  # takes a fifth less time


class _FetchWorker:
    def __init__(self, requests: Connection, results: Connection, config: WorkerConfig) -> None:
        self._requests = requests
        self._results = results
        self._options = config.options
        self._files: dict[int, tuple[int, ImageAppender]] = {}
        check = CheckThreads(self._check, config.threads).check
        self._rows = RowLoop(self._options.fetch, config.connections, config.per_host, check, self._report)

    async def work(self) -> None:
        """Serve requests until an error ends it."""
        loop = asyncio.get_running_loop()
        serving = loop.create_task(self._rows.run())
        await asyncio.sleep(0)  # lets it begin
        threading.Thread(target=self._listen, args=(loop,), daemon=True, name="ffprep-requests").start()
        await serving

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Receive messages; runs in a thread of its own."""
        while True:
            try:
                message = self._requests.recv()
                if isinstance(message, OpenShard):
                    descriptor = recv_handle(self._requests)
                    self._files[message.shard] = descriptor, ImageAppender(descriptor, message.path)
                elif isinstance(message, CloseShard):
                    os.close(self._files.pop(message.shard)[0])
                elif isinstance(message, NoMoreRows):
                    loop.call_soon_threadsafe(self._rows.no_more)
                else:
                    loop.call_soon_threadsafe(self._rows.add, message)
            except (EOFError, OSError):
                os._exit(0)

    def _report(self, results: list[FetchResult], held: int) -> None:
        self._results.send(FetchResults(results, held))

    def _check(self, request: FetchRequest, data: bytes) -> FetchResult:
        """Check an image and append it to its shard's file; runs in a check thread."""
        digest = hashlib.sha256(data).hexdigest()
        options = self._options
        try:
            if request.sha256 and digest != request.sha256:
                raise Unusable("changed")
            image = check_image(data, options.max_pixels, options.min_side, options.resize_to)
        except Unusable as cause:
            return FetchResult(request.number, str(cause))
        offset = self._files[request.number // options.shard_size][1].append(image.data)
        facts = (digest, len(image.data), image.width, image.height, image.extension)
        return FetchResult(request.number, "ok", *facts, offset)
