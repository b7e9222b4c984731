"""Kill conversions and commands at calls that change files, or let these calls fail, and give the same command again.

    python benchmarks/reliability/faults.py --kills 200 --errors

Each job is a command on small data. It runs once to the end, and the calls that write, force to the disk, truncate,
rename, create or remove files in its folder are counted. Then, for calls spread over all of these, it runs in an empty
folder until that call, where it is killed (a write is done by half), or the call fails with ENOSPC or EIO. In between,
no file may have its final name unless it is whole; an error must be one line that names a file and the system's reason.
The same command once more must then end well and leave the same files, byte for byte, and nothing besides; reports are
compared without their times. Downloads and Ray, which have several processes, are killed with all of these at random
moments instead.

Needs a C compiler. The table that it prints is in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ffprep.cli import main
from ffprep.demo.photographs import make_photographs

HERE = Path(__file__).parent
COUNT = 48
KILL = -1
OUT = "{out}"


@dataclass(frozen=True)
class Job:
    """A command, with ``{out}`` where its folder goes; ``forked`` ones run in a fork of this process."""

    name: str
    command: list[str]
    forked: bool = True


@dataclass
class Result:
    """What happened to one job."""

    calls: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def make_data(root: Path) -> dict[str, Path]:
    """Small data in the forms that the jobs read."""
    photographs = root / "photographs"
    make_photographs(photographs, COUNT)
    images = sorted(photographs.rglob("*.JPEG")) or sorted(path for path in photographs.rglob("*") if path.is_file())
    coco = root / "coco"
    coco.mkdir()
    facts: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    for number, image in enumerate(images):
        shutil.copy(image, coco / f"{number}.jpg")
        facts["images"].append({"id": number, "file_name": f"{number}.jpg"})
        for caption in range(3):
            facts["annotations"].append({"image_id": number, "caption": f"Photograph {number}, seen {caption} times."})
    (root / "captions.json").write_text(json.dumps(facts))
    shards = root / "shards"
    shards.mkdir()
    with tarfile.open(shards / "00000.tar", "w") as tar:
        for number, image in enumerate(images):
            for suffix, data in (("jpg", image.read_bytes()), ("txt", f"Photograph {number}".encode())):
                info = tarfile.TarInfo(f"{number:09}.{suffix}")
                info.size = len(data)
                with tempfile.TemporaryFile() as file:
                    file.write(data)
                    file.seek(0)
                    tar.addfile(info, file)
    generator = np.random.default_rng(0)
    words = ["photograph", "of", "a", "lake", "and", "mountains", "at", "night", "without", "people"]
    text = root / "text"
    text.mkdir()
    for part in range(4):
        lines = (" ".join(generator.choice(words, 60)) for _ in range(200))
        (text / f"{part}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    made = {
        "photographs": photographs,
        "coco": coco,
        "captions": root / "captions.json",
        "shards": shards,
        "text": text,
    }
    for name, options in (("keep", ["--jpeg", "keep"]), ("plain", [])):
        made[name] = root / f"{name}.beton"
        command = ["convert", "imagenet", "--source", str(photographs), "--out", str(made[name]), *options]
        in_fork(partial(run, command))
    made["blocks"] = root / "blocks.beton"
    corpus = ["convert", "openwebtext", "--source", str(text), "--out", str(made["blocks"]), "--block", "16"]
    in_fork(partial(run, corpus))
    return made


def jobs(data: dict[str, Path]) -> list[Job]:
    """All jobs that run in one process."""
    one = ["--workers", "2"]
    images = ["--images", str(data["coco"]), "--annotations", str(data["captions"])]
    return [
        Job("imagenet", ["convert", "imagenet", "--source", str(data["photographs"]), *one, "--out", f"{OUT}/x.beton",
                         "--report", f"{OUT}/report.json"]),
        Job("imagenet --jpeg keep --index", ["convert", "imagenet", "--source", str(data["photographs"]), "--jpeg",
                                             "keep", "--index", *one, "--out", f"{OUT}/x.beton"]),
        Job("coco --pairs", ["convert", "coco", *images, *one, "--out", f"{OUT}/x.beton"]),
        Job("coco --grouped", ["convert", "coco", *images, *one, "--grouped", "--out", f"{OUT}/x.beton"]),
        Job("cc3m", ["convert", "cc3m", "--shards", str(data["shards"]), *one, "--out", f"{OUT}/x.beton"]),
        Job("openwebtext", ["convert", "openwebtext", "--source", str(data["text"]), *one, "--block", "16", "--out",
                            f"{OUT}/x.beton"]),
        Job("openwebtext --padded", ["convert", "openwebtext", "--source", str(data["text"]), *one, "--block", "16",
                                     "--padded", "--out", f"{OUT}/x.beton"]),
        Job("text", ["convert", "text", "--files", str(data["text"] / "0.jsonl"), "--text", "text", *one, "--out",
                     f"{OUT}/x.beton"]),
        Job("merge", ["merge", str(data["plain"]), str(data["plain"]), "--out", f"{OUT}/x.beton"]),
        Job("index", ["index", str(data["keep"]), *one, "--out", f"{OUT}/x.index"]),
        Job("export fairseq", ["export", str(data["blocks"]), "--format", "fairseq", "--out", f"{OUT}/x"]),
        Job("export flat", ["export", str(data["blocks"]), "--format", "flat", "--out", f"{OUT}/x.bin"]),
        Job("preview", ["preview", str(data["plain"]), "--out", f"{OUT}/x.html"]),
    ]  # fmt: skip


def run(command: list[str]) -> int:
    """Run a command in this process, and return its exit status."""
    try:
        main(command)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def in_fork(work: Callable[[], int]) -> tuple[int, str]:
    """Do something in a child; returns its exit status, or minus the signal that ended it, and its messages."""
    with tempfile.TemporaryFile() as messages:
        child = os.fork()
        if child == 0:
            os.dup2(messages.fileno(), 1)
            os.dup2(messages.fileno(), 2)
            status = 99
            try:
                status = work()
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
        messages.seek(0)
        return os.waitstatus_to_exitcode(ended), messages.read().decode(errors="replace")


class Faults:
    """The preloaded library."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.fault_count.restype = ctypes.c_long
        self._library.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long]

    def run(self, job: Job, folder: Path, at: int, action: int) -> tuple[int, str, int]:
        """Run a job with a fault; returns status, messages and the number of calls counted."""
        self._library.fault_arm(os.fsencode(folder), at, action)
        status, messages = in_fork(lambda: run(placed(job, folder)))
        calls = int(self._library.fault_count())
        self._library.fault_arm(b"", 0, 0)
        return status, messages, calls


