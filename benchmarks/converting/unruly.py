"""ffprep and img2dataset at one unruly server: which of the two gets more images, and how soon.

    python benchmarks/converting/unruly.py --rows 4000 --img2dataset /path/to/venv/bin/python

The server has many addresses of this machine (127.0.x.y; Linux), so that there are many hosts. Some bodies are
cut, or answers are a 5xx, when a URL is first asked for; one host allows 20 requests a second, one never answers; some
answers have 20 kB of headers or the wrong type, or insist on the URL just as it was published. Both programs have the
same deadline and number of retries. What each got is counted by how the server treats the row.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

SHARES = {
    "ok": 60, "cut": 5, "unmeasured": 3, "503": 2, "520": 2, "522": 1, "524": 1, "limited": 5, "hang": 4, "header": 3,
    "type": 3, "encoded": 5, "blank": 3, "404": 3,
}  # fmt: skip
"""Out of a hundred rows, how many the server treats which way."""
HOSTS = 40
PER_SECOND = 20
DEADLINE, RETRIES = 5, 2

IMG2DATASET = f"""
import sys
from img2dataset import download
if __name__ == "__main__":
    download(url_list=sys.argv[1], input_format="tsv", url_col="url", caption_col="caption", output_folder=sys.argv[2],
             output_format="webdataset", processes_count=2, thread_count=64, resize_mode="no", skip_reencode=True,
             number_sample_per_shard=1000, enable_wandb=False, retries=int(sys.argv[3]), timeout={DEADLINE})
