"""The parts of the comparison: each takes a `Bench`, times its contestants within its time, and fills a `Result`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peers import entries as who
from peers import tokens
from peers.confined import groups
from peers.measuring import HERE, Entry, Look, Setting, add, building, timed, unlike

from ffprep.inspect.timing.paired import LATE
from ffprep.inspect.timing.results import Result, Table

IMAGES = Look()
WRITES = Look(columns=("stored", "size", "memory"))
PLAIN = Look(columns=())


@dataclass
class Bench:
    """What a part needs: the data, how to time, where results go.

    Attributes
    ----------
    data : peers.entries.Data
    setting : Setting
        Its ``until`` is the end of the part.
    quick : bool
    scratch : Path
    text : str
        A source for ``convert openwebtext``; empty for made-up words.
    others : callable
        Returns the result of another part, if there is one, by its name.
    result : Result
    keep : callable
        Saves `result` as it is, called after each group.
    """

    data: who.Data
    setting: Setting
    quick: bool
    scratch: Path
    text: str
    others: Callable[[str], Result | None]
    result: Result = field(default_factory=lambda: Result("side_by_side", ""))
    keep: Callable[[], object] = bool

    def compare(
        self, table: str, found: Sequence[Entry], look: Look = IMAGES, left: int = 1, checked: bool = False
    ) -> None:
        """Time entries and add a table of them; `left` tables, with this one, share the time that is left."""
        now = time.monotonic()
        until = now + max(0.0, self.setting.until - now) / left
        print(f"  {table}: {len(found)} contestants, {until - now:.0f} s", file=sys.stderr, flush=True)
        groups = []
        for group in timed(found, replace(self.setting, until=until)):
            groups.append(group)
            add(self.result, table, groups, look, checked)  # what is there stays, whatever becomes of the rest
            self.keep()

    def few(self, found: list[Entry]) -> list[Entry]:
        """Return those that stand for their kind; a quick look does without stock ffcv, which compiles for long."""
        return [one for one in who.few(found) if not self.quick or one.name != who.FEW[2]]

    def some(self, found: list[Entry]) -> list[Entry]:
        """Return a few contestants for a quick look, else all."""
        return self.few(found) if self.quick else found

    def least(self) -> float:
        """Return the seconds that a pass takes at least."""
        return 0.2 if self.quick else 0.5


def writing(bench: Bench) -> None:
    """Conversion of a folder of JPEGs to what loaders read."""
    bench.compare("writing", who.writing_entries(bench.data), WRITES)


def images(bench: Bench) -> None:
    """Random crops of 0.08 to 1 of the area."""
    found = who.image_entries(bench.data, scale=(0.08, 1.0), least=bench.least())
    if bench.quick:
        found = [one for one in found if not one.name.startswith(f"{who.FEW[2]}, ")]
    bench.compare("images", found, checked=True)


def narrow(bench: Bench) -> None:
    """Random crops of 0.9 to 1 of the area."""
    found = who.image_entries(bench.data, scale=(0.9, 1.0), least=bench.least())
    bench.compare("narrow", bench.some(found), checked=True)


def validation(bench: Bench) -> None:
    """The shorter side to 256, the central 224."""
    found = who.image_entries(bench.data, kind="validation", least=bench.least())
    bench.compare("validation", bench.some(found), checked=True)


def views(bench: Bench) -> None:
    """Two random crops of each image."""
    found = who.image_entries(bench.data, kind="views", least=bench.least())
    bench.compare("views", bench.some(found), checked=True)


def workers(bench: Bench) -> None:
    """No, one, two and four workers on two cores; and batches that are read to their last value."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    found = bench.few(who.image_entries(bench.data, least=bench.least()))
    found = [one for one in found if one.name not in ("ffprep, original bytes", "WebDataset")]
    numbers = [2] if bench.quick else [0, 1, 2, 4]
    look = replace(PLAIN, columns=("memory", "start"))
    for left, number in zip(range(len(numbers) + 1, 1, -1), numbers, strict=True):
        able = [one for one in found if number or one.environment == "torchvision" or one is found[0]]
        table = [who.with_job(one, one.name, cores, num_workers=number) for one in able]
        bench.compare(f"workers-{number}", table, look, left, checked=True)
    bench.compare("consumed", [who.with_job(one, one.name, touch="all") for one in found], PLAIN, checked=True)


