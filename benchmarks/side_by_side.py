"""ffprep side by side with every peer, each in an environment of its own; ``make bench`` runs all parts.

    python benchmarks/side_by_side.py                         # all parts, on photographs made from the embedded ones
    python benchmarks/side_by_side.py images --data FOLDER    # one part, on an ImageFolder: [train/]<class>/*
    python benchmarks/side_by_side.py --quick                 # fewer images, peers and rounds
    python benchmarks/side_by_side.py --set-up                # the environments alone: downloads several GB once

Parts, with what they compare: `writing` (conversion), `images` (training crops of 0.08 to 1 of the area), `narrow`
(0.9 to 1), `validation`, `views` (two crops of each image), `workers` (0, 1, 2, 4 of them; batches read to their last
value), `decoding` (the decoders alone, whole images and crops), `tokens`, `tokenise`, `download`, `accelerator` (an
emulated one), `confined` (room in memory for half of the set), `scaling` (sides of images, numbers of samples and of
files).

The contestants of a group take turns, a pass each a round, after a pass that is not counted and in which their values
are looked at. They are pinned to one processor unless a table says otherwise; beside the rate by the clock stands the
processor time of a sample, with that of all processes a loader starts. A peer that cannot be installed or run, that
hangs, or whose values are others, is listed with the reason. Every part has its share of the time that is left, and its
results in a file of its own, ``OUT/side-by-side-NAME-PART.json``; a part whose file is there is left out (``--again``
runs it anew).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from loader import make_files, repeat_folder
from peers.entries import Data, image_entries, shard_writers
from peers.environments import ENVIRONMENTS, set_up
from peers.measuring import Setting, building, timed
from peers.parts import PARTS, Bench

from ffprep.inspect.timing.results import Result

WITH_SHARDS = {"writing", "images", "narrow", "validation", "views", "workers", "accelerator", "scaling"}
GRACE = 60
"""Seconds that a part may take beyond its own, before it is broken off."""
PREPARING = (70, 40)
"""Seconds for making the data, counted like those of `PARTS`; the second is for a quick look."""
MINUTES = (38.0, 7.5)
STOPPED = "stopped"


class Late(Exception):
    """A part took longer than it may."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `Late` after some seconds, where the system has alarms."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise Late(f"broken off after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def make_data(scratch: Path, given: Path | None, images: int) -> Data:
    """Make every form of the images in a folder that may be kept: what is there is taken as it is."""
    place = scratch / f"images-{images}"
    if not place.exists():
        if given is None:
            from ffprep.demo.photographs import make_photographs

            given = make_photographs(scratch / "photographs", images)
        with building(place) as part:
            repeat_folder(given, part, images)
            limited(part / "train", images)
            make_files(part)
    stock = place / "stock.beton"
    shards = place / "shards"
    shards.mkdir(exist_ok=True)
    forms = (place / "seekable.beton", place / "keep.beton", stock if stock.exists() else None)
    return Data(place / "train", shards, *forms, len(list((place / "train").glob("*/*"))))


def limited(folder: Path, images: int) -> None:
    """Take images away until so many are left, evenly over the folder."""
    found = sorted(folder.glob("*/*"))
    kept = {found[number * len(found) // images] for number in range(images)}
    for path in found:
        if path not in kept:
            path.unlink()
    for one in folder.iterdir():
        if not any(one.iterdir()):
            one.rmdir()


def write_shards(data: Data, setting: Setting) -> None:
    """Have peers write the forms that they read, where that has not been done."""
    missing = [one for one in shard_writers(data, ".part") if not (data.shards / one.environment).exists()]
    if not missing:
        return
    for group in timed(missing, replace(setting, rounds=1, until=time.monotonic() + 300)):
        for entry, timing in group:
            whole = data.shards / entry.environment
            if not timing.failure and not whole.exists():
                Path(entry.options["out"]).rename(whole)


def warm_up(data: Data) -> None:
    """Load the images once with ffprep, since its kernels are compiled then where their machine code is out of date."""
    entries = [image_entries(data)[0], image_entries(data, kind="views")[0]]
    for one in entries:
        began = time.monotonic()
        failure = next(iter(timed([one], Setting(rounds=1, start=900))))[0][1].failure
        print(f"{one.name}: {failure or f'{time.monotonic() - began:.0f} s to warm up'}", file=sys.stderr, flush=True)


def run(name: str, bench: Bench, seconds: float) -> str:
    """Run a part; return why it did not come to its end, or nothing."""
    began = time.monotonic()
    bench.setting = replace(bench.setting, until=began + seconds)
    try:
        with at_most(seconds + GRACE):
            PARTS[name][0](bench)
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
    finally:
        print(f"{name}: {time.monotonic() - began:.0f} s of {seconds:.0f}", file=sys.stderr, flush=True)
    return ""


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--data", type=Path, help="folder with [train/]<class>/*; made of demo photographs if absent")
    parser.add_argument(
        "--text", default="", help="a source for convert openwebtext; made of the demo's words if absent"
    )
    parser.add_argument("--images", type=int, help="how many, by default 256, or 64 with --quick")
    parser.add_argument("--rounds", type=int, help="by default 5, or 2 with --quick; fewer where the time ends")
    parser.add_argument("--minutes", type=float, help="for all parts together, by default 38, or 7.5 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer images, peers and rounds, for a look")
    parser.add_argument("--core", type=int, help="processor to pin to; by default the first that may be used")
    parser.add_argument("--out", type=Path, default=Path("bench-out"), help="folder of results (default: %(default)s)")
    parser.add_argument("--name", default="here", help="what the files of results are called by (default: %(default)s)")
    parser.add_argument("--again", action="store_true", help="also parts whose results are there")
    parser.add_argument("--scratch", type=Path, help="keep what is made in this folder, for further runs")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    parser.add_argument("--set-up", action="store_true", help="make the peers' environments, and nothing else")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for environment in ENVIRONMENTS.values():
        failure = set_up(environment, again=options.set_up)[1]
        if failure and options.set_up:
            print(f"{environment.name}: {failure}")
    if options.set_up:
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-", ignore_cleanup_errors=True) as made:
        try:
            failures = measured(options, options.scratch or Path(made))
        except KeyboardInterrupt:
            failures = {"the data": STOPPED}
    for name, failure in failures.items():
        print(f"{name}: {failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


def shares(chosen: Sequence[str], minutes: float, quick: bool) -> tuple[float, dict[str, float]]:
    """Divide the time of a run.

    Parameters
    ----------
    chosen : sequence of str
        The parts that are to be run.
    minutes : float
        What all parts would take.
    quick : bool

    Returns
    -------
    (float, dict of str to float)
        Seconds for these parts, the making of the data included, and each part's weight.
    """
    weights = {name: part[2 if quick else 1] for name, part in PARTS.items()}
    whole = PREPARING[quick] + sum(weights.values())
    chosen_weights = {name: weights[name] for name in chosen}
    return 60 * minutes * (PREPARING[quick] + sum(chosen_weights.values())) / whole, chosen_weights


def measured(options: argparse.Namespace, scratch: Path) -> dict[str, str]:
    """Make the data and run the parts; return those that did not come to their end."""
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in PARTS if not options.parts or name in options.parts]
    files = {name: options.out / f"side-by-side-{options.name}-{name}.json" for name in PARTS}
    chosen = [name for name in chosen if options.again or not files[name].exists()]
    seconds, weights = shares(chosen, options.minutes or MINUTES[options.quick], options.quick)
    rounds = options.rounds or (2 if options.quick else 5)
    images = options.images or (64 if options.quick else 256)
    cores = [options.core] if options.core is not None else sorted(os.sched_getaffinity(0))[:1]
    data = make_data(scratch, options.data, images)
    longer = max(1.0, (options.minutes or 0) / MINUTES[options.quick])  # who gives more time gives peers more
    setting = Setting(rounds=rounds, cores=cores, start=longer * Setting.start, epoch=longer * Setting.epoch)

    def other(name: str) -> Result | None:
        return Result.load(files[name]) if files[name].exists() else None

    if set(chosen) & WITH_SHARDS:
        write_shards(data, setting)
    warm_up(data)
    failures: dict[str, str] = {}
    for name in chosen:
        bench = Bench(data, setting, options.quick, scratch, options.text, other)
        what = f"{data.count:,} images, batches of 64, up to {rounds} rounds" + (", a quick look" * options.quick)
        bench.result = Result("side_by_side", what, note=options.note)
        left = max(0.0, began + seconds - time.monotonic())
        own = left * weights[name] / sum(weights[other] for other in chosen[chosen.index(name) :])
        print(f"{name}: at most {own:.0f} s", file=sys.stderr, flush=True)
        partial = files[name].with_suffix(".partial.json")
        bench.keep = partial_of(bench.result, partial)
        failure = run(name, bench, own)
        bench.result.save(partial if failure else files[name])
        if failure:
            failures[name] = f"{failure}; what it found is in {partial}"
        else:
            partial.unlink(missing_ok=True)
        if failure == STOPPED:
            break
        show(bench.result)
    return failures


def partial_of(result: Result, path: Path) -> Callable[[], None]:
    """Return what saves a result that is not whole."""
    return lambda: result.save(path)


def show(result: Result) -> None:
    """Print the tables of a part."""
    print(result.caption())
    for name in result.tables:
        print(f"\n{name}\n\n{result.text(name)}", flush=True)


if __name__ == "__main__":
    main()
