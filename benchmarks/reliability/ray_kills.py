"""Kill conversions by Ray, parts of them, at random moments: driver, workers, nodes, a cluster of the driver's own.

    python benchmarks/reliability/ray_kills.py [--kills 5] [--only driver]

Starts a cluster of two nodes with one processor each on this machine and converts photographs on it, again and again:

- ``driver``: the command is killed, and given once more until it ends;
- ``worker``: processes that encode are killed, and the command has to end well nevertheless;
- ``node``: the second node is killed with all that runs there, and joins again;
- ``placing``: it is killed while a task on it writes payloads to their places in the file, where some of them are then;
- ``own``: the command finds no cluster, starts one itself, and is killed, alone, without what it started.

The file has to be that of a conversion by threads each time, byte for byte, and nothing may lie beside it. In the end
no process may be left, and nothing in ``/dev/shm``. Ray's own logs, in its folder for temporary files, are not looked
at.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from faults import MARK, left_processes, tree

from ffprep.demo.photographs import make_photographs

COUNT = 240
MANY = 640
"""So many photographs, as pixels, make parts of which tasks write some before they have encoded all."""
RAW = ("--jpeg", "raw")
MEMORY = 80_000_000
START_SECONDS = 300
"""Ray's own limit for the start of a node is too short on a busy machine."""
PATIENCE = 600.0
MOST_TRIES = 5
"""Conversions for each kill in the middle of writing, which is short."""
SHARED = Path("/dev/shm")


def shared_memory() -> set[str]:
    """Ray's files in the shared memory."""
    return {path.name for path in SHARED.iterdir() if "ray" in path.name or "plasma" in path.name}


def encoders() -> list[psutil.Process]:
    """The processes that encode a unit now."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        with contextlib.suppress(psutil.Error):
            if title.startswith("ray::run_on_node") and process.environ().get(MARK) == str(os.getpid()):
                found.append(process)
    return found


class Cluster:
    """Two nodes of one processor each.

    Parameters
    ----------
    folder : Path
        Where Ray's logs go.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Nodes

        self.nodes: Any = Nodes(initialize_head=True, head_node_args={**self._node(), "include_dashboard": False})
        self.second: Any = self.nodes.add_node(**self._node())

    @staticmethod
    def _node() -> dict[str, int]:
        return {"num_cpus": 1, "object_store_memory": MEMORY}

    def places(self, folder: Path) -> bool:
        """Whether a task on the second node has the file open to which it writes payloads."""
        raylet = self.second.all_processes["raylet"][0].process.pid
        for worker in (found for found in encoders() if found.ppid() == raylet):
            with contextlib.suppress(psutil.Error, OSError):
                opened = [link.readlink() for link in Path(f"/proc/{worker.pid}/fd").iterdir()]
                if any(path.name == "whole" and folder in path.parents for path in opened):
                    return True
        return False

    def kill_second(self) -> None:
        """Kill the second node with its workers, and let another one join."""
        self.nodes.remove_node(self.second, allow_graceful=False)
        self.second = self.nodes.add_node(**self._node(), wait=False)