def decoding(bench: Bench) -> None:
    """The decoders alone: whole images and random crops, by sampling and quality."""
    folders = {}
    if not bench.quick:
        folders = {f"{name}-q{quality}": _coded(bench, name, quality) for name, quality in (("444", 96), ("420", 75))}
    folders["original"] = bench.data.folder  # last, for what time the smaller ones leave
    left = 2 * len(folders)
    for name, folder in folders.items():
        for crop in (False, True):
            bench.compare(f"{'crops' if crop else 'whole'}-{name}", who.decoding_entries(folder, crop), PLAIN, left)
            left -= 1
    ordered = sorted(bench.result.tables.items(), key=lambda one: "original" not in one[0])
    bench.result.tables.clear()
    bench.result.tables.update(ordered)


def _coded(bench: Bench, sampling: str, quality: int, side: int = 0, count: int = 96) -> Path:
    """Encode some of the images anew, by Pillow: at their own size, or with this for their shorter side."""
    place = bench.scratch / f"coded-{sampling}-{quality}-{side}-{count}"
    if place.exists():
        return place / "train"
    with building(place) as part:
        out = part / "train" / "one"
        out.mkdir(parents=True)
        _encode(bench, out, sampling, quality, side, count)
    return place / "train"


def _encode(bench: Bench, out: Path, sampling: str, quality: int, side: int, count: int) -> None:
    from PIL import Image

    found = sorted(path for path in bench.data.folder.glob("*/*") if path.is_file())
    for number in range(count):
        with Image.open(found[number % len(found)]) as opened:
            image = opened.convert("RGB")
        if side:
            times = side / min(image.size)
            image = image.resize((round(image.width * times), round(image.height * times)), Image.Resampling.BICUBIC)
        image.save(out / f"{number:05d}.jpg", quality=quality, subsampling={"444": 0, "420": 2}[sampling])


def tokens_part(bench: Bench) -> None:
    """Blocks of 192 tokens."""
    limit, count = (40, 2_000_000) if bench.quick else (400, 50_000_000)
    flat, beton = bench.scratch / f"tokens-{count}.bin", bench.scratch / f"tokens-{count}.beton"
    if not beton.exists():
        tokens.flat_file(flat, count)
        tokens.beton_file(flat, beton)
    look = Look("million tokens/s", 1e-6, ",.1f", "CPU ns a token", 1e9, ("stored", "memory", "start"))
    bench.compare("tokens", who.token_entries(flat, beton, limit), look)


def tokenise(bench: Bench) -> None:
    """Text to tokens of GPT-2's vocabulary, with one worker."""
    from converting.text_data import documents

    wanted = 5e6 if bench.quick else 8e6
    lines = bench.scratch / f"text-{wanted:.0f}" / "00000.jsonl"
    if not lines.exists():
        import json

        size = 0
        with building(lines.parent) as part, (part / lines.name).open("w", encoding="utf-8") as file:
            while size < wanted:
                for text in documents(bench.text or None, "text"):
                    file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                    size += len(text.encode())
                    if size >= wanted:
                        break
    look = Look("MB/s of text", 1e-6, ",.1f", "CPU ns a byte", 1e9, ("stored", "memory", "start"))
    bench.compare("tokenise", who.text_entries(lines, bench.scratch), look)


def download(bench: Bench) -> None:
    """An index of URLs of a server on this machine, to shards."""
    from converting.download import Server, captions, write_index

    index = bench.scratch / "index.tsv"
    with Server() as port:
        write_index(index, captions(None, 200 if bench.quick else 400), port, False)
        found = [
            Entry(name, f"peers.downloads:{name}", environment, {"index": str(index), "out": str(bench.scratch / name)})
            for name, environment in (("ffprep", ""), ("img2dataset", "img2dataset"))
        ]
        every = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
        found = [replace(one, cores=every) for one in found]
        bench.compare("download", found, PLAIN)


RATES = {
    "ResNet-50, H100": (400 / 0.224, "MLPerf Storage emulates it so: 0.224 s for a batch of 400"),
    "ResNet-50, RTX 3090": (1218.01, "timm"),
    "ViT-S/16, RTX 3090": (1057.92, "timm"),
    "ViT-B/16, RTX 3090": (392.99, "timm"),
    "ResNet-18, RTX 3090": (3481.78, "timm"),
}
"""Images a second that a GPU trains on, as published. timm's are of its repository's
``results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv``."""
TIMED = ("ViT-B/16, RTX 3090", "ViT-S/16, RTX 3090", "ResNet-50, RTX 3090", "ResNet-18, RTX 3090")