"""


def host_of(kind: str, number: int) -> str:
    """The address under which a row is asked for."""
    return {"limited": "127.0.2.1", "hang": "127.0.3.1"}.get(kind, f"127.0.1.{1 + number % HOSTS}")


def target_of(kind: str, number: int) -> str:
    """The path and query of a row, as published."""
    more = {"encoded": "/a%3Db%2Cc.jpg?u=http%3A%2F%2Fx%2Fy.jpg&v=1+2", "blank": "/a b\u00fc.jpg"}.get(kind, ".jpg")
    return f"/{kind}/{number}{more}"


class Connection(asyncio.Protocol):
    """One connection; the first part of a request's path says how to treat it."""

    images: tuple[bytes, ...] = ()
    asked: ClassVar[Counter[str]] = Counter()
    allowance: ClassVar[list[float]] = [float(PER_SECOND), 0.0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.held = b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while b"\r\n\r\n" in self.held:
            head, _, self.held = self.held.partition(b"\r\n\r\n")
            self.answer(head.split(b" ", 2)[1].decode("latin-1"))

    def answer(self, target: str) -> None:
        """Answer a request, or do not."""
        _, kind, rest = target.split("/", 2)
        number = int("".join(c for c in rest[:8].partition("/")[0] if c.isdecimal()))
        image = self.images[number % len(self.images)]
        self.asked[target] += 1
        first = self.asked[target] == 1
        right = {"encoded": target_of(kind, number), "blank": f"/blank/{number}/a%20b%C3%BC.jpg"}
        if kind == "hang":
            return
        if kind == "cut" and first:
            self.close(reply(image)[:-1000])
        elif kind == "unmeasured":
            head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n"
            self.close(head + (image[:-1000] if first else image))
        elif kind == "404" or (kind.isdecimal() and first):
            self.transport.write(reply(b"no", f"{kind} No", "text/plain"))
        elif kind == "limited" and not self.allowed():
            self.transport.write(reply(b"slower", "429 Too Many Requests", "text/plain", "Retry-After: 1\r\n"))
        elif kind in right and target != right[kind]:
            self.transport.write(reply(b"no", "403 No", "text/plain"))
        elif kind == "header":
            self.transport.write(reply(image, more=f"Content-Security-Policy: {'x' * 20_000}\r\n"))
        else:
            self.transport.write(reply(image, kind="text/plain" if kind == "type" else "image/jpeg"))

    def close(self, data: bytes) -> None:
        """Send what there is and hang up."""
        self.transport.write(data)
        self.transport.close()

    def allowed(self) -> bool:
        """Whether the host that allows so many requests a second allows another one."""
        now = time.monotonic()
        left, before = self.allowance
        left = min(PER_SECOND, left + (now - before) * PER_SECOND)
        self.allowance[:] = [left - (left >= 1), now]
        return left >= 1


def reply(body: bytes, status: str = "200 OK", kind: str = "image/jpeg", more: str = "") -> bytes:
    """A whole HTTP response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


async def serve() -> None:
    """Serve until standard input is closed; the port is the first line of output."""
    spec = importlib.util.spec_from_file_location("plain_server", Path(__file__).with_name("download.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    Connection.images = tuple(module.photographs(16))
    loop = asyncio.get_running_loop()
    first = await loop.create_server(Connection, "127.0.2.1", 0, backlog=4096)
    port = first.sockets[0].getsockname()[1]
    others = ["127.0.3.1", *(f"127.0.1.{1 + number}" for number in range(HOSTS))]
    await loop.create_server(Connection, others, port, backlog=4096)
    print(port, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def run(name: str, rows: int, command: Callable[[Path, Path], list[str]], got: Callable[[Path], list[str]]) -> None:
    """Let one program download from a fresh server; print what it got and how long that took."""
    kinds = random.Random(0).choices(list(SHARES), list(SHARES.values()), k=rows)
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-", ignore_cleanup_errors=True) as scratch:
        server = [sys.executable, __file__, "--serve"]
        with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            index = Path(scratch) / "index.tsv"
            lines = [
                f"caption {i}\thttp://{host_of(kind, i)}:{port}{target_of(kind, i)}" for i, kind in enumerate(kinds)
            ]
            index.write_text("caption\turl\n" + "\n".join(lines) + "\n", "utf-8")
            out = Path(scratch) / "out"
            start = time.perf_counter()
            done = subprocess.run(command(index, out), capture_output=True, text=True, check=False)
            seconds = time.perf_counter() - start
            process.kill()
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        images = Counter(url.split("/")[3] for url in got(out))
    wanted = Counter(kinds)
    each = ", ".join(f"{kind} {images[kind]} of {wanted[kind]}" for kind in SHARES)
    print(f"| {name} | {images.total():,} | {seconds:.1f} |   {each}", flush=True)


def own_command(index: Path, out: Path) -> list[str]:
    """The command of ffprep."""
    options = ["--deadline", str(DEADLINE), "--retries", str(RETRIES), "--allow-private", "--quiet"]
    return [sys.executable, "-m", "ffprep", "download", "cc3m", "--index", str(index), "--out", str(out), *options]


def own_images(out: Path) -> list[str]:
    """URLs of the images that ffprep stored."""
    lines = map(json.loads, (out / "manifest.jsonl").read_text("utf-8").splitlines())
    return [line["url"] for line in lines if line["status"] == "ok"]


def their_images(out: Path) -> list[str]:
    """URLs of the images that img2dataset stored."""
    names = subprocess.run(
        ["sh", "-c", f"for t in {out}/*.tar; do tar -xOf $t --wildcards '*.json' | tr -d '\\n'; done"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    decoder, position, found = json.JSONDecoder(), 0, []
    while position < len(names):
        entry, position = decoder.raw_decode(names, position)
        found.append(entry["url"])
    return found


def main() -> None:
    """Let both take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--img2dataset", metavar="PYTHON", help="interpreter of an environment that has it")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    print("| | images | seconds |\n|---|---|---|")
    for _ in range(options.rounds):
        run("ffprep", options.rows, own_command, own_images)
        for retries in (RETRIES, 0) if options.img2dataset else ():

            def theirs(index: Path, out: Path, retries: int = retries) -> list[str]:
                return [options.img2dataset, "-c", IMG2DATASET, str(index), str(out), str(retries)]

            run(f"img2dataset, {retries} retries", options.rows, theirs, their_images)


if __name__ == "__main__":
    main()
