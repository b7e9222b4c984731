#!/usr/bin/env python3
"""Mutation testing: change one thing in the code, run the closest tests, and see whether any of them fails.

    scripts/mutate.py --sample 40              a random sample of 40 mutants of each group
    scripts/mutate.py jpeg --seed 3            every mutant of one group
    scripts/mutate.py --only ffprep/beton/opening/check.py:44

Mutants are made in a temporary copy of the tree, one at a time, and the same seed picks the same ones. A mutant whose
tests fail is killed; one whose tests run into the time limit is killed too, and counted apart. The tests run in a fork
of this process, in which the large libraries are imported already.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mutants import EQUIVALENT, Equivalent, c_changes, python_changes

ROOT = Path(__file__).resolve().parent.parent
PRELOADED = ("numpy", "numba", "torch", "PIL.Image", "hypothesis", "pytest")
MEMORY = 16 << 30
"""Bytes a mutant's tests may allocate: some mutants ask for all there is."""


@dataclass(frozen=True)
class Target:
    """Files to mutate and the tests that should notice; the tests run in order and stop at the first failure."""

    group: str
    files: Sequence[str]
    tests: Sequence[str]
    interpreted: bool = False
    """Run numba kernels as Python: small tests then need not wait for the compiler."""


BETON = "ffprep/beton"
ORDER = "ffprep/loader/order"
NATIVE = "ffprep/jpeg/native"
TARGETS = (
    Target(
        "order",
        [f"{ORDER}/permute.py"],
        ["tests/loader/test_golden_orders.py", "tests/loader/order/test_loader_order.py"],
    ),
    Target(
        "order",
        [f"{ORDER}/order.py"],
        ["tests/loader/test_golden_orders.py", "tests/loader/order/test_loader_order.py"],
    ),
    Target(
        "order",
        [f"{ORDER}/mix.py"],
        ["tests/loader/test_golden_orders.py", "tests/loader/order/test_mix_order.py"],
    ),
    Target(
        "order",
        [f"{ORDER}/weighted.py"],
        ["tests/loader/test_golden_orders.py", "tests/dropin/test_weighted_order.py"],
    ),
    Target(
        "order",
        [f"{ORDER}/sampling.py", f"{ORDER}/pages.py"],
        ["tests/loader/order/test_pages.py", "tests/loader/order/test_sampling.py"],
    ),
    Target(
        "order",
        [f"{ORDER}/share.py"],
        ["tests/loader/order/test_loader_order.py", "tests/loader/epoch/test_loader_padding.py"],
    ),
    Target(
        "beton",
        [f"{BETON}/layout.py", f"{BETON}/opening/head.py"],
        ["tests/beton/test_table_boundaries.py", "tests/beton/test_tables.py", "tests/beton/test_hostile.py"],
    ),
    Target(
        "beton",
        [f"{BETON}/opening/check.py", f"{BETON}/writing/placement.py", f"{BETON}/writing/columns.py"],
        ["tests/beton/test_table_boundaries.py", "tests/beton/test_tables.py", "tests/beton/test_verify_merge.py"],
    ),
    Target(
        "beton",
        [f"{BETON}/verify/verify.py"],
        [
            "tests/beton/test_verify_boundaries.py",
            "tests/beton/test_verify_merge.py",
            "tests/beton/test_verify_index.py",
        ],
    ),
    Target(
        "kernels",
        ["ffprep/kernels/image/crop.py", "ffprep/kernels/random.py"],
        ["tests/kernels/test_golden_crops.py"],
        interpreted=True,
    ),
    Target(
        "kernels",
        ["ffprep/kernels/resample/weights.py"],
        ["tests/kernels/test_golden_weights.py"],
        interpreted=True,
    ),
    Target("text", ["ffprep/text/blocks/blocks.py"], ["tests/text/test_block_layout.py", "tests/text/test_blocks.py"]),
    Target(
        "convert",
        ["ffprep/convert/units.py"],
        ["tests/convert/test_units.py", "tests/convert/test_run_conversion.py"],
    ),
    Target(
        "convert",
        ["ffprep/convert/progress.py", "ffprep/convert/report.py"],
        ["tests/convert/test_progress_lines.py", "tests/convert/test_progress_and_report.py"],
    ),
    Target("download", ["ffprep/download/limit_tracker.py"], ["tests/download/test_limits.py"]),
    Target(
        "jpeg",
        [*(f"{NATIVE}/parse/{name}.c" for name in ("parse", "segments", "frame", "exif")), f"{NATIVE}/huffman/codes.c"],
        [
            "tests/jpeg/test_parse_boundaries.py",
            "tests/jpeg/test_parse_frames.py",
            "tests/jpeg/test_plausible.py",
            "tests/jpeg/test_whole.py",
            "tests/jpeg/test_jpeg_status.py",
            "tests/jpeg/test_progression_status.py",
        ],
    ),
)


