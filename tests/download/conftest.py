"""What the tests of downloads share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from local_server import Handler, Server


def _serve() -> Iterator[str]:
    httpd = Server(("127.0.0.1", 0), Handler)
    httpd.release = threading.Event()  # type: ignore[attr-defined]
    httpd.together = threading.Barrier(80)  # type: ignore[attr-defined]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.release.set()  # type: ignore[attr-defined]
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def server() -> Iterator[str]:
    Handler.hits.clear()
    Handler.requests.clear()
    yield from _serve()


@pytest.fixture
def another_server() -> Iterator[str]:
    yield from _serve()