def accelerator(bench: Bench) -> None:
    """An accelerator that takes a timed step a batch: the share of time it is busy on two cores, and cores it needs."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    data = larger(bench, 256 if bench.quick else 768)
    found = [one for one in bench.few(who.image_entries(data)) if one.name not in ("WebDataset", who.FEW[1])]
    models = TIMED[2:3] if bench.quick else TIMED
    steps = [1 / RATES[model][0] for model in models]
    table = [who.with_job(one, one.name, cores, num_workers=2, steps=steps) for one in found]
    shown = Table(["", *(f"{model}: busy, %" for model in models)], [])
    without = Table(["no figure", "reason"], [])
    for group in timed(table, replace(bench.setting, rounds=len(models) * bench.setting.rounds)):
        for entry, timing in group:
            if failure := timing.failure or unlike(group[0][1], timing) or LATE * (len(timing.rates) < len(models)):
                without.rows.append([entry.name, failure])
                continue
            row: list[Any] = [entry.name]
            for number, model in enumerate(models):  # passes take the models in turns
                name = f"busy, {model}: {entry.name}"
                bench.result.add(replace(timing, rates=timing.rates[number :: len(models)]), name)
                row.append({"range": name, "scale": 100 / RATES[model][0], "form": ".0f"})
            shown.rows.append(row)
    bench.result.tables["busy"] = shown
    if without.rows:
        bench.result.tables["busy-without"] = without
    measured = bench.others("images")
    if measured is None:
        return
    wanted = Table(["cores that keep it 90 % busy", *RATES], [])
    for row in measured.tables["images"].rows:
        cost = f"images: {row[0]}, processor"
        bench.result.series[cost] = measured.series[cost]
        cells: list[Any] = [{"median": cost, "scale": 0.9 * rate / 1000, "form": ".1f"} for rate, _ in RATES.values()]
        wanted.rows.append([row[0], *cells])
    bench.result.tables["cores"] = wanted


def confined(bench: Bench) -> None:
    """A page cache with room for half of the set."""
    place = _copies(bench, 256 if bench.quick else 1024)
    with groups(5) as made:
        if not made:
            bench.result.tables["confined-without"] = Table(
                ["no figure", "reason"], [["all of them", "no control group can be made here, which takes root"]]
            )
            return
        found = who.confined_entries(place, made)
        if bench.quick or bench.data.stock is None:
            found = [one for one in found if "stock" not in one.name]
        look = replace(PLAIN, columns=("stored", "memory", "read", "resident"))
        bench.compare("confined", found, look, checked=True)


def _copies(bench: Bench, count: int) -> Path:
    """Copy the images for each contestant that is confined, so that none finds in memory what another has read."""
    place = bench.scratch / f"copies-{count}"
    if not place.exists():
        data = larger(bench, count)
        with building(place) as part:
            for name in ("files", "more-files"):
                shutil.copytree(data.folder, part / name)
            for name, path in (("seekable", data.seekable), ("random", data.seekable), ("keep", data.keep)):
                shutil.copyfile(path, part / f"{name}.beton")
    return place


def larger(bench: Bench, count: int) -> who.Data:
    """Repeat the images, in a folder and as files."""
    from loader import repeat_folder

    from ffprep.convert.conversion import convert
    from ffprep.fields import RGBImageField
    from ffprep.sources.imagenet import open_imagenet

    place = bench.scratch / f"larger-{count}"
    data = who.Data(place / "train", bench.data.shards, place / "s.beton", place / "k.beton", bench.data.stock, count)
    if not place.exists():
        with building(place) as part:
            repeat_folder(bench.data.folder, part, count)
            for path, jpeg in ((data.seekable, "seekable"), (data.keep, "keep")):
                convert(open_imagenet(str(part), "train", image=RGBImageField(jpeg=jpeg)), part / path.name)
    return data


def scaling(bench: Bench) -> None:
    """Sides of images, qualities, numbers of samples, numbers of files."""
    sides = [256, 1024] if bench.quick else [256, 512, 1024, 2048]
    qualities = [] if bench.quick else [50, 98]
    numbers = [10**3, 10**5] if bench.quick else [10**3, 10**4, 10**5, 10**6, 10**7]
    count = 24 if bench.quick else 48
    tables = [(f"side-{side}", side, 90) for side in sides] + [(f"quality-{one}", 512, one) for one in qualities]
    for number, (table, side, quality) in enumerate(tables):
        data = larger(replace_data(bench, _coded(bench, "420", quality, side, count)), count)
        found = bench.few(who.image_entries(data, least=bench.least()))
        found = [one for one in found if one.name not in ("WebDataset", "stock ffcv")]
        look = replace(PLAIN, columns=("size", "memory"))
        bench.compare(table, found, look, len(tables) + 2 - number, checked=True)
    _openings(bench, numbers, 2)


def replace_data(bench: Bench, place: Path) -> Bench:
    """Return a bench of the images of a folder of class folders, for `larger`."""
    scratch = place.parent / "larger"
    scratch.mkdir(exist_ok=True)
    return replace(bench, data=replace(bench.data, folder=place), scratch=scratch)


def _openings(bench: Bench, numbers: Sequence[int], left: int) -> None:
    """Open files of many samples and sets of many files, and take a first batch of labels, in random order."""
    folder = bench.scratch / "many"
    folder.mkdir(exist_ok=True)
    sets: list[tuple[str, list[str]]] = []
    for number in numbers:
        path = folder / f"{number}" / "many.beton"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            program = (
                "import sys; from pathlib import Path; from loading.many_samples import FIELDS, make_file, photograph\n"
                "path = Path(sys.argv[1]); payload = photograph(path.parent / 'photographs')\n"
                "size = tuple(int(n) for n in FIELDS['image'].encode(payload).metadata[1:3])\n"
                "make_file(path, int(sys.argv[2]), payload, size)\n"
            )
            search = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
            command = [sys.executable, "-c", program, str(path), str(number)]
            subprocess.run(command, check=True, env=search, timeout=120)
        sets.append((f"{number:,} samples", [str(path)]))
    from peers.sizes import set_of_files

    first = str(folder / f"{numbers[0]}" / "many.beton")
    for count in (10, 100):
        sets.append(
            (f"{count} files of {numbers[0]:,} samples", set_of_files(first, str(folder / f"set{count}"), count))
        )
    found = [Entry(f"ffprep, {name}", "peers.sizes:ffprep_opening", "", {"paths": paths}) for name, paths in sets]
    if bench.data.stock is not None:
        theirs = [one for one, number in zip(sets, numbers, strict=False) if number <= 10**6]
        found += [
            Entry(f"stock ffcv, {name}", "peers.sizes:ffcv_opening", "", {"paths": paths}) for name, paths in theirs
        ]
    bench.compare("opening", found, Look(rate="openings/s", form=".3g", columns=("memory",)), left)
    table = bench.result.tables["opening"]
    rows = []
    for row in table.rows:
        name = f"opening: {row[0]}"
        values = [1000 / value for value in bench.result.series[name].values]
        bench.result.measured(f"{name}, ms", values, "ms")
        rows.append([row[0], {"range": f"{name}, ms", "form": ",.1f"}, row[-1]])
    bench.result.tables["opening"] = Table(["made, and its first batch of labels", "ms", "MB"], rows)
    orders = [Entry(f"{number:,}", "peers.sizes:shuffling", "", {"samples": number}) for number in numbers]
    look = Look("million ids/s", 1e-6, ".3g", "CPU ns an id", 1e9, ())
    bench.compare("order", orders, look)
    order = bench.result.tables["order"]
    bench.result.tables["order"] = Table(
        ["samples", order.columns[1], order.columns[3]], [[*r[:2], r[3]] for r in order.rows]
    )


PARTS: dict[str, tuple[Callable[[Bench], None], float, float]] = {
    "writing": (writing, 90, 35),
    "images": (images, 255, 85),
    "narrow": (narrow, 250, 20),
    "validation": (validation, 210, 20),
    "views": (views, 200, 22),
    "workers": (workers, 200, 30),
    "decoding": (decoding, 175, 35),
    "tokens": (tokens_part, 60, 20),
    "tokenise": (tokenise, 100, 30),
    "download": (download, 65, 18),
    "accelerator": (accelerator, 190, 30),
    "confined": (confined, 140, 30),
    "scaling": (scaling, 240, 40),
}
"""Each part with the seconds that it may take, and those of a quick look."""