def missing_paths(targets: Sequence[Target], root: Path) -> list[str]:
    """Return the files and tests of targets that the tree does not have."""
    named = dict.fromkeys(path for target in targets for path in (*target.files, *target.tests))
    return [path for path in named if not (root / path).is_file()]


@dataclass(frozen=True)
class Mutant:
    """A replacement of some bytes of a file."""

    target: Target = field(repr=False)
    file: str
    line: int
    start: int
    end: int
    text: bytes

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text + source[self.end :]

    def changed_lines(self, source: bytes) -> tuple[str, str]:
        """Return what the lines that differ were and are."""
        before, after = (text.decode().splitlines() for text in (source, self.apply(source)))
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag != "equal":
                return "\n".join(before[a:b]), "\n".join(after[c:d])
        return "", ""


def mutants_of(target: Target, root: Path) -> Iterator[Mutant]:
    for name in target.files:
        source = (root / name).read_bytes()
        for start, end, text in python_changes(source) if name.endswith(".py") else c_changes(source):
            yield Mutant(target, name, source.count(b"\n", 0, start) + 1, start, end, text)


# -- running -----------------------------------------------------------------------------------------------------------


class Library:
    """The C library of a copied tree: one file is compiled anew for each mutant."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.native = tree / NATIVE
        self.output = self.native.parent / "_native.so"
        self.objects = tree / "mutated-objects"
        self.compiler = [
            *os.environ.get("CC", "gcc").split(),
            "-std=gnu11",
            "-O1",
            "-fPIC",
            "-fvisibility=hidden",
            "-w",
            f"-I{self.native}",
        ]

    def build(self, changed: str = "") -> bool:
        """Compile `changed`, or every file where it is a header or nothing, and link; whether that worked."""
        self.objects.mkdir(exist_ok=True)
        for file in sorted(self.native.rglob("*.c")):
            compiled = self.objects / ("-".join(file.relative_to(self.native).parts) + ".o")
            if compiled.exists() and changed.endswith(".c") and not file.samefile(self.tree / changed):
                continue
            if subprocess.run([*self.compiler, "-c", file, "-o", compiled], stderr=subprocess.DEVNULL).returncode:
                return False
        linked = self.output.with_suffix(".new")
        command: list[str | Path] = [
            self.compiler[0],
            "-shared",
            "-o",
            linked,
            *sorted(self.objects.glob("*.o")),
            "-lm",
            "-lpthread",
        ]
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            return False
        linked.replace(self.output)
        return True


def run_tests(tree: Path, target: Target, seconds: int, output: Path, keep_bytecode: bool = False) -> str:
    """Run a target's tests in a fork; return passed, failed or timeout."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        code = 3
        try:
            code = _child(tree, target, output, keep_bytecode)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # processes the tests started
    if os.WIFSIGNALED(status):
        return "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "failed"
    return "passed" if os.WEXITSTATUS(status) == 0 else "failed"


def _child(tree: Path, target: Target, output: Path, keep_bytecode: bool) -> int:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(tree)
    sys.dont_write_bytecode = not keep_bytecode
    sys.path.insert(0, str(tree))
    os.environ["PYTHONPATH"] = str(tree)
    if target.interpreted:
        importlib.import_module("numba").config.DISABLE_JIT = True
    import pytest

    warnings = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    if target.interpreted:
        warnings += ["-W", "ignore::RuntimeWarning"]  # unsigned integers that wrap around
    options = ["-x", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "--hypothesis-seed=0", *warnings]
    code = int(pytest.main([*options, *target.tests]))
    ffprep = sys.modules.get("ffprep")
    if ffprep is not None and not str(ffprep.__file__).startswith(str(tree)):
        print(f"the tests ran {ffprep.__file__}, not the copy in {tree}")
        return 3
    return code


class Session:
    """A copy of the tree, and the runs in it."""

    def __init__(self, root: Path, tree: Path, seconds: int) -> None:
        ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "*.pyc", ".hypothesis", ".*_cache")
        shutil.copytree(root, tree, ignore=ignored)
        self.tree = tree
        self.log = tree.with_name("log")
        self.seconds = seconds
        self._library: Library | None = None
        self._time = 1

    def baseline(self, target: Target) -> None:
        """Check that a target's tests pass before anything is changed."""
        if any(name.endswith((".c", ".h")) for name in target.files) and self._library is None:
            self._library = Library(self.tree)
            if not self._library.build():
                raise SystemExit("the C library does not build")
        if run_tests(self.tree, target, 10 * self.seconds, self.log, keep_bytecode=True) != "passed":
            print(self.log.read_text(errors="replace")[-3000:])
            raise SystemExit(f"the tests of {', '.join(target.files)} fail without any mutant")

    def try_out(self, mutant: Mutant) -> str:
        """Return killed, timeout, survived, or invalid for what does not compile."""
        path = self.tree / mutant.file
        source = path.read_bytes()
        shutil.rmtree(self.tree / ".hypothesis", ignore_errors=True)
        try:
            path.write_bytes(mutant.apply(source))
            self._time += 1
            os.utime(path, (self._time, self._time))  # never that of the byte code beside it
            if not mutant.file.endswith(".py") and self._library and not self._library.build(mutant.file):
                return "invalid"
            result = run_tests(self.tree, mutant.target, self.seconds, self.log)
        finally:
            path.write_bytes(source)
        return {"passed": "survived", "failed": "killed"}.get(result, result)


