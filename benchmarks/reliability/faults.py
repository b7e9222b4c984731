"""Kill conversions and commands at calls that change files, or let these calls fail, and give the same command again.

    python benchmarks/reliability/faults.py --kills 200 --errors

Each job is a command on small data. It runs once to the end, and the calls that write, force to the disk, truncate,
rename, create or remove files in its folder are counted, and those that read its data. Then, for calls spread over all
of these, it runs in an empty folder until that call, where it is killed (a write is done by half), or the call fails
with ENOSPC or EIO, and one that reads with EIO. In between, no file may have its final name unless it is whole; an
error must be one line that names a file and the system's reason. The same command once more must then end well and
leave the same files, byte for byte, and nothing besides; reports are compared without their times. Calls of all
processes of a download or of a conversion by Ray may fail; killed are all of these together, at random moments, and
none may be left.

Needs a C compiler. The table that it prints is in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fault_jobs import RUN, Job, jobs, make_data, make_files, run, server

HERE = Path(__file__).parent
KILL = -1
READ = 1 << 16
"""Added to an error that reading calls end with, rather than changing ones."""
NAMED = {KILL: "killed", errno.ENOSPC: "ENOSPC", errno.EIO: "EIO", READ + errno.EIO: "EIO while reading"}
STATE = "FFPREP_FAULTS_STATE"
STATE_BYTES = 1 << 16
MARK = "FFPREP_FAULTS"
"""Variables in the environment: the file that all instances of the library share, and what marks a job's processes."""
GONE_SECONDS = 60.0
OFTEN_USED = ("ffprep.convert.conversion", "ffprep.convert.corpus", "ffprep.convert.indexing", "ffprep.beton.merge",
              "ffprep.convert.progress", "ffprep.beton.damage.repair", "ffprep.inspect.pages.preview",
              "ffprep.text.blocks.exchange", "ffprep.sources.imagenet", "ffprep.sources.coco", "ffprep.sources.glue",
              "ffprep.sources.caption_shards", "ffprep.fields", "PIL.Image")  # fmt: skip
"""Modules that are imported once, before the forks."""


