"""ffprep side by side with every peer, each in an environment of its own; ``make bench`` runs all parts.

    python benchmarks/side_by_side.py                         # all parts, on photographs made from the embedded ones
    python benchmarks/side_by_side.py images --data FOLDER    # one part, on an ImageFolder: [train/]<class>/*
    python benchmarks/side_by_side.py --quick                 # fewer images and rounds

Parts: `images` (training crops of 0.08 to 1 of the area), `narrow` (0.9 to 1), `decoding` (the decoders alone),
`writing` (conversion). The contestants of a part take turns, a pass each a round, after a pass that is not counted
and in which their values are looked at. They are pinned to one processor; the row of rates is by the clock, beside it
stands the processor time of a sample, with that of all processes a loader starts. A peer that cannot be installed or
run is listed with the reason.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loader import Files, make_files, repeat_folder
from peers.environments import ENVIRONMENTS, set_up

from ffprep.inspect.timing.paired import Contestant, Timing, compare
from ffprep.inspect.timing.results import Result, Series, Table

HERE = Path(__file__).resolve().parent
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
TOLERANCE = 0.05
"""By how much a peer's means of channels may differ from ours, in standard deviations of ImageNet's pixels."""


@dataclass(frozen=True)
class Entry:
    """A contestant of a part: its name in the table, runner, environment (none: ffprep's own) and options."""

    name: str
    runner: str
    environment: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    stored: str = ""
    """What it reads, for the table."""


def image_entries(files: Files, shards: Path, scale: Sequence[float]) -> list[Entry]:
    """All image loaders; those with a form of their own read what `writing_entries` wrote to `shards`."""
    folder = {"folder": str(files.folder)}
    jpegs = "JPEG files"

    def beton(path: Path | None) -> dict[str, Any]:
        return {"path": str(path)}

    found = [
        Entry("ffprep, seekable", "peers.beton:ffprep", "", beton(files.seekable), "beton, lossless"),
        Entry("ffprep, original bytes", "peers.beton:ffprep", "", beton(files.keep), "beton, the JPEGs"),
        Entry("torch DataLoader, Pillow", "peers.files:pillow", "torchvision", folder, jpegs),
        Entry("torch DataLoader, torchvision v2", "peers.files:torchvision_v2", "torchvision", folder, jpegs),
        Entry("torch DataLoader, torchcodec", "peers.files:torchcodec", "torchcodec", folder, jpegs),
        Entry("torch DataLoader, kornia-rs", "peers.files:kornia", "kornia-rs", folder, jpegs),
        Entry("DALI, CPU, crop decoding", "peers.files:dali", "dali", folder, jpegs),
        Entry("tf.data, crop decoding", "peers.files:tf_data", "tensorflow", folder, jpegs),
        Entry("SPDL", "peers.files:spdl", "spdl", folder, jpegs),
        Entry("datago", "peers.files:datago", "datago", folder, jpegs),
        Entry("WebDataset", "peers.shards:webdataset", "webdataset", {"data": str(shards / "webdataset")}, "tars"),
        Entry("MosaicML Streaming", "peers.shards:streaming", "streaming", {"data": str(shards / "streaming")}, "MDS"),
        Entry("LitData", "peers.shards:litdata", "litdata", {"data": str(shards / "litdata")}, "chunks"),
        Entry(
            "Hugging Face datasets", "peers.shards:datasets", "datasets", {"data": str(shards / "datasets")}, "Arrow"
        ),
        Entry("Grain, OpenCV", "peers.shards:grain", "grain", {"data": str(shards / "grain")}, "ArrayRecord"),
        Entry("slipstream", "peers.files:slipstream", "slipstream", folder, ""),
    ]
    if tuple(scale) == (0.08, 1.0):
        found.append(Entry("TurboLoader, train_aug", "peers.files:turboloader", "turboloader", folder, "tar of JPEGs"))
    stored = "raw pixels, 256x256, lossy"
    found.append(Entry("TurboLoader, .tbl", "peers.files:turboloader_raw", "turboloader", folder, stored))
    if files.stock is not None:
        found += [
            Entry("stock ffcv", "peers.beton:ffcv", "", beton(files.keep), "beton, the JPEGs"),
            Entry(
                "stock ffcv, ffprep's decoder",
                "peers.beton:ffcv",
                "",
                {**beton(files.keep), "decoders": "ffprep+all"},
                "beton, the JPEGs",
            ),
            Entry("stock ffcv, its own file", "peers.beton:ffcv", "", beton(files.stock), "beton, quality 90"),
            Entry("ffprep, stock ffcv's file", "peers.beton:ffprep", "", beton(files.stock), "beton, quality 90"),
        ]
    return [
        Entry(one.name, one.runner, one.environment, {**one.options, "scale": list(scale)}, one.stored) for one in found
    ]


def writing_entries(files: Files, shards: Path) -> list[Entry]:
    """All writers, on the same folder of JPEGs."""
    folder = str(files.folder)
    convert = "converting.convert:"
    ours = {"folder": str(files.folder.parent), "workers": 1}
    found = [
        Entry(
            f"ffprep, {form}",
            convert + "ffprep_conversion",
            "",
            {**ours, "out": str(shards / f"{form}.beton"), "jpeg": form},
            kept,
        )
        for form, kept in (("seekable", "beton, lossless"), ("keep", "beton, the JPEGs"))
    ]
    if files.stock is not None:
        stock = {**ours, "out": str(shards / "stock.beton")}
        found.append(Entry("stock ffcv", convert + "ffcv_conversion", "", stock, "beton, quality 90"))
    for name, environment, stored in (
        ("webdataset", "webdataset", "tars"),
        ("streaming", "streaming", "MDS"),
        ("litdata", "litdata", "chunks"),
        ("datasets", "datasets", "Arrow"),
        ("grain", "grain", "ArrayRecord"),
    ):
        options = {"folder": folder, "out": str(shards / name)}
        found.append(Entry(name, f"peers.shards:{name}_write", environment, options, stored))
    return found


def decoding_entries(files: Files) -> list[Entry]:
    """All decoders alone."""
    names = ("pillow", "torchvision", "opencv", "simplejpeg", "turbojpeg", "imagecodecs", "kornia")
    folder = {"folder": str(files.folder)}
    return [
        Entry("ffprep", "peers.decoding:ours", "", folder),
        *(Entry(name, f"peers.decoding:{name}", "decoders", folder) for name in names),
    ]


def timed(entries: Sequence[Entry], cores: Sequence[int], rounds: int) -> list[tuple[Entry, Timing]]:
    """Time those entries that can run, in turns; the others have their reason as failure."""
    contestants: dict[str, Contestant] = {}
    failures: dict[str, str] = {}
    for entry in entries:
        python, failure = (Path(sys.executable), "")
        if entry.environment:
            python, failure = set_up(ENVIRONMENTS[entry.environment])
        if failure:
            failures[entry.name] = failure
        else:
            contestants[entry.name] = Contestant(
                entry.name, entry.runner, entry.options, cores or None, IMPORTABLE, "wall", str(python)
            )
    timings = {one.name: one for one in compare(list(contestants.values()), rounds)}
    return [(one, timings.get(one.name) or Timing(one.name, [], float("nan"), failures[one.name])) for one in entries]


def add(result: Result, part: str, found: Sequence[tuple[Entry, Timing]]) -> None:
    """Add a part's series and its table: the rates, beside our first entry's, with what they cost."""
    first = found[0][1]
    columns = [
        "loader",
        "reads",
        "a second",
        "ffprep is faster by",
        "ms of CPU each",
        "CPU, times ffprep",
        "MB",
        "start-up, s",
    ]
    table = Table(columns if part != "decoding" else columns[:6], [])
    without = Table(["no figure", "reason"], [])
    for entry, timing in found:
        name = f"{part}: {entry.name}"
        facts: dict[str, Any] = {"environment": entry.environment, "memory": timing.memory, **timing.summary}
        facts["unlike"] = _unlike(first, timing) if part in ("images", "narrow") else ""
        failure = timing.failure or facts["unlike"]
        result.add(timing, name, "samples/s", **facts)
        if failure:
            result.series[name] = Series([], "samples/s", failure, facts)
            without.rows.append([entry.name, failure])
            continue
        cost = f"{name}, processor"
        result.measured(cost, [1000 * value for value in timing.cpu], "ms")
        own, own_cost = f"{part}: {first.name}", f"{part}: {first.name}, processor"
        row: list[Any] = [entry.name, entry.stored, {"median": name}]
        row += [{"ratio": [own, name]}, {"median": cost, "form": ".2f"}, {"ratio": [cost, own_cost]}]
        row += [f"{timing.memory / 1e6:,.0f}", f"{timing.start_up:.1f}"]
        table.rows.append(row[: len(table.columns)])
    result.tables[part] = table
    if without.rows:
        result.tables[f"{part}, without"] = without


def _unlike(ours: Timing, other: Timing) -> str:
    """Say how a peer's values differ from ours, by which its work is not the same; empty if they do not."""
    if not ours.summary or not other.summary:
        return ""
    if other.summary["samples"] != ours.summary["samples"]:
        return f"it delivered {other.summary['samples']:,} of {ours.summary['samples']:,} images"
    furthest = max(abs(a - b) for a, b in zip(ours.summary["mean"], other.summary["mean"], strict=True))
    return f"its values' mean differs by {furthest:.2f}" if furthest > TOLERANCE else ""


PARTS = ("writing", "images", "narrow", "decoding")


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--data", type=Path, help="folder with [train/]<class>/*; made of demo photographs if absent")
    parser.add_argument("--images", type=int, help="repeat the folder up to at least this many")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="256 images and 2 rounds, for a look")
    parser.add_argument("--core", type=int, help="processor to pin to; by default the first that may be used")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rounds = options.rounds or (2 if options.quick else 5)
    images = options.images or (256 if options.quick else 1024)
    chosen = [part for part in PARTS if not options.parts or part in options.parts]
    cores = [options.core] if options.core is not None else sorted(os.sched_getaffinity(0))[:1]
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-") as scratch:
        result = measured(chosen, Path(scratch), options.data, images, rounds, cores, options.note)
    if options.json:
        result.save(options.json)
    print(result.caption())
    for name in result.tables:
        print(f"\n{name}\n\n{result.text(name)}")


def measured(
    chosen: Sequence[str], scratch: Path, data: Path | None, images: int, rounds: int, cores: Sequence[int], note: str
) -> Result:
    """Make the files and time the parts."""
    if data is None:
        from ffprep.demo.photographs import make_photographs

        data = make_photographs(scratch / "photographs", images)
    count = repeat_folder(data, scratch, images)
    files = make_files(scratch)
    shards = scratch / "shards"
    shards.mkdir()
    result = Result("side_by_side", f"{count:,} images, batches of 64, {rounds} rounds, one core", note=note)
    parts: dict[str, Callable[[], list[Entry]]] = {
        "writing": lambda: writing_entries(files, shards),
        "images": lambda: image_entries(files, shards, (0.08, 1.0)),
        "narrow": lambda: image_entries(files, shards, (0.9, 1.0)),
        "decoding": lambda: decoding_entries(files),
    }
    if "writing" not in chosen and {"images", "narrow"} & set(chosen):
        timed([one for one in writing_entries(files, shards) if one.environment], cores, 1)
    for part in chosen:
        entries = parts[part]()
        print(f"{part}: {len(entries)} contestants, {rounds} rounds", file=sys.stderr)
        add(result, part, timed(entries, cores, rounds))
    return result


if __name__ == "__main__":
    main()
