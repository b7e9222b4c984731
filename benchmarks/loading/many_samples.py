"""What a loader of very many samples takes: seconds to make it, to begin an epoch, and memory of its own.

    python benchmarks/loading/many_samples.py --samples 12400000 [--ranks 2]

Makes a sparse file with the true tables of so many JPEGs of equal size (494 GB, of which 0.9 GB are on disk), and opens
it in a process of its own for each case. The photograph itself is written only where the first batches look for it.
Own memory is that without files, whose pages all processes share. Each loader is made twice, and the shorter time
counts, since tables that are in the system's cache are meant. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xxhash

from ffprep.beton import layout, sections
from ffprep.beton.layout import DEFAULT_PAGE_SIZE
from ffprep.demo.photographs import make_photographs
from ffprep.fields import IntField, RGBImageField

ORDERS = ("SEQUENTIAL", "RANDOM", "QUASI_RANDOM", "NODES")
FIELDS = {"image": RGBImageField("jpg"), "label": IntField()}
BATCHES = 8


def photograph(folder: Path) -> bytes:
    """Return a JPEG as a conversion stores it."""
    path = next(path for path in sorted(make_photographs(folder, 8).rglob("*")) if path.is_file())
    return bytes(FIELDS["image"].encode(path.read_bytes()).payload)


def make_file(path: Path, count: int, payload: bytes, size: tuple[int, int]) -> None:
    """Write tables and checksums of `count` samples; the payloads stay holes."""
    records = np.zeros(count, layout.record_type(field.metadata_type for field in FIELDS.values()))
    head_end = layout.records_start(len(FIELDS))
    start = layout.data_start(head_end + records.nbytes)
    each = DEFAULT_PAGE_SIZE // len(payload)
    first_page = -(-start // DEFAULT_PAGE_SIZE)
    number = np.arange(count)
    offsets = (first_page + number // each) * DEFAULT_PAGE_SIZE + number % each * len(payload)
    records["f0"]["width"], records["f0"]["height"] = size
    records["f0"]["data_ptr"], records["f1"] = offsets, number % 1000
    end = int(offsets[-1]) + len(payload)
    rows = np.zeros(count, layout.ALLOCATION)
    rows["sample_id"], rows["ptr"], rows["size"] = number, offsets, len(payload)
    contents = {
        sections.CHECKSUMS: bytes(8 * layout.num_blocks(start, end)),
        sections.PAYLOAD_SUMS: np.full(count, xxhash.xxh3_64_intdigest(payload), "<u8").tobytes(),
    }
    placed, cursor = sections.place(contents, layout.superblock_offset(head_end + records.nbytes), start, end)
    table = layout.align_up(cursor, 8) + layout.superblock_size(len(placed))
    header = layout.Header(layout.VERSION, len(FIELDS), DEFAULT_PAGE_SIZE, count, table).pack()
    for name, field in FIELDS.items():
        header += layout.DESCRIPTOR.pack(field.type_id, name.encode(), bytes(field.to_binary()))
    head = header + records.tobytes()
    head += bytes(layout.superblock_offset(len(head)) - len(head))
    block = layout.Superblock(
        table + rows.nbytes, count, start, end, xxhash.xxh3_64_intdigest(head), xxhash.xxh3_64_intdigest(rows.data),
        tuple(placed),
    ).pack()  # fmt: skip
    with path.open("wb") as file:
        for place, content in (
            (0, head + block),
            *((entry.offset, contents[entry.name]) for entry in placed),
            (table - len(block), block),
            (table, rows.tobytes()),
        ):
            file.seek(place)
            file.write(content)


def private() -> float:
    """MiB of memory of this process's own; pages of files are shared by all processes that map them."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(found["RssAnon"].split()[0]) / 1024


def case(path: Path, name: str, os_cache: bool, payload: bytes) -> dict[str, float]:
    """Make a loader, and go through the first batches of two epochs."""
    from ffprep import Loader, NodeOrder, OrderOption
    from ffprep.fields.decoders import RandomResizedCropRGBImageDecoder
    from ffprep.transforms import ToTensor

    order = NodeOrder() if name == "NODES" else OrderOption[name]
    pipelines = {"image": [RandomResizedCropRGBImageDecoder((64, 64)), ToTensor()]}
    options = {"order": order, "seed": 1, "os_cache": os_cache, "pipelines": pipelines, "drop_last": False}
    small = path.with_name("small.beton")
    with Loader(small, 64, 1, **{**options, "order": OrderOption.RANDOM}) as loader:
        next(iter(loader))  # libraries are there now
    before = private()
    began = time.perf_counter()
    loader = Loader(path, 64, 1, **options)
    made = time.perf_counter() - began
    places = loader.files.readers[0].records["f0"]["data_ptr"]
    after = private()
    with path.open("r+b") as file:
        for epoch in range(2):
            for position in loader._order.ids(epoch, np.arange(64 * (BATCHES + 6))).tolist():
                file.seek(int(places[position]))
                file.write(payload)
    loader = None
    began = time.perf_counter()
    with Loader(path, 64, 1, **options) as loader:
        again = time.perf_counter() - began
        seconds = []
        for _ in range(2):
            began = time.perf_counter()
            for number, batch in enumerate(loader):
                if number == 0:
                    seconds.append(time.perf_counter() - began)
                assert len(batch[0]) == 64
                if number == BATCHES:
                    break
        own = private()
    return {
        "made": min(made, again), "first": seconds[0], "next": seconds[1],
        "after": after - before, "own": own - before,
    }  # fmt: skip


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=12_400_000)
    parser.add_argument("--folder", type=Path, help="where to make the file, or where it is")
    parser.add_argument("--only", choices=ORDERS, action="append")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        given = json.loads(options.case)
        payload = (options.folder / "payload").read_bytes()
        print(json.dumps(case(options.folder / "many.beton", given["order"], given["os_cache"], payload)))
        return
    with tempfile.TemporaryDirectory(prefix="ffprep-many-") as made:
        folder = options.folder or Path(made)
        if not (folder / "many.beton").exists():
            payload = photograph(Path(made) / "photographs")
            (folder / "payload").write_bytes(payload)
            size = tuple(int(n) for n in FIELDS["image"].encode(payload).metadata[1:3])
            make_file(folder / "many.beton", options.samples, payload, size)
            make_file(folder / "small.beton", 1000, payload, size)
            with (folder / "small.beton").open("r+b") as file:
                from ffprep.beton import Reader

                with Reader(folder / "small.beton") as reader:
                    for place in reader.records["f0"]["data_ptr"].tolist():
                        file.seek(place)
                        file.write(payload)
        print("| order | os_cache | made, s | first batch, s | next epoch's, s | own after making, MiB | in an epoch |")
        print("|---|---|---|---|---|---|---|")
        for order in options.only or ORDERS:
            for os_cache in (True, False):
                chosen = json.dumps({"order": order, "os_cache": os_cache})
                command = [sys.executable, __file__, "--folder", str(folder), "--case", chosen]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                print(
                    f"| {order} | {os_cache} | {found['made']:.2f} | {found['first']:.2f} | {found['next']:.2f} | "
                    f"{found['after']:.0f} | {found['own']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