@dataclass
class Result:
    """What happened to one job."""

    calls: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


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
    """The preloaded library.

    Parameters
    ----------
    data : Path
        Where the jobs read.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.fault_count.restype = ctypes.c_long
        self._library.fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_long, ctypes.c_int]

    @property
    def names(self) -> list[str]:
        """Of the files that are read."""
        return [path.name for path in self._data.rglob("*") if path.is_file()]

    def run(self, job: Job, folder: Path, at: int, action: int) -> tuple[int, str, int]:
        """Run a job with a fault; returns status, messages and the number of calls counted."""
        reading = action >= READ
        where = self._data if reading else folder
        self._library.fault_arm(os.fsencode(where), at, action - READ if reading else action, reading)
        status, messages = in_fork(lambda: run(job.placed(folder)))
        calls = int(self._library.fault_count())
        self._library.fault_arm(b"", 0, 0, 0)
        return status, messages, calls


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
def job_folder(root: Path, job: Job) -> Iterator[Path]:
    """A folder for one run, with what the command finds in it."""
    folder = root / RUN
    folder.mkdir()
    for given in job.given:
        shutil.copy(given, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def examine(job: Job, faults: Faults, root: Path, options: argparse.Namespace) -> Result:
    """Run one job with many faults."""
    result = Result()
    with job_folder(root, job) as folder:
        status, messages, _ = faults.run(job, folder, 0, KILL)
        if status != 0:
            result.problems.append(f"fails without a fault: {messages}")
            return result
        wanted = tree(folder)
    errors = options.errors
    kills = 0 if job.processes else options.each
    for action, most in (
        (KILL, kills), (errno.ENOSPC, errors), (errno.EIO, errors), (READ + errno.EIO, options.reads)
    ):  # fmt: skip
        with job_folder(root, job) as folder:
            _, _, calls = faults.run(job, folder, 0, action)
        if action == KILL:
            result.calls = calls
        if job.processes and action == KILL:
            kill_randomly(job, root, wanted, result, options)
        for at in sorted({round(place) for place in np.linspace(1, calls, min(most, calls))} if most else ()):
            with job_folder(root, job) as folder:
                problem = tried(job, faults, folder, at, action, wanted, result)
            if problem:
                result.problems.append(f"{job.name}, {NAMED[action]} at call {at} of {calls}: {problem}")
    return result


def tried(
    job: Job, faults: Faults, folder: Path, at: int, action: int, wanted: dict[str, str], result: Result
) -> str | None:
    """Run with one fault and then without; returns what was wrong."""
    given = tree(folder)
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
        result.tried["reads" if action >= READ else "errors"] += 1
        named = faults.names if action >= READ else [str(folder)]
        clear = os.strerror(action % READ) in messages and any(name in messages for name in named) and len(lines) <= 1
        if status not in (1, 2) or not clear or "internal error" in messages:
            return f"no clear error, status {status}: {messages}"
    for name, found in tree(folder).items():
        if name in wanted and found not in (wanted[name], given.get(name)):
            return f"{name} has its name and is not whole"
    status, messages, _ = faults.run(job, folder, 0, KILL)
    if status != 0:
        return f"the same command ends with {status}: {messages}"
    if (found := tree(folder)) != wanted:
        return f"other files: {sorted(set(found.items()) ^ set(wanted.items()))}"
    return None


def kill_randomly(job: Job, root: Path, wanted: dict[str, str], result: Result, options: argparse.Namespace) -> None:
    """Kill a job with all its processes at random moments, and give it again until it ends."""
    kills = options.processes
    chance = random.Random(0)
    environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", STATE)}
    environment[MARK] = str(os.getpid())

    def start(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ffprep", *job.placed(folder)]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, start_new_session=True, env=environment, stdout=quiet, stderr=subprocess.PIPE)

    with job_folder(root, job) as folder:
        begun = time.monotonic()
        process = start(folder)
        _, messages = process.communicate()
        seconds = time.monotonic() - begun
        if process.returncode != 0 or tree(folder) != wanted:
            result.problems.append(f"{job.name}, as a program, gives something else: {messages.decode()}")
            return
    while result.tried["kills"] < kills:
        with job_folder(root, job) as folder:
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
                    process.wait()
                    result.tried["kills"] += 1
                    if left := left_processes(environment[MARK]):
                        result.problems.append(f"{job.name}: processes are left: {left}")
                    process.communicate()
            found = tree(folder)
            if process.returncode != 0 or found != wanted:
                different = sorted(set(found.items()) ^ set(wanted.items()))
                result.problems.append(f"{job.name}: status {process.returncode}: {messages.decode()} {different}")


def left_processes(mark: str) -> list[str]:
    """The processes that a killed job has left; they are given a minute to see that it is gone."""
    wanted = f"{MARK}={mark}".encode()
    last = time.monotonic() + GONE_SECONDS
    while True:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (place / "environ").read_bytes().split(b"\0") and int(place.name) != os.getpid():
                    found.append(f"{place.name} {(place / 'comm').read_text().strip()}")
        if not found or time.monotonic() > last:
            return found
        time.sleep(0.2)


def report(name: str, result: Result) -> None:
    """One line of the table."""
    kinds = ("kills", "errors", "reads", "errors that did not matter")
    columns = [str(result.calls or ""), *(str(result.tried[kind]) for kind in kinds), str(len(result.problems))]
    print(f"| {name} | {' | '.join(columns)} |", flush=True)
    for problem in result.problems:
        print(f"  {problem}", file=sys.stderr, flush=True)


def examine_all(options: argparse.Namespace) -> int:
    """Do everything that was asked for; returns the number of problems."""
    with tempfile.TemporaryDirectory(prefix="ffprep-faults-", dir=options.folder) as made:
        root = Path(made)
        data = root / "data"
        data.mkdir()
        in_fork(lambda: make_data(data) or make_files(data) or 0)
        for name in OFTEN_USED:
            importlib.import_module(name)
        faults = Faults(data)
        with server(root / "served", data / "coco") as port:
            listed = [
                job
                for job in jobs(data, port)
                if not options.only or any(job.name.startswith(start) for start in options.only)
            ]
            single = [job for job in listed if not job.processes]
            options.each = -(-options.kills // max(1, len(single)))
            print("| command | calls | kills | errors | errors of reads | errors that did not matter | problems |")
            print("|---|---|---|---|---|---|---|")
            problems = 0
            for job in listed:
                if not job.processes or options.processes:
                    result = examine(job, faults, root, options)
                    report(job.name, result)
                    problems += len(result.problems)
    return problems


def preloaded() -> None:
    """Start this program again with the library, which it compiles first."""
    with tempfile.TemporaryDirectory(prefix="ffprep-faults-") as folder:
        library = Path(folder) / "faults.so"
        compiler = [os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Wno-nonnull-compare"]
        subprocess.run([*compiler, str(HERE / "faults.c"), "-o", str(library), "-ldl"], check=True)
        (state := Path(folder) / "state").write_bytes(bytes(STATE_BYTES))
        environment = {**os.environ, "LD_PRELOAD": str(library), STATE: str(state)}
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=200, help="kills in all, spread over the commands")
    every = {"type": int, "nargs": "?", "const": 1 << 30, "default": 0, "metavar": "N"}
    parser.add_argument("--errors", **every, help="let calls fail: all of them, or N for each command and error")
    parser.add_argument("--reads", **every, help="let reading calls fail: all of them, or N for each command")
    parser.add_argument("--processes", type=int, default=0, metavar="N", help="kills of a download and of Ray, each")
    parser.add_argument("--only", action="append", metavar="NAME", help="commands whose name starts like this")
    parser.add_argument("--folder", help="where the files go; a temporary folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = parse()
    if "faults.so" not in os.environ.get("LD_PRELOAD", ""):
        preloaded()
    sys.exit(1 if examine_all(chosen) else 0)
