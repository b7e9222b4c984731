"""A shard's file that cannot be written: the error names the shard, and nothing else is said."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from ffprep.download.check_threads import CheckThreads
from ffprep.download.messages import FetchRequest, FetchResult
from ffprep.download.shards import ImageAppender


def test_an_error_of_appending_names_the_shard(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=r"00007\.tar") as found:
            ImageAppender(descriptor, tmp_path / "00007.tar").append(b"image")
        assert found.value.filename == str(tmp_path / "00007.tar")
    finally:
        os.close(descriptor)


def test_a_check_that_nobody_waits_for_any_more_says_nothing() -> None:
    begun, go, complaints = threading.Event(), threading.Event(), []

    def check(request: FetchRequest, data: bytes) -> FetchResult:
        begun.set()
        go.wait(60)
        return FetchResult(request.number, "ok")

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        threads: Any = CheckThreads(check, 1)
        left = asyncio.ensure_future(threads.check(FetchRequest(0, "", ""), b""))
        await asyncio.to_thread(begun.wait, 60)
        left.cancel()
        await asyncio.wait([left])
        go.set()
        assert (await threads.check(FetchRequest(1, "", ""), b"")).number == 1

    asyncio.run(work())
    assert not complaints
