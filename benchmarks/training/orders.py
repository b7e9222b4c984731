"""A small network trained in the orders of the loader, from samples that are sorted by class: what does an order cost?

    python benchmarks/training/orders.py --data /path/to/photographs --runs 5 --json FILE

The task is that of training.py: tiles cut from photographs, and which photograph a tile is from. The training tiles are
sorted by photograph, as a conversion of ImageNet sorts by class, and so many of them make a page. The orders are the
loader's own; what they order are tensors in memory, so that nothing else differs. Beside the accuracy: how many classes
a batch has, and how far samples that are neighbours in the file are apart in an epoch. SEQUENTIAL is there to show that
the task depends on the order at all. Test tiles are the same for all. With --shuffled the samples are not sorted but
shuffled once, as ``ffprep convert --shuffle`` does. A second table says how the orders mix ImageNet itself, with the
loader's defaults: 1,281,167 samples sorted by class in 16,861 pages, batches of 256, no training.
"""

from __future__ import annotations

import argparse
import io
import math
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from training import MEAN, SIZE, STD, TILE, network, tiles_of

from ffprep import NodeOrder
from ffprep.inspect.timing.results import Result, Table
from ffprep.loader.order.nodes import DEFAULT_GROUPS, DEFAULT_WINDOW_PAGES
from ffprep.loader.order.order import Order, QuasiRandomOrder, RandomOrder, SequentialOrder

BATCH = 64
MIXED = ["order", "pages shuffled together", "classes in a batch", "neighbours apart"]
COLUMNS = [*MIXED, "accuracy, %", "to RANDOM, %"]
IMAGENET, IMAGENET_PAGES, IMAGENET_CLASSES, IMAGENET_BATCH = 1_281_167, 16_861, 1000, 256