def placed(job: Job, folder: Path) -> list[str]:
    """The command with its folder."""
    return [word.replace(OUT, str(folder)) for word in job.command]


def tree(folder: Path) -> dict[str, str]:
    """What is in a folder: a hash of each file, of reports without what depends on time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink() and path.is_dir():
            continue
        content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
        if path.name == "report.json" and content:
            with contextlib.suppress(ValueError):
                report = json.loads(content)
                for name in ("seconds", "samples_per_second", "converted"):
                    report.pop(name, None)
                content = json.dumps(report, sort_keys=True).encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


@contextlib.contextmanager
def empty_folder(root: Path) -> Iterator[Path]:
    """A folder for one run."""
    folder = root / "run"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def examine(job: Job, faults: Faults, root: Path, kills: int, errors: int) -> Result:
    """Run one job with many faults."""
    result = Result()
    with empty_folder(root) as folder:
        status, messages, _ = faults.run(job, folder, 0, KILL)
        if status != 0:
            result.problems.append(f"fails without a fault: {messages}")
            return result
        wanted = tree(folder)
    for action, most in ((KILL, kills), (errno.ENOSPC, errors), (errno.EIO, errors)):
        with empty_folder(root) as folder:
            _, _, calls = faults.run(job, folder, 0, action)
        result.calls = max(result.calls, calls)
        for at in sorted({round(place) for place in np.linspace(1, calls, min(most, calls))} if most else ()):
            with empty_folder(root) as folder:
                problem = tried(job, faults, folder, at, action, wanted, result)
            if problem:
                what = "killed" if action == KILL else errno.errorcode[action]
                result.problems.append(f"{job.name}, {what} at call {at} of {calls}: {problem}")
    return result


def tried(
    job: Job, faults: Faults, folder: Path, at: int, action: int, wanted: dict[str, str], result: Result
) -> str | None:
    """Run with one fault and then without; returns what was wrong."""
    status, messages, reached = faults.run(job, folder, at, action)
    if reached < at:  # threads: this run had fewer calls
        result.tried["not reached"] += 1
        return None
    lines = [line for line in messages.splitlines() if line.startswith(("ffprep", "Traceback"))]
    if action == KILL:
        result.tried["kills"] += 1
        if status != -signal.SIGKILL:
            return f"ended with {status}: {messages}"
    elif status == 0:
        result.tried["errors that did not matter"] += 1
    else:
        result.tried["errors"] += 1
        clear = os.strerror(action) in messages and str(folder) in messages and len(lines) == 1
        if status not in (1, 2) or not clear or "internal error" in messages:
            return f"no clear error, status {status}: {messages}"
    for name, found in tree(folder).items():
        if name in wanted and found != wanted[name]:
            return f"{name} has its name and is not whole"
    status, messages, _ = faults.run(job, folder, 0, KILL)
    if status != 0:
        return f"the same command ends with {status}: {messages}"
    if (found := tree(folder)) != wanted:
        return f"other files: {sorted(set(found.items()) ^ set(wanted.items()))}"
    return None


def kill_randomly(job: Job, root: Path, kills: int) -> Result:
    """Kill a job with all its processes at random moments, and give it again until it ends."""
    result = Result()
    chance = random.Random(0)

    def start(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ffprep", *placed(job, folder)]
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, start_new_session=True, env=environment, stdout=quiet, stderr=subprocess.PIPE)

    with empty_folder(root) as folder:
        begun = time.monotonic()
        process = start(folder)
        _, messages = process.communicate()
        seconds = time.monotonic() - begun
        if process.returncode != 0:
            result.problems.append(f"{job.name} fails without a kill: {messages.decode()}")
            return result
        wanted = tree(folder)
    while result.tried["kills"] < kills:
        with empty_folder(root) as folder:
            while True:
                process = start(folder)
                try:
                    _, messages = process.communicate(timeout=chance.uniform(0.2, 1.0) * seconds)
                    break
                except subprocess.TimeoutExpired:
                    if result.tried["kills"] >= kills:
                        _, messages = process.communicate()
                        break
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    result.tried["kills"] += 1
            found = tree(folder)
            if process.returncode != 0 or found != wanted:
                different = sorted(set(found.items()) ^ set(wanted.items()))
                result.problems.append(f"{job.name}: status {process.returncode}: {messages.decode()} {different}")
    return result


@contextlib.contextmanager
def server(folder: Path) -> Iterator[int]:
    """A server of the files of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *values: object) -> None:
            super().__init__(*values, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_address[1]
        served.shutdown()


def report(name: str, result: Result) -> None:
    """One line of the table."""
    tried_ = result.tried
    columns = [str(result.calls or ""), str(tried_["kills"]), str(tried_["errors"])]
    columns += [str(tried_["errors that did not matter"]), str(len(result.problems))]
    print(f"| {name} | {' | '.join(columns)} |", flush=True)
    for problem in result.problems:
        print(f"  {problem}", file=sys.stderr)


def examine_all(options: argparse.Namespace) -> int:
    """Do everything that was asked for; returns the number of problems."""
    faults = Faults()
    with tempfile.TemporaryDirectory(prefix="ffprep-faults-", dir=options.folder) as made:
        root = Path(made)
        data = make_data(root)
        listed = [job for job in jobs(data) if not options.only or any(job.name.startswith(o) for o in options.only)]
        each = -(-options.kills // max(1, len(listed)))
        print("| command | calls | kills | errors | errors that did not matter | problems |\n|---|---|---|---|---|---|")
        problems = 0
        for job in listed:
            result = examine(job, faults, root, each, options.errors)
            report(job.name, result)
            problems += len(result.problems)
        if options.processes:
            ray = Job("imagenet --engine ray", [*jobs(data)[0].command[:-2], "--engine", "ray"])
            with server(data["coco"]) as port:
                index = root / "index.tsv"
                rows = (f"Photograph {n}\thttp://127.0.0.1:{port}/{n}.jpg\n" for n in range(COUNT))
                index.write_text("".join(rows))
                fetch = Job("download cc3m", ["download", "cc3m", "--index", str(index), "--out", f"{OUT}/shards",
                                              "--shard-size", "8", "--allow-private", "--workers", "2"])  # fmt: skip
                for job in (fetch, ray):
                    if not options.only or any(job.name.startswith(o) for o in options.only):
                        result = kill_randomly(job, root, options.processes)
                        report(job.name, result)
                        problems += len(result.problems)
    return problems


def preloaded() -> None:
    """Start this program again with the library, which it compiles first."""
    with tempfile.TemporaryDirectory(prefix="ffprep-faults-") as folder:
        library = Path(folder) / "faults.so"
        compiler = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Wno-nonnull-compare"]
        subprocess.run([*compiler, str(HERE / "faults.c"), "-o", str(library), "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library)}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=200, help="kills in all, spread over the commands")
    parser.add_argument("--errors", type=int, nargs="?", const=1 << 30, default=0, metavar="N",
                        help="let calls fail: all of them, or N for each command and error")  # fmt: skip
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="kills of a download and of Ray, each")
    parser.add_argument("--only", action="append", metavar="NAME", help="commands whose name starts like this")
    parser.add_argument("--folder", help="where the files go; a temporary folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parse()
    if "faults.so" not in os.environ.get("LD_PRELOAD", ""):
        preloaded()
    sys.exit(1 if examine_all(chosen) else 0)
