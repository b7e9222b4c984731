"""What of an epoch is fetched, for files in a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.loader.engine.fetching import Fetching
from ffprep.loader.epoch.setup import EpochSetup
from ffprep.loader.files import Ids
from ffprep.loader.order.order import GivenOrder


def fetching_of(setup: EpochSetup, payloads: Sequence[str], planned: bool) -> Fetching | None:
    """Return what fetches the pages of remote files in an epoch; None if all files are on local disk.

    Parameters
    ----------
    setup : EpochSetup
    payloads : sequence of str
        Fields whose payloads are read.
    planned : bool
        Whether this is an epoch of the loader, after which the next one comes, rather than some batch.
    """
    if not setup.files.remote:
        return None
    setup.order.ids(setup.epoch, np.empty(0, np.int64))  # so that an order of the user's is asked in this thread
    own = replace(setup, order=setup.order.apart())

    def following() -> Iterator[Ids]:
        if isinstance(setup.order, GivenOrder):
            return  # the user's code is not called before its time
        later = replace(own, epoch=own.epoch + 1, first=0)
        for batch in range(later.batches):
            yield later.ids(batch)

    # Operations that are Python functions read payloads in finished batches.
    python = any(not output.natives for output in setup.outputs)
    for reader in setup.files.readers:
        if reader.source is not None:
            reader.source.lenient = setup.on_error != "raise" and _compared(setup, reader, payloads)
    return Fetching(
        setup.files,
        payloads,
        own.ids,
        setup.batches,
        setup.ahead + 2,
        setup.ahead + 2 if python else 0,
        following if planned else None,
    )


def _compared(setup: EpochSetup, reader: Reader, payloads: Sequence[str]) -> bool:
    """Whether workers compare each value of a file that they read with a checksum of its own."""
    if any(not output.natives and output.source in payloads for output in setup.outputs):
        return False  # an operation of the user's decodes the field
    return all(setup.files.checks.sums_of(reader, name) is not None for name in payloads if name in reader.fields)