def excused_by(known: Equivalent, mutant: Mutant, source: bytes) -> bool:
    if known.file != mutant.file:
        return False
    before, after = mutant.changed_lines(source)
    return bool(re.fullmatch(known.line, before.strip(), re.S) and re.fullmatch(known.mutant, after.strip(), re.S))


def chosen(
    targets: Sequence[Target], root: Path, group: str, places: Sequence[str], sample: int, seed: int
) -> list[Mutant]:
    """Return the mutants of a group, of some places only if there are any, and a sample of those unless it is 0."""
    found = [mutant for target in targets if target.group == group for mutant in mutants_of(target, root)]
    if places:
        found = [mutant for mutant in found if mutant.file in places or f"{mutant.file}:{mutant.line}" in places]
    if sample and sample < len(found):
        picked = sorted(random.Random(f"{seed} {group}").sample(range(len(found)), sample))
        return [found[i] for i in picked]
    return found


def main(arguments: Sequence[str] | None = None, targets: Sequence[Target] = TARGETS, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    groups = list(dict.fromkeys(target.group for target in targets))
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(groups)}; by default all")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="mutants of each group; by default all")
    parser.add_argument("--seed", type=int, default=0, help="names the sample")
    parser.add_argument("--timeout", type=int, default=60, metavar="SECONDS", help="for the tests of one mutant")
    parser.add_argument("--only", action="append", default=[], metavar="FILE[:LINE]", help="mutants of these places")
    parser.add_argument("--least", type=float, default=0, metavar="PERCENT", help="fail where a group has fewer killed")
    parser.add_argument("--quiet", action="store_true", help="show survivors only")
    options = parser.parse_args(arguments)
    if unknown := set(options.groups) - set(groups):
        parser.error(f"no group is called {', '.join(sorted(unknown))}")
    if missing := missing_paths(targets, root):
        parser.error(f"the tree has no {', '.join(missing)}")
    for module in PRELOADED:
        try:
            importlib.import_module(module)
        except ImportError:
            continue
    enough = True
    with tempfile.TemporaryDirectory(prefix="ffprep-mutants-") as folder:
        session = Session(root, Path(folder) / "tree", options.timeout)
        totals: dict[str, Counter[str]] = {}
        for group in options.groups or groups:
            mutants = chosen(targets, root, group, options.only, options.sample, options.seed)
            totals[group] = _run_group(session, mutants, root, options.quiet)
        titles = "".join(f" {title:>8}" for title in ("mutants", "killed", "timeout", "survived"))
        print(f"\n{'group':<10}{titles} {'equivalent':>10} {'killed':>9}")
        for group, counts in totals.items():
            dead = counts["killed"] + counts["timeout"]
            share = 100 * dead / max(1, dead + counts["survived"])
            enough = enough and (share >= options.least or not counts)
            shown = "".join(f" {counts[kind]:>8}" for kind in ("killed", "timeout", "survived"))
            print(f"{group:<10} {counts.total():>8}{shown} {counts['equivalent']:>10} {share:>7.1f} %")
    return 0 if enough else 1


def _run_group(session: Session, mutants: Sequence[Mutant], root: Path, quiet: bool) -> Counter[str]:
    counts: Counter[str] = Counter()
    ready: set[int] = set()
    for mutant in mutants:
        source = (root / mutant.file).read_bytes()
        if any(excused_by(known, mutant, source) for known in EQUIVALENT):
            result = "equivalent"
        else:
            if id(mutant.target) not in ready:
                session.baseline(mutant.target)
                ready.add(id(mutant.target))
            result = session.try_out(mutant)
        if result == "invalid":
            continue
        counts[result] += 1
        if result == "survived" or not quiet:
            before, after = mutant.changed_lines(source)
            print(f"{result:<10} {mutant.file}:{mutant.line}\n  - {before.strip()}\n  + {after.strip()}", flush=True)
    return counts


if __name__ == "__main__":
    sys.exit(main())
