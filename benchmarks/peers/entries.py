"""Who takes part in which comparison, and with which options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from peers.measuring import Entry

BETON, BYTES, LOSSLESS = "beton, quality 90 (lossy)", "beton, the JPEGs", "beton, lossless"
FEW = (
    "ffprep, seekable",
    "ffprep, original bytes",
    "stock ffcv",
    "torch DataLoader, torchvision v2",
    "DALI, CPU, crop decoding",
    "WebDataset",
)
"""Those that stand for their kind, where all peers would take too long."""
LOOKS = 5
"""Passes of our first loader from which is known how much values of random crops differ by chance."""
SHARDS = {"webdataset": "tars", "streaming": "MDS", "litdata": "chunks", "datasets": "Arrow", "grain": "ArrayRecord"}
"""Peers with a form of storage of their own."""
TWO_VIEWS_TOO = (
    "Pillow",
    "torchvision",
    "torchcodec",
    "kornia",
    "DALI",
    "tf.data",
    "WebDataset",
    "MosaicML",
    "LitData",
    "Hugging Face",
    "datago",
    "Grain",
)


@dataclass(frozen=True)
class Data:
    """The same images in every form.

    Attributes
    ----------
    folder : Path
        Class folders of JPEGs.
    shards : Path
        Where the writers of `SHARDS` write.
    seekable, keep : Path
        Files of ffprep's.
    stock : Path or None
        What stock ffcv's writer made, where it is installed.
    count : int
    """

    folder: Path
    shards: Path
    seekable: Path
    keep: Path
    stock: Path | None
    count: int

    def each(self, path: Path | None) -> int:
        """Return the bytes of a file, or of all files in a folder, for an image."""
        if path is None or not path.exists():
            return 0
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        return round(sum(one.stat().st_size for one in files) / self.count)


def image_entries(data: Data, **job: Any) -> list[Entry]:
    """Return all image loaders for a job of `peers.common.Job`; ours come first."""
    kind, scale = job.get("kind", "train"), tuple(job.get("scale", (0.08, 1.0)))
    folder, size = {"folder": str(data.folder)}, data.each(data.folder)

    def files(name: str, runner: str, environment: str) -> Entry:
        return Entry(name, f"peers.{runner}", environment, folder, "JPEG files", size)

    def shard(name: str, runner: str) -> Entry:
        place = data.shards / runner
        where = {"data": str(place)}
        return Entry(name, f"peers.shards:{runner}", runner, where, SHARDS[runner], data.each(place))

    def beton(name: str, runner: str, path: Path, stored: str, **more: Any) -> Entry:
        return Entry(name, f"peers.beton:{runner}", "", {"path": str(path), **more}, stored, data.each(path))

    found = [
        beton(FEW[0], "ffprep", data.seekable, LOSSLESS),
        beton(FEW[1], "ffprep", data.keep, BYTES, index=False),
        files(FEW[3], "files:torchvision_v2", "torchvision"),
        files(FEW[4], "pools:dali", "dali"),
        shard(FEW[5], "webdataset"),
        files("torch DataLoader, Pillow", "files:pillow", "torchvision"),
        files("torch DataLoader, torchcodec", "files:torchcodec", "torchcodec"),
        files("torch DataLoader, kornia-rs", "files:kornia", "kornia-rs"),
        files("tf.data, crop decoding", "pools:tf_data", "tensorflow"),
        files("SPDL", "pools:spdl", "spdl"),
        files("datago", "pools:datago", "datago"),
        shard("MosaicML Streaming", "streaming"),
        shard("LitData", "litdata"),
        shard("Hugging Face datasets", "datasets"),
        shard("Grain, OpenCV", "grain"),
    ]
    if data.stock is not None:
        found.insert(2, beton(FEW[2], "ffcv", data.keep, BYTES))
        found.append(beton("ffprep, stock ffcv's file", "ffprep", data.stock, BETON, index=False))
        found.append(beton("stock ffcv, its own file", "ffcv", data.stock, BETON))
        if kind == "train":
            found.append(beton("stock ffcv, ffprep's decoder", "ffcv", data.keep, BYTES, decoders="ffprep+all"))
    if kind == "train":
        found.append(files("slipstream", "pools:slipstream", "slipstream"))
        raw = "raw pixels, 256x256 (lossy)"
        found.append(Entry("TurboLoader, .tbl", "peers.pools:turboloader_raw", "turboloader", folder, raw, 196_608))
    if kind == "train" and scale == (0.08, 1.0):
        found.append(files("TurboLoader, train_aug", "pools:turboloader", "turboloader"))
    if kind == "views":
        kept = ("ffprep", "stock ffcv", *(f"torch DataLoader, {one}" for one in TWO_VIEWS_TOO), *TWO_VIEWS_TOO)
        found = [one for one in found if one.name.startswith(kept)]
    looks = {"looks": LOOKS} if kind != "validation" else {}
    found = [replace(one, options={**one.options, **job}) for one in found]
    return [replace(found[0], options={**found[0].options, **looks}), *found[1:]]


def confined_entries(place: Path, groups: Sequence[Path]) -> list[Entry]:
    """Return loaders in control groups with room for half of what each reads, of which it has a copy of its own."""
    places = {
        "ffprep, in windows of pages": ("beton:ffprep", "", "seekable.beton", "path", {"windows": True}),
        "ffprep, in random order": ("beton:ffprep", "", "random.beton", "path", {"os_cache": False}),
        "stock ffcv, in windows of pages": ("beton:ffcv", "", "keep.beton", "path", {"windows": True}),
        FEW[3]: ("files:torchvision_v2", "torchvision", "files", "folder", {}),
        FEW[4]: ("pools:dali", "dali", "more-files", "folder", {}),
    }
    found = []
    for (name, (runner, environment, where, key, more)), group in zip(places.items(), groups, strict=True):
        path = place / where
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        size = sum(one.stat().st_size for one in files)
        options = {"runner": f"peers.{runner}", "place": str(path), "group": str(group), "room": size // 2}
        entry = Entry(name, "peers.confined:confined", environment, {**options, key: str(path), **more})
        found.append(replace(entry, stored="JPEG files" if key == "folder" else "beton"))
    return [replace(found[0], options={**found[0].options, "looks": LOOKS}), *found[1:]]


def few(entries: Sequence[Entry]) -> list[Entry]:
    """Keep those of `FEW`."""
    return [one for one in entries if one.name in FEW]


def with_job(entry: Entry, name: str, cores: Sequence[int] = (), **job: Any) -> Entry:
    """Return an entry with another name and job."""
    return replace(entry, name=name, cores=cores, options={**entry.options, **job})


def writing_entries(data: Data) -> list[Entry]:
    """Return all writers, on the same folder of JPEGs."""
    ours = {"folder": str(data.folder.parent), "workers": 1}
    forms = {"seekable": (data.seekable, LOSSLESS), "keep": (data.keep, BYTES)}
    found = [
        Entry(
            f"ffprep, {form}",
            "converting.convert:ffprep_conversion",
            "",
            {**ours, "out": str(data.shards / f"{form}.beton"), "jpeg": form},
            stored,
            data.each(path),
        )
        for form, (path, stored) in forms.items()
    ]
    if data.stock is not None:
        options = {**ours, "out": str(data.shards / "stock.beton")}
        runner = "converting.convert:ffcv_conversion"
        found.append(Entry("stock ffcv", runner, "", options, BETON, data.each(data.stock)))
    return found + shard_writers(data, ".written")


def shard_writers(data: Data, suffix: str) -> list[Entry]:
    """Return the writers of the forms that peers read, each to a folder of its name with this behind it."""
    return [
        Entry(
            name,
            f"peers.shards:{name}_write",
            name,
            {"folder": str(data.folder), "out": str(data.shards / f"{name}{suffix}")},
            f"{stored}, the JPEGs",
            data.each(data.shards / name),
        )
        for name, stored in SHARDS.items()
    ]


def decoding_entries(folder: Path, crop: bool) -> list[Entry]:
    """Return all decoders alone, on a folder."""
    options = {"folder": str(folder), "crop": crop}

    def entry(name: str, runner: str, environment: str = "decoders", **more: Any) -> Entry:
        return Entry(name, f"peers.decoding:{runner}", environment, {**options, **more})

    found = [
        entry("ffprep", "ours", ""),
        entry("simplejpeg", "simplejpeg"),
        entry("simplejpeg, fast", "simplejpeg_fast"),
        entry("PyTurboJPEG", "turbojpeg", "turbojpeg"),
        entry("PyTurboJPEG 1, libjpeg-turbo 2", "turbojpeg", "turbojpeg1"),
        entry("torchvision", "torchvision"),
        entry("OpenCV", "opencv"),
        entry("imagecodecs", "imagecodecs"),
        entry("kornia-rs", "kornia"),
        entry("Pillow", "pillow"),
    ]
    if crop:
        found.insert(1, entry("ffprep, rewritten with restart markers", "ours", "", seekable=True))
        found.append(entry("TensorFlow, crop by scan lines", "tensorflow", "tensorflow"))
        found.append(entry("TurboLoader, decode_jpeg_region", "turboloader", "turboloader"))
    return found


def token_entries(flat: Path, beton: Path, limit: int) -> list[Entry]:
    """Return all loaders of tokens."""
    theirs = {"flat": str(flat)}

    def entry(name: str, environment: str, more: Mapping[str, Any], batches: int, stored: str) -> Entry:
        return Entry(name, f"peers.tokens:{name}", environment, {**more, "limit": batches}, stored)

    slow = max(8, limit // 8)
    return [
        entry("ffprep", "", {"path": str(beton)}, limit, "beton"),
        entry("get_batch", "torchvision", theirs, slow, "flat file"),
        entry("turboloader", "turboloader", theirs, limit, "flat file"),
        entry("litdata", "litdata", theirs, slow, "chunks"),
        entry("fairseq", "fairseq", theirs, slow, "bin and idx"),
    ]


def text_entries(lines: Path, out: Path) -> list[Entry]:
    """Return all ways to tokenise; ours in ffprep's environment."""
    names = {
        "ffprep": "beton",
        "tiktoken": "nothing",
        "datasets": "Arrow",
        "datatrove": ".ds",
        "fairseq": "bin and idx",
    }
    environments = {"ffprep": "", "fairseq": "fairseq"}
    return [
        Entry(
            name,
            f"peers.texts:{name}",
            environments.get(name, "tokenisers"),
            {"lines": str(lines), "out": str(out / name)},
            stored,
        )
        for name, stored in names.items()
    ]
