"""Loading rate: ffprep beside stock ffcv and torch's DataLoader on the same images; the table of docs/performance.md.

    python benchmarks/loader.py --data /path/to/ImageFolder --rounds 7 --cores 0,1 --markdown

Every contestant does the same job (random resized crop to 224, or the whole image; flip; normalised float32 CHW) in a
process of its own, from the page cache, pinned to one processor unless the row says two. The contestants of a group
take turns, one epoch each a round, and ratios are taken round by round: given are their median and range. All files
are made in a temporary folder; small folders are repeated so that an epoch is long enough to time.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffprep.inspect.paired import Contestant, Timing, compare, ratio

RUNNERS = "ffprep.inspect.runners:"
BATCH = 64
HERE = Path(__file__).resolve().parent
IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])}


@dataclass(frozen=True)
class Files:
    """The same images in every form that is timed."""

    folder: Path
    seekable: Path
    keep: Path
    reencode: Path
    stock: Path | None


@dataclass(frozen=True)
class Group:
    """Contestants that take turns, and the rows made of them: (case, ours, beside)."""

    contestants: list[Contestant]
    rows: list[tuple[str, str, str]]


def repeat_folder(data: Path, out: Path, images: int) -> int:
    """Fills ``out/train`` with links to a folder's images, each as often as needed for `images` of them."""
    train = data / "train" if (data / "train").is_dir() else data
    found = sorted(path for path in train.glob("*/*") if path.is_file())
    if not found:
        raise SystemExit(f"{train}: no class folders with images")
    copies = -(-images // len(found))
    for path in found:
        folder = out / "train" / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(copies):
            (folder / f"{path.stem}_{copy}{path.suffix}").symlink_to(path.resolve())
    return copies * len(found)


def make_files(scratch: Path) -> Files:
    """Converts ``scratch/train`` to every form; stock ffcv's own writer makes its file where it is installed."""
    from ffprep.convert.conversion import convert
    from ffprep.convert.indexing import make_index
    from ffprep.fields import RGBImageField
    from ffprep.sources.imagenet import open_imagenet

    paths = {}
    for jpeg in ("seekable", "keep", "reencode"):
        paths[jpeg] = scratch / f"{jpeg}.beton"
        convert(open_imagenet(str(scratch), "train", image=RGBImageField(jpeg=jpeg)), paths[jpeg])
    stock = None
    if importlib.util.find_spec("ffcv") is not None:
        stock = scratch / "stock.beton"
        job = {"folder": str(scratch / "train"), "out": str(stock)}
        writer = Contestant("writer", "loader:stock_writer", job, environment=IMPORTABLE)
        if failure := compare([writer], 1)[0].failure:
            raise SystemExit(f"stock ffcv's writer failed: {failure}")
        make_index(stock)
    make_index(paths["keep"])
    return Files(scratch / "train", stock=stock, **paths)


def stock_writer(folder: str, out: str) -> Any:
    """Stock ffcv's DatasetWriter, JPEG quality 90, as its ImageNet script uses it; one round writes the file."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter
    from PIL import Image

    classes = sorted(path.name for path in Path(folder).iterdir())
    files = [(path, n) for n, name in enumerate(classes) for path in sorted((Path(folder) / name).iterdir())]

    class Images:
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            with Image.open(files[index][0]) as image:
                return image.convert("RGB"), files[index][1]

    def run() -> int:
        if not Path(out).exists():
            fields = {"image": RGBImageField(write_mode="jpg", jpeg_quality=90), "label": IntField()}
            DatasetWriter(out, fields, num_workers=2).from_indexed_dataset(Images())
        return len(files)

    return run


def groups(files: Files, cores: Sequence[int], clock: str, peers: str | None = None) -> list[Group]:
    """Every comparison that this machine allows."""
    one, two = cores[:1], cores[:2]

    def loader(
        name: str, runner: str, where: Mapping[str, Any], cores: Sequence[int] = one, simd: str = "", **options: Any
    ) -> Contestant:
        common = {"batch_size": BATCH, "num_workers": 1}
        environment = {"FFPREP_SIMD": simd} if simd else {}
        return Contestant(name, RUNNERS + runner, {**where, **common, **options}, cores or None, environment, clock)

    def torch_loader(name: str, runner: str) -> Contestant:
        # Processor time of worker processes is not seen, so the loader then works in its own.
        return loader(name, runner, {"folder": str(files.folder)}, num_workers=int(clock == "wall"))

    def ours(name: str, path: Path, **options: Any) -> Contestant:
        return loader(name, "ffprep_loader", {"path": str(path)}, **options)

    def stock(name: str, path: Path, **options: Any) -> Contestant:
        return loader(name, "ffcv_loader", {"path": str(path)}, **options)

    narrow: dict[str, Any] = {"scale": (0.9, 1.0)}
    found = [
        ours("seekable", files.seekable),
        ours("seekable, AVX2", files.seekable, simd="avx2"),
        ours("seekable, scalar", files.seekable, simd="scalar"),
        ours("original bytes", files.keep, index=False),
        ours("original bytes, index", files.keep, index=True),
        torch_loader("torch DataLoader + Pillow", "torch_pillow"),
    ]
    rows = [("RRC (0.08-1), seekable", "seekable", "torch DataLoader + Pillow")]
    result = [Group(found, rows)]
    if peers is not None:
        result.append(peer_group(files, one, clock, peers))
    if files.stock is not None:
        beside = "stock ffcv, original bytes"
        found.append(stock(beside, files.keep))
        rows[:0] = [
            ("RRC (0.08-1), seekable", "seekable", beside),
            ("the same, AVX-512 off", "seekable, AVX2", beside),
            ("the same, vectors off", "seekable, scalar", beside),
            ("RRC (0.08-1), original bytes (`keep`)", "original bytes", beside),
            ("the same, with a seek index", "original bytes, index", beside),
        ]
        own = "stock ffcv, its own file"
        result += [
            Group(
                [
                    ours("ffcv's file", files.stock, index=False),
                    ours("ffcv's file, index", files.stock, index=True),
                    ours("reencode", files.reencode),
                    stock(own, files.stock),
                ],
                [
                    ("RRC (0.08-1), the file stock ffcv wrote", "ffcv's file", own),
                    ("the same, with a seek index", "ffcv's file, index", own),
                    ("RRC (0.08-1), `reencode` (quality 90)", "reencode", own),
                ],
            ),
            Group(
                [ours("seekable", files.seekable, **narrow), stock(beside, files.keep, **narrow)],
                [("RRC (0.9-1), seekable", "seekable", beside)],
            ),
            Group(
                [ours("seekable", files.seekable, validation=True), stock(beside, files.keep, validation=True)],
                [("validation: whole image (ffcv: CenterCrop, ratio 1)", "seekable", beside)],
            ),
        ]
    if len(two) == 2 and clock == "wall":
        both = [ours("two cores", files.seekable, cores=two, num_workers=2), ours("one core", files.seekable)]
        result.append(Group(both, [("RRC (0.08-1), seekable: two cores", "two cores", "one core")]))
    return result


def peer_group(files: Files, cores: Sequence[int], clock: str, python: str) -> Group:
    """Our loader on the original bytes and on the seekable file, beside the loaders of `benchmarks/peers.py`."""

    def peer(name: str, runner: str, num_workers: int = 1) -> Contestant:
        options = {"folder": str(files.folder), "batch_size": BATCH, "num_workers": num_workers}
        return Contestant(name, runner, options, cores or None, IMPORTABLE, clock, python)

    def ours(name: str, path: Path) -> Contestant:
        options = {"path": str(path), "batch_size": BATCH, "num_workers": 1, "index": False}
        return Contestant(name, RUNNERS + "ffprep_loader", options, cores or None, clock=clock)

    others = [
        peer("torchvision v2", RUNNERS + "torchvision_v2", int(clock == "wall")),
        peer("DALI, CPU", "peers:dali"),
        peer("TurboLoader, train_aug", "peers:turboloader"),
    ]
    mine = [ours("seekable", files.seekable), ours("original bytes", files.keep)]
    cases = {"seekable": "RRC (0.08-1), seekable", "original bytes": "RRC (0.08-1), original bytes (`keep`)"}
    return Group([*mine, *others], [(case, name, other.name) for name, case in cases.items() for other in others])


def table(rows: Sequence[tuple[str, Timing, Timing]], markdown: bool) -> str:
    """A line a comparison: rates (median) and ratio (median, lowest to highest round)."""
    lines = []
    if markdown:
        lines = ["| case | beside | images/s | images/s, beside | times as fast |", "|---|---|---|---|---|"]
    for case, ours, beside in rows:
        failure = ours.failure or beside.failure
        if failure:
            cells = [case, beside.name, "failed", "", failure]
        else:
            low, middle, high = ratio(ours, beside)
            rates = [f"{ours.median:,.0f}", f"{beside.median:,.0f}"]
            cells = [case, beside.name, *rates, f"{middle:.2f} ({low:.2f} - {high:.2f})"]
        widths = (0,) * 5 if markdown else (52, 28, 8, 8, 0)
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append(f"| {' | '.join(padded)} |" if markdown else "  ".join(padded).rstrip())
    return "\n".join(lines)


def main() -> None:
    """Times all groups and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with [train/]<class>/*; made of demo photographs if absent")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=1500, help="repeat the folder up to at least this many")
    parser.add_argument("--cores", help="processors to pin to, such as 0,1; the first does the one-core rows")
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter that has the loaders of peers.py")
    parser.add_argument("--only", type=int, metavar="N", help="time this group alone, counted from 1")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: per second of processor time")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    cores = [int(core) for core in options.cores.split(",")] if options.cores else []
    if not cores and hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    rows = []
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-") as folder:
        scratch = Path(folder)
        data = options.data
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = make_photographs(scratch / "photographs", 500)
        count = repeat_folder(data, scratch, options.images)
        files = make_files(scratch)
        for number, group in enumerate(every := groups(files, cores, options.clock, options.peers)):
            if options.only not in (None, number + 1):
                continue
            print(f"group {number + 1} of {len(every)}: {len(group.contestants)} loaders", file=sys.stderr)
            timings = {timing.name: timing for timing in compare(group.contestants, options.rounds)}
            done = [(case, timings[ours], timings[beside]) for case, ours, beside in group.rows]
            print(table(done, False), file=sys.stderr)
            rows += done
    if files.stock is None:
        print("stock ffcv is not installed: left out", file=sys.stderr)
    print(f"{count} images, batches of {BATCH}, {options.rounds} rounds, {options.clock} time\n")
    print(table(rows, options.markdown))


if __name__ == "__main__":
    main()