class Kills:
    """Conversions that are killed.

    Parameters
    ----------
    root : Path
        An empty folder.
    kills : int
        How many of each kind.
    """

    def __init__(self, root: Path, kills: int) -> None:
        self.root, self.kills = root, kills
        self.source = make_photographs(root / "photographs", COUNT)
        self.chance = random.Random(0)
        self.tried: Counter[str] = Counter()
        self.problems: list[str] = []
        self.options: tuple[str, ...] = ()
        self.convert_locally("threads")

    def convert_locally(self, name: str) -> None:
        """Make the file that all others have to equal."""
        (self.root / name).mkdir()
        subprocess.run(self.command(self.root / name, "local"), check=True, stdout=subprocess.DEVNULL)
        self.wanted = tree(self.root / name)

    def command(self, folder: Path, engine: str) -> list[str]:
        """The conversion."""
        chosen = ["--engine", engine, "--quiet", "--out", str(folder / "x.beton"), *self.options]
        return [sys.executable, "-m", "ffprep", "convert", "imagenet", "--source", str(self.source), *chosen]

    def start(self, folder: Path, address: str | None) -> subprocess.Popen[bytes]:
        """Start it."""
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        if address is not None:
            environment["RAY_ADDRESS"] = address
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(folder, "ray"), env=environment, **pipes)  # type: ignore[call-overload,no-any-return]

    @contextlib.contextmanager
    def folder(self, kind: str) -> Iterator[Path]:
        """A folder for one conversion, which has to hold the right file in the end, and nothing else."""
        with tempfile.TemporaryDirectory(dir=self.root) as made:
            yield Path(made)
            if (found := tree(Path(made))) != self.wanted:
                self.problems.append(f"{kind}: {sorted(found)} differ")

    def ended(self, kind: str, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a conversion that has to end well."""
        _, messages = process.communicate(timeout=PATIENCE)
        if process.returncode != 0:
            self.problems.append(f"{kind}: status {process.returncode}: {messages.decode(errors='replace')[-2000:]}")

    def until(self, process: subprocess.Popen[bytes], ready: Callable[[], bool], longest: float = 1.0) -> bool:
        """Wait for something, and then up to so many seconds, as long as the command runs."""
        while process.poll() is None:
            if ready():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.chance.uniform(0.0, longest))
                return process.poll() is None
            time.sleep(0.05)
        return False

    def driver(self, address: str | None, kind: str = "driver") -> None:
        """Kill the command, and give it again."""
        with self.folder(kind) as folder:
            process = self.start(folder, address)
            self.until(process, lambda: (folder / "x.beton.ray").exists(), 0.0)
            begun = time.monotonic()
            self.ended(kind, process)
            seconds = time.monotonic() - begun
        while self.tried[kind] < self.kills:
            with self.folder(kind) as folder:
                while self.tried[kind] < self.kills:
                    process = self.start(folder, address)
                    if self.chance.random() < 0.2:  # also before anything is written
                        self.until(process, lambda: True)
                    elif not self.until(process, lambda: (folder / "x.beton.ray").exists(), seconds):
                        self.ended(kind, process)
                        break
                    process.kill()
                    process.communicate()
                    self.tried[kind] += 1
                    print(f"{kind}: {self.tried[kind]}", flush=True)
                    if address is None and (left := left_processes(str(os.getpid()))):
                        self.problems.append(f"{kind}: processes are left: {left}")
                else:
                    self.ended(kind, self.start(folder, address))
        last = time.monotonic() + 60
        while encoders() and time.monotonic() < last:
            time.sleep(0.2)
        if encoders():
            self.problems.append(f"{kind}: the cluster still encodes for a driver that is gone")

    def worker(self, address: str) -> None:
        """Kill processes that encode."""
        while self.tried["worker"] < self.kills:
            with self.folder("worker") as folder:
                process = self.start(folder, address)
                for _ in range(2):
                    if not self.until(process, lambda: bool(encoders())):
                        break
                    for victim in encoders()[:1]:
                        with contextlib.suppress(psutil.Error):
                            victim.send_signal(signal.SIGKILL)
                            self.tried["worker"] += 1
                            print(f"worker: {self.tried['worker']}", flush=True)
                self.ended("worker", process)

    def node(self, cluster: Cluster) -> None:
        """Kill the second node."""
        while self.tried["node"] < self.kills:
            with self.folder("node") as folder:
                process = self.start(folder, cluster.nodes.address)
                if self.until(process, lambda: bool(encoders())):
                    cluster.kill_second()
                    self.tried["node"] += 1
                    print(f"node: {self.tried['node']}", flush=True)
                self.ended("node", process)

    def placing(self, cluster: Cluster) -> None:
        """Kill the second node while it writes to places in the file."""
        before = self.source, self.options, self.wanted
        self.source, self.options = make_photographs(self.root / "many", MANY), RAW
        self.convert_locally("pixels")
        for _ in range(MOST_TRIES * self.kills):
            with self.folder("placing") as folder:
                process = self.start(folder, cluster.nodes.address)
                at_it = partial(cluster.places, folder.resolve())
                if self.until(process, at_it, 0.1) and at_it():
                    cluster.kill_second()
                    self.tried["placing"] += 1
                    print(f"placing: {self.tried['placing']}", flush=True)
                self.ended("placing", process)
            if self.tried["placing"] >= self.kills:
                break
        else:
            self.problems.append(f"placing: seen {self.tried['placing']} times only")
        self.source, self.options, self.wanted = before


def main() -> int:
    """Do everything that was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = ("driver", "worker", "node", "placing", "own")
    parser.add_argument("--kills", type=int, default=5, help="of each kind")
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    options = parser.parse_args()
    before = shared_memory()
    with tempfile.TemporaryDirectory(prefix="ffprep-ray-") as made:
        kills = Kills(Path(made), options.kills)
        os.environ[MARK] = str(os.getpid())
        os.environ.setdefault("RAY_raylet_start_wait_time_s", str(START_SECONDS))
        if set(options.only) - {"own"}:
            cluster = Cluster()
            if "driver" in options.only:
                kills.driver(cluster.nodes.address)
            if "worker" in options.only:
                kills.worker(cluster.nodes.address)
            if "node" in options.only:
                kills.node(cluster)
            if "placing" in options.only:
                kills.placing(cluster)
            cluster.nodes.shutdown()
        if "own" in options.only:
            kills.driver(None, "own")
        if left := left_processes(os.environ[MARK]):
            kills.problems.append(f"processes are left: {left}")
        if memory := shared_memory() - before:
            kills.problems.append(f"shared memory is left: {memory}")
    print(f"{dict(kills.tried)}, {len(kills.problems)} problems")
    print("\n".join(kills.problems))
    return 1 if kills.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
