#!/usr/bin/env python3
"""Run ffcv's own tests with its name replaced by ours, and on stock ffcv, in the same run.

    python scripts/ffcv_tests.py CHECKOUT [--only stock|ours] [-k EXPRESSION]

CHECKOUT is an unpacked source distribution of ffcv (``pip download ffcv==1.0.2 --no-binary :all: --no-deps``) or a
checkout of its repository. Its tests are copied to a temporary folder, once as they are and once with ``ffcv`` replaced
in their imports; in both copies ``nccl`` becomes ``gloo``, which needs no GPU, and torchvision's CIFAR10 is a small
made-up one, which needs no network. Printed is a line for each test whose outcome is not "passed" on both, and the
counts. A file of tests that ends without a report is run again test by test. The exit status is 1 if a test passes on
stock and not here, or none ran.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

CIFAR = '''
import numpy as np
import torchvision.datasets
from PIL import Image


class CIFAR10:
    """Two thousand pictures of noise, with torchvision's arguments and attributes."""

    classes = list("abcdefghij")

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        self.transform = transform
        draw = np.random.default_rng(0)
        self.data = draw.integers(0, 256, (2000, 32, 32, 3), dtype=np.uint8)
        self.targets = draw.integers(0, 10, 2000).tolist()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        image = Image.fromarray(self.data[index])
        return image if self.transform is None else self.transform(image), self.targets[index]


torchvision.datasets.CIFAR10 = CIFAR10
'''

"""What replaces torchvision's CIFAR10."""

LIMIT = 600.0
"""Seconds that a file of tests may take, and each of its tests if the file ended without a report."""

IMPORT = re.compile(r"^(\s*(?:from|import)\s+)ffcv\b", re.MULTILINE)


def copied(tests: Path, folder: Path, ours: bool) -> None:
    """Copy the tests, with what cannot run here replaced."""
    folder.mkdir()
    for path in sorted(tests.glob("*.py")):
        text = path.read_text().replace("'nccl'", "'gloo'")
        (folder / path.name).write_text(IMPORT.sub(r"\1ffprep", text) if ours else text)
    (folder / "conftest.py").write_text(CIFAR)


def outcomes(folder: Path, options: list[str]) -> dict[str, tuple[str, str]]:
    """Run the tests in a folder; return outcome and first line of the reason by the test's name.

    Each file is a process of its own. If that ends without a report, or not within the limit, each of its tests is.
    """
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(folder.glob("test_*.py")):
        ran = _report(folder, [str(path), *options])
        if ran is None:
            for test in _names(folder, path, options):
                one = _report(folder, [test])
                name = f"{path.stem}::{test.rpartition('::')[2]}"
                ran = {**(ran or {}), **(one or {name: ("crashed", "the process crashed, or hung and was ended")})}
        found.update(ran or {})
    return found


def _command(folder: Path, arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(folder)])}
    return [*command, "-W", "ignore", *arguments], environment


def _report(folder: Path, arguments: list[str]) -> dict[str, tuple[str, str]] | None:
    """Run pytest; return what its report says of each test, or None if it left none."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command, environment = _command(folder, [f"--junitxml={report}", *arguments])
    # a session of its own, so that its workers can be ended with it
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if not report.is_file():
        return None
    found: dict[str, tuple[str, str]] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        failure = next((node for node in case if node.tag in ("failure", "error", "skipped")), None)
        reason = "" if failure is None else (failure.get("message") or "").split("\n")[0]
        found[name] = ("passed" if failure is None else failure.tag, reason)
    return found


def _names(folder: Path, path: Path, options: list[str]) -> list[str]:
    """Return the names of a file's tests, as pytest takes them."""
    command, environment = _command(folder, ["--collect-only", str(path), *options])
    listed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if "::" in line]


def main() -> int:
    """Run both copies and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--only", choices=("stock", "ours"), help="run one of them, without a comparison")
    options, rest = parser.parse_known_args()
    tests = options.checkout / "tests"
    if not tests.is_dir():
        parser.error(f"{tests}: no such folder")
    if importlib.util.find_spec("torchvision") is None:
        parser.error("ffcv's tests need torchvision; install it beside torch: pip install torchvision")
    with tempfile.TemporaryDirectory() as temporary:
        results: dict[str, dict[str, tuple[str, str]]] = {}
        for name in (options.only,) if options.only else ("stock", "ours"):
            copied(tests, Path(temporary) / name, name == "ours")
            results[name] = outcomes(Path(temporary) / name, rest)
    worse = 0
    for test in sorted(set().union(*results.values())):
        kinds = {name: found.get(test, ("missing", "")) for name, found in results.items()}
        if any(kind != "passed" for kind, _ in kinds.values()):
            reason = next((reason for _, reason in reversed(kinds.values()) if reason), "")
            print(f"{test}: {', '.join(f'{name} {kind}' for name, (kind, _) in kinds.items())}: {reason[:150]}")
        worse += len(kinds) == 2 and kinds["stock"][0] == "passed" != kinds["ours"][0]
    for name, found in results.items():
        print(name, ", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, _ in found.values()).items()))
    return 1 if worse or not all(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