def pixels(tiles: list[tuple[bytes, int]], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tiles as normalised float32 of shape (tiles, 3, size, size), and their labels."""
    found = []
    for data, _ in tiles:
        with Image.open(io.BytesIO(data)) as image:
            found.append(np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)))
    images = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return (images - mean) / std, torch.tensor([label for _, label in tiles])


def augmented(images: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Cut SIZE x SIZE at random from larger images, and flip half of them."""
    room = images.shape[-1] - SIZE + 1
    tops, lefts = torch.randint(room, (2, len(images)), generator=draw).tolist()
    flips = torch.rand(len(images), generator=draw).tolist()
    cuts = [image[:, y : y + SIZE, x : x + SIZE] for image, y, x in zip(images, tops, lefts, strict=True)]
    return torch.stack([part.flip(2) if flip < 0.5 else part for part, flip in zip(cuts, flips, strict=True)])


def train(order: Order, data: dict[str, Any], seed: int, epochs: int) -> float:
    """Train one network; return its accuracy on the test tiles, in percent."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    model = network(data["classes"])
    steps = len(order) // BATCH
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=epochs * steps)
    images, labels = data["train"]
    for epoch in range(epochs):
        for step in range(steps):
            ids = torch.from_numpy(order.ids(epoch, np.arange(step * BATCH, (step + 1) * BATCH)).copy())
            loss = nn.functional.cross_entropy(model(augmented(images[ids], draw)), labels[ids])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            rate.step()
    return accuracy(model, *data["test"])


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of tiles whose photograph is found, in percent."""
    model.eval()
    with torch.no_grad():
        right = sum(
            int((model(images[k : k + 512]).argmax(1) == labels[k : k + 512]).sum()) for k in range(0, len(images), 512)
        )
    model.train()
    return 100 * right / len(images)


def mixing(order: Order, labels: Any, epochs: int, batch: int = BATCH) -> tuple[float, float]:
    """Return how many classes a batch has, and how far apart neighbours of the file are, as a share of the epoch."""
    total = len(order)
    classes, apart = [], []
    for epoch in range(epochs):
        ids = order.ids(epoch, np.arange(total))
        classes += [len(np.unique(labels[ids[k : k + batch]])) for k in range(0, total - batch + 1, batch)]
        places = np.empty(total, np.int64)
        places[ids] = np.arange(total)
        apart.append(float(np.abs(np.diff(places)).mean()) / total)
    return statistics.mean(classes), statistics.mean(apart)


def orders(pages: Any, window: int, groups: int, node_window: int, seed: int) -> dict[str, Order]:
    """Return the orders that are compared, over samples that lie in these pages."""
    indices = np.arange(len(pages), dtype=np.int64)
    return {
        "RANDOM": RandomOrder(indices, seed),
        f"NodeOrder({groups}, {node_window})": NodeOrder(groups, node_window).bind(indices, pages, seed),
        f"QUASI_RANDOM, {window} pages": QuasiRandomOrder(indices, pages, seed, window),
        "SEQUENTIAL": SequentialOrder(indices),
    }


def add_imagenet(result: Result) -> None:
    """Add how the orders mix ImageNet."""
    indices = np.arange(IMAGENET, dtype=np.int64)
    window, groups, node_window = 64, DEFAULT_GROUPS, DEFAULT_WINDOW_PAGES
    together = (IMAGENET_PAGES, groups * node_window, window, 1)
    made = orders(indices * IMAGENET_PAGES // IMAGENET, window, groups, node_window, 0)
    table = result.tables["imagenet"] = Table(MIXED, [])
    for (name, order), many in zip(made.items(), together, strict=True):
        classes, apart = mixing(order, indices * IMAGENET_CLASSES // IMAGENET, 1, IMAGENET_BATCH)
        result.measured(f"ImageNet, {name}: classes", [classes], "classes")
        result.measured(f"ImageNet, {name}: apart", [apart], "of an epoch")
        table.rows.append(
            [
                name,
                f"{many:,} of {IMAGENET_PAGES:,}",
                {"median": f"ImageNet, {name}: classes", "form": ".1f"},
                {"median": f"ImageNet, {name}: apart", "form": ".3f"},
            ]
        )


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of JPEGs, searched to any depth; demo photographs if absent")
    parser.add_argument("--photographs", type=int, default=192, help="classes")
    parser.add_argument("--tiles", type=int, default=48, help="tiles of each photograph")
    parser.add_argument("--per-page", type=int, default=8, help="samples in a page")
    parser.add_argument("--window", type=int, default=24, help="pages that QUASI_RANDOM shuffles together")
    parser.add_argument("--groups", type=int, default=16, help="of NodeOrder")
    parser.add_argument("--node-window", type=int, default=8, help="pages of a group that NodeOrder shuffles together")
    parser.add_argument("--shuffled", action="store_true", help="shuffle the samples before they make pages")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="keep the results in this file")
    parser.add_argument("--note", default="", help="what a reader of the results must know, for the caption")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tiles = tiles_of(options.data, options.photographs, options.tiles)
    if options.shuffled:
        random.Random(0).shuffle(tiles.train)
    data = {"train": pixels(tiles.train, TILE * 5 // 6), "test": pixels(tiles.test, SIZE), "classes": tiles.classes}
    count, labels = len(tiles.train), data["train"][1].numpy()
    paged = np.arange(count, dtype=np.int64) // options.per_page
    shape = (options.window, options.groups, options.node_window)
    pages = math.ceil(count / options.per_page)
    found: dict[str, list[float]] = {}
    mixed: dict[str, list[tuple[float, float]]] = {}
    for run in range(options.runs):
        for name, order in orders(paged, *shape, seed=run).items():
            if options.shuffled and name == "SEQUENTIAL":
                continue
            began = time.perf_counter()
            found.setdefault(name, []).append(train(order, data, run, options.epochs))
            mixed.setdefault(name, []).append(mixing(order, labels, options.epochs))
            seconds = time.perf_counter() - began
            print(f"run {run + 1}: {name}: {found[name][-1]:.2f} % in {seconds:.0f} s", file=sys.stderr, flush=True)
    result = Result(
        "orders",
        f"{tiles.classes} classes, {count:,} training tiles in {pages:,} pages, {len(tiles.test):,} test tiles, "
        f"{options.epochs} epochs of batches of {BATCH}, {options.runs} runs",
        note=options.note,
    )
    together = {"RANDOM": pages, "SEQUENTIAL": 1}
    table = result.tables["main"] = Table(COLUMNS, [])
    for name, values in found.items():
        result.measured(name, values, "%")
        result.measured(f"{name}: classes", [one[0] for one in mixed[name]], "classes")
        result.measured(f"{name}: apart", [one[1] for one in mixed[name]], "of an epoch")
        result.measured(f"{name}: difference", [a - b for a, b in zip(values, found["RANDOM"], strict=True)], "%")
        many = together.get(name, options.window if "QUASI" in name else options.groups * options.node_window)
        table.rows.append(
            [
                name,
                f"{many:,} of {pages:,}",
                {"median": f"{name}: classes", "form": ".1f"},
                {"median": f"{name}: apart", "form": ".3f"},
                {"range": name, "form": ".2f"},
                {"range": f"{name}: difference", "form": "+.2f"} if name != "RANDOM" else "",
            ]
        )
    if not options.shuffled:
        add_imagenet(result)
    if options.json:
        result.save(options.json)
    tables = "\n\n".join(result.text(name) for name in result.tables)
    print(f"{result.caption()}\n\n{tables}")


if __name__ == "__main__":
    main()
