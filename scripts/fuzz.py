"""Builds and runs the fuzz targets of tests/fuzz.

    python scripts/fuzz.py [--seconds 600] [--runs 0] [--seed 1] [--only TARGET ...] [--work DIR]

The time is divided among the targets: ``decode``, ``rewrite``, ``index`` and ``speculate`` of the JPEG library,
``reader`` and ``loader`` of ``.beton`` files, and ``sources``. ``--runs`` gives each of them a number of executions
instead. The library is built with AddressSanitizer and UndefinedBehaviorSanitizer, for reader and loader too.

With clang its targets are libFuzzer's, guided by coverage, and their corpora stay in the working folder; the next run
goes on from them. Without clang the same targets are run by ``driver.c`` with the compiler there is: the same damage,
without guidance. ``decode`` compares with libjpeg-turbo where its headers are (Debian: libjpeg62-turbo-dev).

A finding stops its target and is saved in the working folder; the status is then 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
NATIVE = HERE / "ffprep" / "jpeg" / "native"
FUZZ = HERE / "tests" / "fuzz"
TARGETS = ("decode", "rewrite", "index", "speculate")
PYTHON = ("reader", "loader", "sources")
FLAGS = ["-std=gnu11", "-g", "-O1", "-fno-omit-frame-pointer", "-Wall", "-Wextra", "-Werror"]
FLAGS += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{NATIVE}", f"-I{FUZZ / 'native'}"]
LARGEST = 4096
"""Bytes of a stream that libFuzzer tries: small ones are tried faster, and large ones show nothing else."""


def find_clang(folder: Path) -> str | None:
    """Name of a clang that has libFuzzer, or None."""
    target = "int LLVMFuzzerTestOneInput(const char *p, unsigned long n) { return p == 0 && n; }\n"
    source, built = folder / "target.c", folder / "target"
    source.write_text(target)
    for name in ("clang", *(f"clang-{version}" for version in range(22, 12, -1))):
        command = [name, "-fsanitize=fuzzer,address", source, "-o", built]
        if shutil.which(name) and subprocess.run(command, capture_output=True).returncode == 0:
            return name
    return None


def build_library(compiler: str, folder: Path, extra: list[str]) -> Path:
    """Compile the JPEG library with sanitizers; return the archive."""
    objects = []
    running: list[subprocess.Popen[bytes]] = []
    for source in sorted(NATIVE.rglob("*.c")):
        objects.append(folder / f"{'_'.join(source.relative_to(NATIVE).parts)}.o")
        running.append(subprocess.Popen([compiler, *FLAGS, *extra, "-fPIC", "-c", source, "-o", objects[-1]]))
        while sum(process.poll() is None for process in running) >= 2:
            time.sleep(0.01)
    if any(process.wait() for process in running):
        raise SystemExit("the JPEG library cannot be compiled")
    archive = folder / "library.a"
    archive.unlink(missing_ok=True)
    subprocess.run(["ar", "rcs", archive, *objects], check=True)
    return archive


def build_target(name: str, compiler: str, folder: Path, library: Path, guided: bool) -> Path:
    """Link one target; `guided` by libFuzzer, or with ``driver.c``."""
    sources = [FUZZ / "native" / f"{part}.c" for part in (name, "support", "damage")]
    options: list[str | Path] = ["-DFFP_LIBFUZZER", "-fsanitize=fuzzer"] if guided else [FUZZ / "native" / "driver.c"]
    tail: list[str | Path] = []
    if name == "decode" and _has_libjpeg(compiler, folder):
        options.append("-DFFP_LIBJPEG")
        sources.append(FUZZ / "native" / "libjpeg.c")
        tail = ["-ljpeg"]
    built = folder / name
    subprocess.run([compiler, *FLAGS, *options, *sources, library, *tail, "-o", built], check=True)
    return built


def _has_libjpeg(compiler: str, folder: Path) -> bool:
    program = "#include <stdio.h>\n#include <jpeglib.h>\nint main(void) { return jpeg_quality_scaling(50) != 100; }\n"
    source = folder / "libjpeg_probe.c"
    source.write_text(program)
    command = [compiler, source, "-ljpeg", "-o", folder / "libjpeg_probe"]
    return subprocess.run(command, capture_output=True).returncode == 0


def run_native(name: str, built: Path, folder: Path, options: argparse.Namespace, guided: bool, seconds: float) -> int:
    """Run one target; return its status."""
    corpus = FUZZ / "corpus" / "jpeg"
    if guided:
        grown = folder / "corpus" / name
        grown.mkdir(parents=True, exist_ok=True)
        command = [built, f"-seed={options.seed}", f"-max_len={LARGEST}", "-timeout=60", "-rss_limit_mb=2000"]
        command += [f"-artifact_prefix={folder}/{name}-", "-print_final_stats=1", "-verbosity=0"]
        command += [f"-runs={options.runs}"] if options.runs else [f"-max_total_time={int(seconds)}"]
        return subprocess.run([*command, grown, corpus]).returncode
    files = sorted(corpus.iterdir())
    end, seed, status = time.monotonic() + seconds, options.seed, 0
    while not status:
        each = max(1, options.runs // len(files)) if options.runs else 200
        status = subprocess.run([built, str(each), str(seed), *files], stdout=subprocess.DEVNULL).returncode
        seed += 1
        if options.runs or time.monotonic() > end:
            break
    if status:
        print(f"{name}: `{built} {each} {seed - 1} {corpus}/*` repeats it", file=sys.stderr)
    return status


def sanitized(compiler: str) -> dict[str, str]:
    """Environment in which the interpreter can load a library with gcc's sanitizers."""
    libraries = (
        subprocess.run([compiler, f"-print-file-name=lib{name}.so"], capture_output=True, text=True).stdout.strip()
        for name in ("asan", "ubsan")
    )
    own = {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0:allow_user_segv_handler=1"}
    return {**os.environ, **own, "PYTHONPATH": str(HERE)}


def run_python(name: str, native: Path, folder: Path, options: argparse.Namespace, seconds: float) -> int:
    """Run the target of a Python module; return its status."""
    module = "fuzz_sources.py" if name == "sources" else "fuzz_beton.py"
    command = [sys.executable, FUZZ / module, *([] if name == "sources" else [name]), "--seed", str(options.seed)]
    command += ["--runs", str(options.runs)] if options.runs else ["--seconds", str(int(seconds))]
    if name == "sources":
        return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(HERE)}).returncode
    return subprocess.run([*command, "--native", native], cwd=folder, env=sanitized("gcc")).returncode


def main() -> int:
    """Build and run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=[*TARGETS, *PYTHON], default=[*TARGETS, *PYTHON])
    parser.add_argument("--work", type=Path, default=HERE / "build" / "fuzz")
    options = parser.parse_args()
    folder = options.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    clang, failed = find_clang(folder), []
    print(f"compiler: {clang or 'gcc, so without guidance by coverage'}", flush=True)
    library = None
    for name in options.only:
        seconds = options.seconds / len(options.only)
        print(f"\n{name}", flush=True)
        if name in TARGETS:
            compiler = clang or "gcc"
            if library is None:
                library = build_library(compiler, folder, ["-fsanitize=fuzzer-no-link"] if clang else [])
            built = build_target(name, compiler, folder, library, clang is not None)
            status = run_native(name, built, folder, options, clang is not None, seconds)
        else:
            native = folder / "native.so"
            sources = sorted(NATIVE.rglob("*.c"))
            if name != "sources":
                subprocess.run(["gcc", *FLAGS, "-fPIC", "-shared", *sources, "-o", native], check=True)
            status = run_python(name, native, folder, options, seconds)
        failed += [name] if status else []
    if failed:
        print(f"\nfindings of {', '.join(failed)}: see {folder}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
