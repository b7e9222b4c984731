"""Conversions by a Ray cluster of three nodes, of which one is killed in the middle, against local ones.

    python benchmarks/reliability/ray_cluster.py [--only imagenet]

Starts three nodes with one processor each on this machine, and converts photographs, pairs of photographs and captions,
and texts. When five parts are there, the third node is killed with all that runs on it; later another one
joins. Each file has to be that of a local conversion, byte for byte, with nothing beside it.

    python benchmarks/reliability/ray_cluster.py --speed /data/imagenet [--runs 1] [--json FILE]

measures instead: a local conversion on one processor while one node converts on another, with the processor time of all
processes, Ray's own too, also for the first images alone and for an idle cluster; and in turns, as the machine's speed
drifts, conversions by one node and by two, on a processor each. With ``--measure alone two-local``, these take turns
with a local conversion and with two at once, which show how much faster two processors are at all. No node is killed.
Files are made in the folder for temporary files (``TMPDIR``).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from faults import tree

from ffprep.demo.photographs import make_photographs
from ffprep.inspect.timing.results import Result, Table

MEMORY = 200_000_000
PATIENCE = 600.0
KINDS = ("imagenet", "coco", "openwebtext")


class Cluster:
    """Some nodes of one processor each.

    Parameters
    ----------
    count : int
    processors : sequence of int
        The processors of this machine that the nodes keep to.
    """

    def __init__(self, count: int, processors: Sequence[int] = ()) -> None:
        from ray.cluster_utils import Cluster as Nodes

        every = os.sched_getaffinity(0)
        os.sched_setaffinity(0, processors[:1] or every)
        self.nodes: Any = Nodes(initialize_head=True, head_node_args={**self._node(), "include_dashboard": False})
        self.others = []
        for number in range(1, count):
            os.sched_setaffinity(0, processors[number : number + 1] or every)
            self.others.append(self.nodes.add_node(**self._node()))
        os.sched_setaffinity(0, every)

    @staticmethod
    def _node() -> dict[str, int]:
        return {"num_cpus": 1, "object_store_memory": MEMORY}

    def kill(self) -> None:
        """Kill the last node with its workers."""
        self.nodes.remove_node(self.others.pop(), allow_graceful=False)

    def join(self) -> None:
        """Let another one join."""
        self.others.append(self.nodes.add_node(**self._node(), wait=False))


def make_data(root: Path, count: int) -> dict[str, list[str]]:
    """Make what the conversions read; return the commands without their outputs."""
    photographs = make_photographs(root / "photographs", count)
    commands = {"imagenet": ["imagenet", "--source", str(photographs)]}
    facts: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    (root / "coco").mkdir()
    for number, image in enumerate(sorted(photographs.rglob("*.JPEG"))):
        os.link(image, root / "coco" / f"{number}.jpg")
        facts["images"].append({"id": number, "file_name": f"{number}.jpg"})
        facts["annotations"] += [{"image_id": number, "caption": f"Photograph {number}, {n} times."} for n in range(3)]
    (root / "captions.json").write_text(json.dumps(facts))
    commands["coco"] = ["coco", "--images", str(root / "coco"), "--annotations", str(root / "captions.json")]
    (root / "text").mkdir()
    words = np.array(["photograph", "of", "a", "lake", "and", "mountains", "at", "night", "without", "people"])
    generator = np.random.default_rng(0)
    for part in range(48):
        lines = (" ".join(words[generator.integers(0, len(words), 200)]) for _ in range(count))
        (root / "text" / f"{part:02}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    commands["openwebtext"] = ["openwebtext", "--source", str(root / "text")]
    return commands


def start(command: list[str], folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a conversion into a folder."""
    whole = [sys.executable, "-m", "ffprep", "convert", *command, "--out", str(folder / "x.beton"), "--quiet", *options]
    return subprocess.Popen(whole, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[bytes], problems: list[str], what: str) -> None:
    """Wait for the end of a conversion that has to end well."""
    _, messages = process.communicate(timeout=PATIENCE)
    if process.returncode != 0:
        problems.append(f"{what}: status {process.returncode}: {messages.decode(errors='replace')[-2000:]}")


def parts_there(folder: Path) -> int:
    """How many parts are finished."""
    kinds = ("x.beton.ray/*/*.part", "x.beton.ray/*/*.beton", "x.beton.parts/[0-9]*.json")
    return sum(len([*folder.glob(kind)]) for kind in kinds)


