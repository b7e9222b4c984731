"""Loading rate: ffprep beside stock ffcv and torch's DataLoader on the same images; the table of docs/performance.md.

    python benchmarks/loader.py --data /path/to/ImageFolder --rounds 7 --cores 0,1 --json benchmarks/results/NAME.json

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

from ffprep.inspect.timing.paired import Contestant, compare
from ffprep.inspect.timing.results import LEVELS, PACKAGES, Result, Table, versions
from ffprep.jpeg.native import simd_level

RUNNERS = "ffprep.inspect.timing.runners:"
BATCH = 64
MAIN, OWN_FILE = "RRC 0.08-1", "ffcv's file"
SAME_BYTES, PILLOW = "stock ffcv, original bytes", "torch DataLoader + Pillow"
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

    name: str
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


def lower_levels() -> list[str]:
    """The levels below this machine's, the best first."""
    levels = list(LEVELS)
    return levels[levels.index(simd_level()) + 1 :]


def groups(files: Files, cores: Sequence[int], clock: str) -> list[Group]:
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
        *(ours(f"seekable, {LEVELS[level]}", files.seekable, simd=level) for level in lower_levels()),
        ours("original bytes", files.keep, index=False),
        ours("original bytes, index", files.keep, index=True),
        torch_loader(PILLOW, "torch_pillow"),
    ]
    rows = [("RRC (0.08-1), seekable", "seekable", PILLOW)]
    result = [Group(MAIN, found, rows)]
    if files.stock is not None:
        beside = SAME_BYTES
        found.append(stock(beside, files.keep))
        rows[:0] = [
            ("RRC (0.08-1), seekable", "seekable", beside),
            *((f"the same, {LEVELS[level]}", f"seekable, {LEVELS[level]}", beside) for level in lower_levels()),
            ("RRC (0.08-1), original bytes (`keep`)", "original bytes", beside),
            ("the same, with a seek index", "original bytes, index", beside),
        ]
        own = "stock ffcv, its own file"
        result += [
            Group(
                OWN_FILE,
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
                "RRC 0.9-1",
                [ours("seekable", files.seekable, **narrow), stock(beside, files.keep, **narrow)],
                [("RRC (0.9-1), seekable", "seekable", beside)],
            ),
            Group(
                "validation",
                [ours("seekable", files.seekable, validation=True), stock(beside, files.keep, validation=True)],
                [("validation: whole image (ffcv: CenterCrop, ratio 1)", "seekable", beside)],
            ),
        ]
    types = [ours(name, files.seekable, dtype=name) for name in ("float32", "float16", "bfloat16", "uint8")]
    result.append(
        Group("types", types, [(f"RRC (0.08-1), seekable: {kind.name}", kind.name, "float32") for kind in types[1:]])
    )
    if len(two) == 2 and clock == "wall":
        both = [ours("two cores", files.seekable, cores=two, num_workers=2), ours("one core", files.seekable)]
        result.append(Group("cores", both, [("RRC (0.08-1), seekable: two cores", "two cores", "one core")]))
    return result


def add_group(result: Result, group: Group, rounds: int) -> None:
    """Times a group and adds its series and rows."""
    for timing, contestant in zip(compare(group.contestants, rounds), group.contestants, strict=True):
        forced = {"level": level} if (level := contestant.environment.get("FFPREP_SIMD")) else {}
        result.add(timing, f"{group.name}: {timing.name}", cores=len(contestant.cores or ()) or None, **forced)
    for case, one, other in group.rows:
        ours, beside = f"{group.name}: {one}", f"{group.name}: {other}"
        result.tables["main"].rows.append(
            [case, other, {"median": ours}, {"median": beside}, {"ratio": [ours, beside]}]
        )


def short_table(result: Result) -> Table:
    """The table of the README: rates alone, of the main case."""
    lines = [
        ("ffprep", f"{MAIN}: seekable"),
        ("stock ffcv 1.0.2, the same JPEGs", f"{MAIN}: {SAME_BYTES}"),
        ("torch `DataLoader`, Pillow", f"{MAIN}: {PILLOW}"),
        ("ffprep on the file stock ffcv wrote, as it is", f"{OWN_FILE}: ffcv's file"),
        ("ffprep on that file, indexed", f"{OWN_FILE}: ffcv's file, index"),
        ("stock ffcv on that file", f"{OWN_FILE}: stock ffcv, its own file"),
    ]
    there = [(what, name) for what, name in lines if name in result.series]
    return Table(["", "images/s"], [[what, {"median": name}] for what, name in there])


def main() -> None:
    """Times all groups and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with [train/]<class>/*; made of demo photographs if absent")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=1500, help="repeat the folder up to at least this many")
    parser.add_argument("--cores", help="processors to pin to, such as 0,1; the first does the one-core rows")
    parser.add_argument("--only", nargs="+", metavar="GROUP", help="time these groups alone, by their names")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: per second of processor time")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    cores = [int(core) for core in options.cores.split(",")] if options.cores else []
    if not cores and hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="ffprep-bench-") as folder:
        scratch = Path(folder)
        data = options.data
        if data is None:
            from ffprep.demo.photographs import make_photographs

            data = make_photographs(scratch / "photographs", 500)
        count = repeat_folder(data, scratch, options.images)
        files = make_files(scratch)
        setting = f"{count:,} images, batches of {BATCH}, {options.rounds} rounds, {options.clock} time"
        result = Result("loader", setting, versions=versions([*PACKAGES, "torchvision"]), note=options.note)
        result.tables["main"] = Table(["case", "beside", "images/s", "images/s, beside", "times as fast"], [])
        every = groups(files, cores, options.clock)
        for group in every:
            if options.only and group.name not in options.only:
                continue
            print(f"{group.name}: {len(group.contestants)} loaders", file=sys.stderr)
            add_group(result, group, options.rounds)
            result.tables["short"] = short_table(result)
            if options.json:  # after each group, so that an interrupted run loses only one
                result.save(options.json)
        if options.only and (unknown := set(options.only) - {group.name for group in every}):
            names = ", ".join(repr(group.name) for group in every)
            print(f"no group is called {', '.join(sorted(unknown))}; there are {names}", file=sys.stderr)
    if files.stock is None:
        print("stock ffcv is not installed: left out", file=sys.stderr)
    print(f"{result.caption()}\n\n{result.text(markdown=options.markdown)}")


if __name__ == "__main__":
    main()
