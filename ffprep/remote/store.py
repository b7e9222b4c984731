"""Objects of a store, read by ranges through fsspec: with a deadline, repeated after random pauses, and hedged."""

from __future__ import annotations

import asyncio
import collections
import os
import random
import statistics
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from ffprep.errors import OptionError, first_line
from ffprep.remote import http
from ffprep.remote.facts import (
    IDENTITIES,
    LARGEST,
    LISTED,
    MOST_WRONG,
    ChangedError,
    DamagedError,
    Facts,
    FinalError,
    LaterError,
    RefusedError,
    RemoteError,
    reason,
    shown,
)
from ffprep.remote.patience import Patience

T = TypeVar("T")

AT_ONCE = 16
"""Ranges that a process asks for at the same time."""

SMALL, SMALL_AT_ONCE = 1 << 20, 64
"""Ranges of at most so many bytes, and how many of them, beside the others: their answers take little memory."""

_ABSENT = "there is no such object; check the URL"
_FINAL: dict[type, str] = {FileNotFoundError: _ABSENT, PermissionError: "access is refused"}

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "abfs": "adlfs"}

_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "DefaultCredentialsError")
"""What botocore and Google's library raise where no credentials are; they are imported by fsspec alone."""


def filesystem_of(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it.

    Raises
    ------
    OptionError
        A package is missing, or nothing reads such URLs.
    RemoteError
        There is no connection to the store.
    """
    scheme = url.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise OptionError(f"{shown(url)}: reading from a store needs fsspec: pip install 'ffprep[remote]'") from None
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        how = f"pip install {package}" if package and package != "s3fs" else "pip install 'ffprep[remote]'"
        needs = f"needs {package}" if package else f"needs a package that is missing ({first_line(error)})"
        raise OptionError(f"{shown(url)}: reading {scheme}:// {needs}: {how}") from None
    except ValueError:
        raise OptionError(f"{shown(url)}: fsspec knows no {scheme}://") from None
    del kind
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # some connect at once; others miss a host or a package
        raise RemoteError(f"{shown(url)}: cannot be reached: {reason(error)}; check the URL") from error
    return fs, path


class Store:
    """One object.

    Parameters
    ----------
    url : str
    patience : Patience, optional
        By default that of the environment.
    """

    def __init__(self, url: str, patience: Patience | None = None) -> None:
        from fsspec.asyn import get_loop

        self.url = url
        self.patience = Patience.of_environment() if patience is None else patience
        self.fs, self.path = filesystem_of(url)
        self._http = url.startswith(("http://", "https://"))
        self._loop: asyncio.AbstractEventLoop = get_loop()
        self._took: collections.deque[float] = collections.deque(maxlen=32)

    # -- from other threads ----------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on fsspec's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def facts(self) -> Facts:
        """Ask the store what the object is.

        Raises
        ------
        RemoteError
        """
        return self.start(self.ask_facts()).result()

    def unchanged(self, facts: Facts) -> None:
        """Ask whether the object is still what it was, unless the store does not send ranges of another one anyway.

        Raises
        ------
        ChangedError
        RemoteError
        """
        if not self._guarded(facts):
            self.start(self._repeated(lambda: self._compare(facts), "cannot be found")).result()

    def content(self, most: int) -> bytes:
        """Read a whole small object.

        Raises
        ------
        RemoteError
            It cannot be read, or has more than `most` bytes.
        """
        found = self.facts()
        if found.size > most:
            raise RemoteError(f"{shown(self.url)}: has {found.size:,} bytes, more than {most:,}")
        return self.start(self.range(0, found.size, found, "the object")).result()

    def answer(self, once: Callable[[], Coroutine[Any, Any, T]], what: str) -> T:
        """Return what a coroutine does; it is run again where it fails, as requests of ranges are.

        Raises
        ------
        RemoteError
            It begins with the URL and `what`.
        """
        return self.start(self._repeated(once, what)).result()

    # -- on the loop -----------------------------------------------------------------------------------

    async def ask_facts(self) -> Facts:
        """Ask the store what the object is; raise `RemoteError`."""
        return await self._repeated(self._facts_once, "cannot be found")

    async def range(
        self,
        start: int,
        end: int,
        facts: Facts,
        what: str,
        check: Callable[[bytes], bool | None] = lambda data: None,
    ) -> bytes:
        """Read the bytes from `start` to `end`.

        Parameters
        ----------
        start, end : int
        facts : Facts
            The object that is meant.
        what : str
            What the bytes are, for messages.
        check : callable
            Says whether the bytes are right; None where that cannot be told. Called in another thread.

        Raises
        ------
        ChangedError
            The object is another one.
        RemoteError
        """
        wrong = 0

        async def once() -> bytes:
            nonlocal wrong
            began = self._loop.time()
            data = await self._hedged(start, end, facts)
            if len(data) != end - start:
                raise RemoteError(f"{len(data):,} of {end - start:,} bytes came")
            good = await self.in_thread(check, data)
            if good is False or (good is None and not self._guarded(facts)):
                await self._compare(facts)
            if good is False:
                wrong += 1
                text = "the bytes that came do not fit their checksum"
                if wrong == MOST_WRONG:
                    raise DamagedError(
                        f"{shown(self.url)}: {what} is damaged: {wrong} times {text}; take a whole copy of the file"
                    )
                raise RemoteError(text)
            self._took.append(self._loop.time() - began)
            return data

        async with _places(self._loop, end - start <= SMALL):
            return await self._repeated(once, f"{what} cannot be read")

    async def _compare(self, facts: Facts) -> None:
        now = await self._facts_once()
        if now.size != facts.size or (now.identity != facts.identity and not facts.identity.startswith(LISTED)):
            raise ChangedError(
                f"{shown(self.url)}: changed while it was in use: it is now {now.identity} of {now.size:,} "
                f"bytes and was {facts.identity} of {facts.size:,}; open it again"
            )

    async def ranges(
        self, pieces: Sequence[tuple[int, int]], facts: Facts, name: Callable[[int, int], str]
    ) -> list[bytes]:
        """Read several ranges at the same time, which the caller compares: see `unchanged`.

        Parameters
        ----------
        pieces : sequence of (int, int)
            First byte and end of each.
        facts : Facts
        name : callable
            Says what a range is, for messages.
        """
        tasks = [asyncio.ensure_future(self.range(*piece, facts, name(*piece), _right)) for piece in pieces]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what may take a while beside the loop."""
        try:
            called = self._loop.run_in_executor(None, function, *arguments)
        except RuntimeError:  # the interpreter ends, so nobody waits for it any more
            raise asyncio.CancelledError from None
        return await called

    async def _repeated(self, once: Callable[[], Coroutine[Any, Any, T]], what: str) -> T:
        patience, began, why = self.patience, self._loop.time(), "no answer"
        for attempt in range(patience.attempts):
            left = patience.deadline - (self._loop.time() - began)
            if left <= 0:
                break
            least = 0.0
            try:
                return await asyncio.wait_for(once(), min(left, patience.attempt))
            except (ChangedError, DamagedError):
                raise
            except (FinalError, FileNotFoundError, PermissionError) as error:
                why = _FINAL.get(type(error), str(error))
                if isinstance(error, PermissionError) and str(error):
                    why += f" ({reason(error)})"  # such as: the token has expired
                raise RefusedError(f"{shown(self.url)}: {what}: {why}") from None
            except (asyncio.TimeoutError, TimeoutError):
                why = f"no answer in {min(left, patience.attempt):.3g} s"
            except Exception as error:
                why = reason(error)
                least = error.seconds if isinstance(error, LaterError) else 0.0
                if type(error).__name__ in _CREDENTIALS:
                    raise RefusedError(f"{shown(self.url)}: {what}: {why}") from None
            left = patience.deadline - (self._loop.time() - began)
            if least > left:
                break  # it would answer the same until then
            most = min(patience.longest_pause, patience.pause * 2**attempt)
            await asyncio.sleep(min(least + random.uniform(0, most), max(0.0, left)))
        raise RemoteError(
            f"{shown(self.url)}: {what} ({attempt + 1} attempts in {self._loop.time() - began:.1f} s): {why}"
        )

    async def _hedged(self, start: int, end: int, facts: Facts) -> bytes:
        """Ask once, and a second time where the answer takes much longer than is usual; take what comes first."""
        usual = statistics.median(self._took) if self._took else 0.0
        tasks = {asyncio.ensure_future(self._range_once(start, end, facts))}
        every = set(tasks)
        try:
            done, waiting = await asyncio.wait(tasks, timeout=max(self.patience.hedge, 4 * usual))
            if not done:
                second = asyncio.ensure_future(self._range_once(start, end, facts))
                every.add(second)
                waiting = {*waiting, second}
            while True:
                for task in done:
                    if task.exception() is None or not waiting:
                        return task.result()
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in every:
                task.cancel()
            await asyncio.gather(*every, return_exceptions=True)

    def _guarded(self, facts: Facts) -> bool:
        """Whether the store itself refuses the range of another object."""
        return self._http and http.guarded(facts)

    async def _range_once(self, start: int, end: int, facts: Facts) -> bytes:
        if self._http:
            return await http.part(self.fs, self.url, start, end, facts)
        if self.fs.async_impl:
            return bytes(await self.fs._cat_file(self.path, start=start, end=end))
        return await self.in_thread(lambda: bytes(self.fs.cat_file(self.path, start, end)))

    async def _facts_once(self) -> Facts:
        found = await self._stated_facts()
        if not 0 <= found.size <= LARGEST:
            raise FinalError(f"the store says that it has {found.size:,} bytes; {LARGEST:,} are the most")
        return found

    async def _stated_facts(self) -> Facts:
        if self._http:
            return await http.facts(self.fs, self.url)
        self.fs.invalidate_cache(self.fs._parent(self.path))
        if self.fs.async_impl:
            found = await self.fs._info(self.path)
        else:
            found = await self.in_thread(self.fs.info, self.path)
        if found.get("type") == "directory":
            raise FinalError("it is a folder")
        if not isinstance(found.get("size"), int):
            raise FinalError("the store does not say its size")
        large = found.get("lfs")
        if isinstance(large, dict) and large.get("sha256"):
            return Facts(found["size"], str(large["sha256"]))
        named = next((str(found[key]) for key in IDENTITIES if found.get(key)), "")
        return Facts(found["size"], named)


def _right(data: bytes) -> bool:
    return True


_semaphores: dict[tuple[int, bool], asyncio.Semaphore] = {}
os.register_at_fork(after_in_child=_semaphores.clear)


def _places(loop: asyncio.AbstractEventLoop, small: bool) -> asyncio.Semaphore:
    """Return what holds a loop to `AT_ONCE` ranges, or `SMALL_AT_ONCE` small ones; called on the loop."""
    if (id(loop), small) not in _semaphores:
        for known in [known for known in _semaphores if known[0] != id(loop)]:
            del _semaphores[known]
        _semaphores[id(loop), small] = asyncio.Semaphore(SMALL_AT_ONCE if small else AT_ONCE)
    return _semaphores[id(loop), small]