def until(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    """Wait for something, as long as the conversion runs."""
    while process.poll() is None:
        if ready():
            return True
        time.sleep(0.02)
    return False


def kills(root: Path, chosen: list[str], count: int) -> list[str]:
    """Kill a node in each conversion; return the problems."""
    problems: list[str] = []
    commands = make_data(root, count)
    cluster = Cluster(3)
    for kind in chosen:
        (local := root / f"{kind}-local").mkdir()
        (folder := root / f"{kind}-ray").mkdir()
        ended(start(commands[kind], local), problems, f"{kind}, locally")
        process = start(commands[kind], folder, "--engine", "ray", "--address", cluster.nodes.address)
        if until(process, lambda folder=folder: parts_there(folder) >= 5):  # type: ignore[misc]
            before = parts_there(folder)
            cluster.kill()
            cluster.join()
            print(f"{kind}: a node was killed when {before} parts were there", flush=True)
        else:
            problems.append(f"{kind}: ended before a node could be killed")
        ended(process, problems, kind)
        if (found := tree(folder)) != tree(local):
            problems.append(f"{kind}: {sorted(found)} differ")
        print(f"{kind}: {(folder / 'x.beton').stat().st_size:,} bytes", flush=True)
    cluster.nodes.shutdown()
    return problems


class ProcessorTime:
    """The processor time of all processes below this one while the body runs, also of those that end meanwhile.

    Attributes
    ----------
    seconds : float
    of_processes : dict of int to float
        By their numbers.
    encoding : float
        Of the processes in which Ray runs tasks.
    """

    def __enter__(self) -> ProcessorTime:
        self._seen: dict[tuple[int, float], float] = {}
        self._encoding: set[tuple[int, float]] = set()
        self._look()
        self._before = dict(self._seen)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        spent = {key: seconds - self._before.get(key, 0.0) for key, seconds in self._seen.items()}
        self.seconds = sum(spent.values())
        self.of_processes = {key[0]: seconds for key, seconds in spent.items()}
        self.encoding = sum(seconds for key, seconds in spent.items() if key in self._encoding)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._look()

    def _look(self) -> None:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                key = process.pid, process.create_time()
                self._seen[key] = times.user + times.system
                if _runs_tasks(process.cmdline()):
                    self._encoding.add(key)


def _runs_tasks(command: Sequence[str]) -> bool:
    name = " ".join(command)  # Ray's processes are called by what they do, its agents as well
    return (name.startswith("ray::") and "Agent" not in name) or "default_worker.py" in name


RUNS = {
    "local": "locally, on one processor, while",
    "beside": "one node converts on another",
    "few-local": "the first {FEW} images locally, while",
    "few": "one node converts them as well",
    "one": "by one node, on one processor",
    "two": "by two nodes, on one each",
    "alone": "locally, on one processor",
    "two-local": "two local ones at once, on one each",
}
CHOICES = [name for name in RUNS if "local" not in name and name != "few"] + ["two-local"]
LOCAL = ["--workers", "1"]
FEW = 64
IDLE_SECONDS = 10.0


class Timed(NamedTuple):
    """What conversions took that ran at a time.

    Attributes
    ----------
    wall : float, optional
        Seconds.
    spent : float
        Processor time of everything.
    commands : list of float
        Processor time of the commands.
    encoding : float
        Processor time of the processes in which Ray runs tasks.
    """

    wall: float | None
    spent: float
    commands: list[float]
    encoding: float


def timed(root: Path, command: list[str], at: Sequence[tuple[Sequence[int], list[str]]]) -> Timed:
    """Convert as often at a time as processors and options are given, each on those."""
    problems: list[str] = []
    with tempfile.TemporaryDirectory(dir=root) as folder, ProcessorTime() as spent:
        begun = time.monotonic()
        started = []
        for number, (processors, options) in enumerate(at):
            (own := Path(folder) / str(number)).mkdir()
            os.sched_setaffinity(0, processors)
            started.append(start(command, own, *options))
        for process in started:
            ended(process, problems, "the conversion")
        seconds = time.monotonic() - begun
    if problems:
        raise SystemExit(problems[0])
    commands = [spent.of_processes.get(process.pid, 0.0) for process in started]
    return Timed(seconds, spent.seconds, commands, spent.encoding)


class Speed:
    """Measures conversions of a folder of images: local ones, and by clusters of one and of two nodes.

    Parameters
    ----------
    root : Path
        Where files are made.
    source : Path
    result : Result
    """

    def __init__(self, root: Path, source: Path, result: Result) -> None:
        self._root, self._result = root, result
        self._command = ["imagenet", "--source", str(source)]
        self._every = sorted(os.sched_getaffinity(0))
        self._found: dict[str, dict[str, list[float]]] = {}

    def measure(self, chosen: Sequence[str], runs: int) -> None:
        """Measure what was chosen of `RUNS`."""
        one, other = self._every[:1], self._every[1:2]
        if "beside" in chosen:
            with self._cluster(1, other) as ray:
                self._beside([(one, LOCAL), (other, ray)], runs)
        with contextlib.ExitStack() as clusters:
            kinds = {"alone": [(one, LOCAL)], "two-local": [(one, LOCAL), (other, LOCAL)]}
            for name, processors in (("one", one), ("two", self._every[:2])):
                if name in chosen:
                    kinds[name] = [(processors, clusters.enter_context(self._cluster(len(processors), processors)))]
            for _ in range(runs):
                for name, at in kinds.items():
                    if name in chosen:
                        self._add(name, timed(self._root, self._command, at))

    def _beside(self, at: Sequence[tuple[Sequence[int], list[str]]], runs: int) -> None:
        """Measure a local conversion, and one by a cluster at the same time."""
        with ProcessorTime() as spent:
            time.sleep(IDLE_SECONDS)
        few = [(processors, [*options, "--limit", str(FEW)]) for processors, options in at]
        for _ in range(runs):
            for local, ray, what in (("few-local", "few", few), ("local", "beside", at)):
                found = timed(self._root, self._command, what)
                self._add(local, found._replace(wall=None, spent=found.commands[0], commands=found.commands[:1]))
                self._add(ray, found._replace(spent=found.spent - found.commands[0], commands=found.commands[1:]))
            idle = spent.seconds / IDLE_SECONDS * (found.wall or 0.0)
            self._found["beside"].setdefault("busy", []).append(found.spent - found.commands[0] - idle)
        for name, first in (("beside", "few"), ("local", "few-local")):
            both = zip(self._found[name]["all"], self._found[first]["all"], strict=True)
            self._found[name]["further"] = [whole - part for whole, part in both]

    @contextlib.contextmanager
    def _cluster(self, nodes: int, processors: Sequence[int]) -> Iterator[list[str]]:
        cluster = Cluster(nodes, processors)
        try:
            yield ["--engine", "ray", "--address", cluster.nodes.address]
        finally:
            os.sched_setaffinity(0, self._every)
            cluster.nodes.shutdown()

    def _add(self, name: str, found: Timed) -> None:
        command = sum(found.commands)
        figures = {"wall": found.wall, "all": found.spent, "command": command}
        if found.spent > command:
            figures |= {"nodes": found.encoding, "rays": found.spent - command - found.encoding}
        given = {what: value for what, value in figures.items() if value is not None}
        for what, value in given.items():
            self._found.setdefault(name, {}).setdefault(what, []).append(value)
        shown = ", ".join(f"{what} {value:.2f} s" for what, value in given.items())
        print(f"{name}: {shown}", file=sys.stderr, flush=True)

    def tabulate(self) -> None:
        """Add the series and the table to the result."""
        rows: list[list[Any]] = []
        if {"alone", "two-local"} <= set(self._found):
            self._found["two-alone"] = {"wall": [2 * seconds for seconds in self._found["alone"]["wall"]]}
        for name, times in self._found.items():
            for what, values in times.items():
                self._result.measured(f"{name}: {what}", values)
        ratios = {
            "beside": ("beside: all", "local: all"),
            "one": ("one: all", "alone: command"),
            "beside, busy": ("beside: busy", "local: all"),
            "beside, further": ("beside: further", "local: further"),
            "two": ("one: wall", "two: wall"),
            "two-local": ("two-alone: wall", "two-local: wall"),
        }
        for name in RUNS:
            if name not in self._found:
                continue
            cells: list[Any] = [RUNS[name].format(FEW=FEW)]
            for what in ("wall", "all", "command", "nodes", "rays"):
                cells.append({"median": f"{name}: {what}", "form": ".1f"} if what in self._found[name] else "")
            for kinds in (("beside", "one"), ("beside, busy",), ("beside, further",), ("two", "two-local")):
                kind = next((kind for kind in kinds if kind.split(",")[0] == name), "")
                known = bool(kind) and all(series in self._result.series for series in ratios[kind])
                cells.append({"ratio": list(ratios[kind])} if known else "")
            rows.append(cells)
        columns = ["conversion", "seconds", "processor time, s", "of the command", "of nodes' tasks", "of Ray itself"]
        columns += ["to local", "less Ray idle", f"after {FEW} images", "faster than one"]
        self._result.tables["main"] = Table(columns, rows)


def speed(root: Path, source: Path, chosen: Sequence[str], runs: int, json: Path | None, note: str) -> None:
    """Measure conversions, print the figures and keep them."""
    images = [path for path in source.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in images)
    result = Result("ray", f"{len(images):,} images, {size / 1e9:.1f} GB, files in memory", note=note)
    measured = Speed(root, source, result)
    measured.measure(chosen, runs)
    measured.tabulate()
    if json:
        result.save(json)
    print(f"{result.caption()}\n\n{result.text('main')}")


def main() -> int:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--count", type=int, default=1280, help="photographs")
    parser.add_argument("--speed", type=Path, metavar="FOLDER", help="measure with the images of this folder")
    parser.add_argument(
        "--measure", nargs="+", choices=CHOICES, default=["beside", "one", "two"], help="what --speed measures"
    )
    parser.add_argument("--json", type=Path, help="keep what --speed measures in this file")
    parser.add_argument("--note", default="", help="what readers of the figures have to know, kept with them")
    parser.add_argument("--runs", type=int, default=2, help="of each kind, with --speed")
    options = parser.parse_args()
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    os.environ.setdefault("RAY_worker_niceness", "0")
    with tempfile.TemporaryDirectory(prefix="ffprep-ray-") as made:
        if options.speed:
            speed(Path(made), options.speed, options.measure, options.runs, options.json, options.note)
            return 0
        problems = kills(Path(made), options.only, options.count)
    print(f"{len(problems)} problems")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
