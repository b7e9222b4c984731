"""The commands that `faults.py` kills and lets fail, and the small data that they read."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffprep.cli import main
from ffprep.demo.photographs import make_photographs

COUNT = 24
OUT = "{out}"
RUN = "run"
"""Name of the folder that a job writes to, beside that of the data."""


@dataclass(frozen=True)
class Job:
    """A command, with ``{out}`` where its folder goes.

    `processes` says that it consists of several, `given` are files that it finds in its folder.
    """

    name: str
    command: list[str]
    processes: bool = False
    given: tuple[Path, ...] = ()

    def placed(self, folder: Path) -> list[str]:
        """The command with its folder."""
        return [word.replace(OUT, str(folder)) for word in self.command]


def run(command: list[str]) -> int:
    """Run a command in this process, and return its exit status."""
    try:
        main(command)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def make_data(root: Path) -> None:
    """Make what the jobs read, below a folder."""
    photographs = make_photographs(root / "photographs", COUNT).parent
    images = sorted(photographs.rglob("*.JPEG"))
    _make_captions(root, images)
    generator = np.random.default_rng(0)
    words = ["photograph", "of", "a", "lake", "and", "mountains", "at", "night", "without", "people"]
    (root / "text").mkdir()
    for part in range(4):
        lines = (" ".join(generator.choice(words, 60)) for _ in range(200))
        (root / "text" / f"{part}.jsonl").write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    (root / "glue").mkdir()
    rows = "".join(f"{' '.join(generator.choice(words, 12))}\t{n % 2}\n" for n in range(300))
    (root / "glue" / "train.tsv").write_text("sentence\tlabel\n" + rows)
    tasks = root / "tasks"
    for name, head in (("CoLA", ""), ("SST-2", "sentence\tlabel\n")):
        (tasks / name).mkdir(parents=True)
        own = rows if head else "".join(f"x\t{n % 2}\t*\tThe book {n} is here.\n" for n in range(100))
        (tasks / name / "train.tsv").write_text(head + own)
    (root / "tasks.yaml").write_text(
        "".join(
            f"- {{dataset: glue, source: {tasks}, task: {task}, out: {root.parent / RUN / task}.beton}}\n"
            for task in ("cola", "sst2")
        )
    )


def _make_captions(root: Path, images: list[Path]) -> None:
    """COCO's form and webdataset shards."""
    (root / "coco").mkdir()
    facts: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    for number, image in enumerate(images):
        shutil.copy(image, root / "coco" / f"{number}.jpg")
        facts["images"].append({"id": number, "file_name": f"{number}.jpg"})
        for caption in range(3):
            facts["annotations"].append({"image_id": number, "caption": f"Photograph {number}, seen {caption} times."})
    (root / "captions.json").write_text(json.dumps(facts))
    (root / "shards").mkdir()
    with tarfile.open(root / "shards" / "00000.tar", "w") as tar:
        for number, image in enumerate(images):
            for suffix, data in (("jpg", image.read_bytes()), ("txt", f"Photograph {number}".encode())):
                info = tarfile.TarInfo(f"{number:09}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def make_files(root: Path) -> None:
    """Make the .beton files that jobs read."""
    image = ["convert", "imagenet", "--source", str(root / "photographs"), "--quiet"]
    for command in (
        [*image, "--jpeg", "keep", "--out", str(root / "keep.beton")],
        [*image, "--out", str(root / "plain.beton")],
        ["convert", "openwebtext", "--source", str(root / "text"), "--block", "16", "--quiet", "--out",
         str(root / "blocks.beton")],
    ):  # fmt: skip
        if status := run(command):
            raise SystemExit(f"{' '.join(command)}: status {status}")
    damaged = bytearray((root / "plain.beton").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (root / "damaged.beton").write_bytes(damaged)
    parts = root / "parts"
    parts.mkdir()
    for number in range(2):
        (parts / f"{number}.beton").write_bytes(damaged if number else (root / "plain.beton").read_bytes())
    for command in (
        ["set", str(parts / "0.beton"), str(parts / "1.beton"), "--out", str(parts / "x.set.json")],
        ["export", str(root / "blocks.beton"), "--format", "flat", "--out", str(root / "flat.bin")],
    ):
        if status := run(command):
            raise SystemExit(f"{' '.join(command)}: status {status}")


def jobs(root: Path, port: int) -> list[Job]:
    """All jobs; `port` is that of a server of the files of ``root / "coco"``."""
    one = ["--workers", "2", "--out", f"{OUT}/x.beton"]
    photographs = ["convert", "imagenet", "--source", str(root / "photographs"), *one]
    coco = ["convert", "coco", "--images", str(root / "coco"), "--annotations", str(root / "captions.json"), *one]
    text = ["convert", "openwebtext", "--source", str(root / "text"), "--block", "16", *one]
    of_set = tuple(root / "parts" / name for name in ("0.beton", "1.beton", "x.set.json"))
    plain, blocks = str(root / "plain.beton"), str(root / "blocks.beton")
    listing = root / "index.tsv"
    listing.write_text("".join(f"Photograph {n}\thttp://127.0.0.1:{port}/{n}.jpg\n" for n in range(COUNT)))
    return [
        Job("imagenet", [*photographs, "--report", f"{OUT}/report.json"]),
        Job("imagenet --jpeg keep --index", [*photographs, "--jpeg", "keep", "--index"]),
        Job("coco --pairs", coco),
        Job("coco --grouped", [*coco, "--grouped"]),
        Job("cc3m", ["convert", "cc3m", "--shards", str(root / "shards"), *one]),
        Job("openwebtext", text),
        Job("openwebtext --padded", [*text, "--padded"]),
        Job("tokens", ["convert", "tokens", "--source", str(root / "flat.bin"), "--block", "16", *one[2:]]),
        Job("text", ["convert", "text", "--files", str(root / "text" / "0.jsonl"), "--text", "text", *one]),
        Job("glue", ["convert", "glue", "--source", str(root / "glue"), "--task", "sst2", *one]),
        Job("configuration", ["convert", str(root / "tasks.yaml")]),
        Job("imagenet --part 1/2", [*photographs, "--part", "1/2", "--report", f"{OUT}/report.json"]),
        Job("merge", ["merge", plain, plain, "--out", f"{OUT}/x.beton"]),
        Job("repair", ["repair", str(root / "damaged.beton"), "--out", f"{OUT}/x.beton"]),
        Job("repair of a set", ["repair", str(root / "parts" / "x.set.json"), "--out", f"{OUT}/x"]),
        Job("split", ["split", plain, "--files", "3", "--out", f"{OUT}/x.set.json"]),
        Job("set", ["set", f"{OUT}/0.beton", f"{OUT}/1.beton", "--out", f"{OUT}/x.set.json"], given=of_set[:2]),
        Job("set --append", ["set", f"{OUT}/plain.beton", "--append", "--out", f"{OUT}/x.set.json"],
            given=(*of_set, root / "plain.beton")),
        Job("index", ["index", str(root / "keep.beton"), "--workers", "2", "--out", f"{OUT}/x.index"]),
        Job("export fairseq", ["export", blocks, "--format", "fairseq", "--out", f"{OUT}/x"]),
        Job("export flat", ["export", blocks, "--format", "flat", "--out", f"{OUT}/x.bin"]),
        Job("preview", ["preview", plain, "--out", f"{OUT}/x.html"]),
        Job("verify", ["verify", plain]),
        Job("verify --against", ["verify", plain, "--against", str(root / "photographs")]),
        Job("stats", ["stats", plain]),
        Job("download cc3m", ["download", "cc3m", "--index", str(listing), "--out", f"{OUT}/shards", "--shard-size",
                              "8", "--allow-private", "--workers", "2"], processes=True),
        Job("imagenet --engine ray", [*photographs, "--engine", "ray"], processes=True),
    ]  # fmt: skip


@contextlib.contextmanager
def server(folder: Path, files: Path) -> Iterator[int]:
    """A server of copies of a folder's files, in a folder that it makes."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *values: object) -> None:
            super().__init__(*values, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    shutil.copytree(files, folder)

    class QuietServer(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing of connections that a kill broke off."""

    with QuietServer(("127.0.0.1", 0), Quiet) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.server_address[1]
        served.shutdown()
