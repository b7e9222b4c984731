"""What each node of a large job reads in an epoch, and what drop_last leaves out: the loader's own orders, no data.

    python benchmarks/scaling.py                       # ImageNet: 1,281,167 images in 16,861 pages of 8 MiB
    python benchmarks/scaling.py --samples 13153500 --pages 155000 --ranks 64 --ranks 1024

For each number of ranks and each order: whether every sample comes exactly once, the pages that a node's ranks read
together as times the node's share, and the samples that drop_last leaves out at the given batch size.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from ffprep import NodeOrder
from ffprep.loader.order.order import Order, QuasiRandomOrder, RandomOrder
from ffprep.loader.order.share import Share


def simulate(order: Order, pages: Any, ranks: int, on_node: int, batch_size: int) -> dict[str, Any]:
    """Go through one epoch of all ranks.

    Parameters
    ----------
    order : Order
    pages : ndarray of int64, shape (samples,)
        The page of each sample.
    ranks, on_node : int
        In all, and on each node.
    batch_size : int
        Of each rank.
    """
    total = len(order)
    seen = np.zeros(total, np.int64)
    read = []
    for node in range(-(-ranks // on_node)):
        needed = []
        for rank in range(node * on_node, min(ranks, (node + 1) * on_node)):
            share = order.share(Share(batch_size, rank, ranks))
            ids = order.ids(0, np.arange(share.rank, total, ranks, dtype=np.int64))
            np.add.at(seen, ids, 1)
            needed.append(np.unique(pages[ids]))
        read.append(len(np.unique(np.concatenate(needed))))
    share_of_node = (int(pages[-1]) + 1) * min(on_node, ranks) / ranks
    return {
        "once": bool((seen == 1).all()),
        "pages": (min(read), max(read)),
        "times": max(read) / share_of_node,
        "lost": total % (ranks * batch_size),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_281_167)
    parser.add_argument("--pages", type=int, default=16_861)
    parser.add_argument("--ranks", type=int, action="append", help="repeatable; 8, 64 and 1,024 by default")
    parser.add_argument("--on-node", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    indices = np.arange(options.samples, dtype=np.int64)
    pages = indices * options.pages // options.samples
    print("| ranks | order | every sample once | pages a node | times its share | drop_last leaves out | seconds |")
    print("|---|---|---|---|---|---|---|")
    for ranks in options.ranks or [8, 64, 1024]:
        orders: list[tuple[str, Order]] = [
            ("RANDOM", RandomOrder(indices, 0)),
            ("QUASI_RANDOM", QuasiRandomOrder(indices, pages, 0, 64)),
            ("NodeOrder()", NodeOrder().bind(indices, pages, 0)),
        ]
        for name, order in orders:
            began = time.process_time()
            found = simulate(order, pages, ranks, options.on_node, options.batch_size)
            least, most = found["pages"]
            share = found["lost"] / options.samples
            print(
                f"| {ranks:,} | {name} | {'yes' if found['once'] else 'no'} | {least:,} to {most:,} | "
                f"{found['times']:.2f} | {found['lost']:,} ({share:.1%}) | {time.process_time() - began:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
