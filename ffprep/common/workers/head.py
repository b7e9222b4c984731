"""The head of a Ray cluster: whether it answers, lets a command in, and is still there."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ffprep.common.workers.notices import forget
from ffprep.errors import ConversionError

ANSWER_SECONDS = 5.0
"""A cluster that does not answer for so long is not there. Ray itself would go on asking for minutes."""

_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2 begins: the preface and empty settings, which the server answers with its own (RFC 9113)."""
_FRAME, _SETTINGS = 9, b"\x04"  # bytes of a frame's head, and the type in its fourth

REFUSAL = (
    "asks for a token, which is missing here or another one; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or "
    "~/.ray/auth_token) to what ray get-auth-token says on its head; --engine local needs none"
)

HEAD_SECONDS = 15.0
"""How long the head of a cluster may be away. Ray itself would end the process after a minute, in words of its own."""

STILL_SECONDS = 45.0
"""How long it may take connections and not answer, as on a machine that stands still for a while."""


@contextlib.contextmanager
def own_handler(number: signal.Signals) -> Iterator[None]:
    """Keep what this process does on a signal: Ray would show a stack and abort."""
    before = signal.getsignal(number) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if callable(before):
            signal.signal(number, before)


def await_answer(address: str) -> None:
    """Raise an error if nothing answers there, or something that does not speak HTTP/2, as the heads of clusters do."""
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        raise ConnectionError("an address is HOST:PORT or auto")
    with contextlib.suppress(TimeoutError):
        if _speaks_http2(host, int(port)):
            return
    raise ConnectionError("what listens there is no head of a Ray cluster")


def _speaks_http2(host: str, port: int) -> bool:
    """Whether what answers there begins as a server of HTTP/2 does; with TLS, whether it takes a connection."""
    with socket.create_connection((host.strip("[]"), port), timeout=ANSWER_SECONDS) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
            return True
        connection.sendall(_HTTP2)
        answer = b""
        while len(answer) < _FRAME and (data := connection.recv(_FRAME - len(answer))):
            answer += data
        return answer[3:4] == _SETTINGS


def ask_in(ray: Any, address: str) -> None:
    """Raise Ray's error if the cluster asks for a token which this command lacks: `ray.init` would try for 20 s."""
    try:
        import_module("ray._raylet").GcsClient(address=address)
    except Exception as error:  # where that is no part of Ray, or fails otherwise, `ray.init` says why
        if is_refusal(ray, error):
            raise


def is_refusal(ray: Any, error: BaseException) -> bool:
    kind = getattr(ray.exceptions, "AuthenticationError", None)
    return kind is not None and isinstance(error, kind)


class Head:
    """Whether the head of the cluster is there. All questions to one that is not wait for a minute.

    Parameters
    ----------
    ray : module
    """

    def __init__(self, ray: Any) -> None:
        self._address, self._seen = "", time.monotonic()
        with contextlib.suppress(Exception):  # where Ray does not say it, nobody looks
            self._address = str(ray.get_runtime_context().gcs_address)

    def is_there(self) -> bool:
        """Whether it answers.

        Raises
        ------
        ConversionError
            It has taken no connection for `HEAD_SECONDS`, or not answered for `STILL_SECONDS`.
        """
        error = self._look()
        if error is None:
            self._seen = time.monotonic()
            return True
        longest = STILL_SECONDS if isinstance(error, TimeoutError) else HEAD_SECONDS
        if time.monotonic() - self._seen < longest:
            return False
        self.lose()
        raise ConversionError(
            f"--engine ray: the head of the cluster, {self._address}, has ended or cannot be reached any more "
            f"({error.strerror or error}); start it again, and the same command goes on"
        ) from error

    def _look(self) -> OSError | None:
        host, _, port = self._address.rpartition(":")
        if host and port.isdigit():
            try:
                _speaks_http2(host, int(port))
            except OSError as error:
                return error
        return None

    def lose(self) -> None:
        """Ask it nothing any more."""
        forget()
        _lost.append(self._address)

    def answers(self) -> bool:
        """Whether it answers now."""
        return self._look() is None


_lost: list[str] = []
"""The head that has ended."""


def leave_lost(ray: Any) -> bool:
    """Whether the head of the cluster does not answer, so that this process has to end without a word to it.

    Parameters
    ----------
    ray : module
    """
    if not _lost and not (head := Head(ray)).answers():
        head.lose()
    if not _lost:
        return False
    _lost.clear()
    atexit.register(end_at_once, 130 if isinstance(sys.exc_info()[1], KeyboardInterrupt) else 1)
    return True


def end_at_once(status: int) -> None:
    """End this process before what Ray does at its end, which waits for a head that has gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)
