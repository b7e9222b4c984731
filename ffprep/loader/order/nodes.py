"""An order for many nodes: each reads its own part of the file in an epoch, and the samples are those of one order.

An epoch's pages are permuted and cut into groups of equally many samples (to one). Within a group, the samples of some
consecutive pages are shuffled together, as in QUASI_RANDOM; position ``k * groups + g`` of the epoch shows the k-th
sample of group g. So every step takes from all groups in turn, and the order depends on the number of groups, never on
that of ranks. A rank takes every ``world_size``-th position, hence the positions of whole groups: those of other groups
it never reads.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from ffprep.common.seeds import unsigned
from ffprep.errors import OptionError
from ffprep.loader.files import Ids
from ffprep.loader.order.order import Order, Paged, Samples
from ffprep.loader.order.pages import PageRuns
from ffprep.loader.order.permute import permute_in_groups
from ffprep.loader.order.share import Share

DEFAULT_GROUPS = 128
DEFAULT_WINDOW_PAGES = 16


class NodeOrder:
    """A nearly random order in which each node reads only its share of the file: ``Loader(order=NodeOrder())``.

    The order is the same for any number of ranks, so an epoch can be resumed with another number, as long as that
    divides `groups` or is a multiple of it. Consecutive ranks take the same groups, so a node's ranks read what they
    have in common once.

    Parameters
    ----------
    groups : int
        Groups that an epoch's pages are dealt to; a part of the saved state. At most as many as there are samples.
    window_pages : int
        Pages of a group whose samples are shuffled together. With ``os_cache=False`` a rank keeps about twice as many
        of each of its groups in memory. The loader's own ``window_pages`` does not count.

    Raises
    ------
    OptionError
        A number is below 1.
    """

    def __init__(self, groups: int = DEFAULT_GROUPS, window_pages: int = DEFAULT_WINDOW_PAGES) -> None:
        if groups < 1 or window_pages < 1:
            raise OptionError(f"NodeOrder({groups}, {window_pages}): both must be at least 1")
        self.groups = groups
        self.window_pages = window_pages

    @property
    def name(self) -> str:
        """What a saved state says of the order."""
        return f"NODES of {self.groups} groups and {self.window_pages} pages"

    def bind(self, indices: Samples, pages: PageRuns | Ids, seed: int) -> Order:
        """Return the order over `indices`, when each sample of the file lies in one of `pages`.

        Raises
        ------
        OptionError
            There are fewer samples than groups.
        """
        if len(indices) < self.groups:
            raise OptionError(f"{len(indices)} samples are fewer than {self.groups} groups; use NodeOrder(groups=...)")
        return _NodeOrder(indices, pages, seed, self.groups, self.window_pages)

    def __repr__(self) -> str:
        return f"NodeOrder({self.groups}, {self.window_pages})"


class _NodeOrder(Order):
    def __init__(self, indices: Samples, pages: PageRuns | Ids, seed: int, groups: int, window_pages: int) -> None:
        self._length = len(indices)
        self._seed = unsigned(seed)
        self._groups = groups
        self._paged = Paged(indices, pages)
        rounds = -(-len(indices) // groups)
        windows = max(1, round((len(self._paged.bounds) - 1) / groups / window_pages))
        self._window = -(-rounds // windows)

    def __len__(self) -> int:
        return self._length

    def ids(self, epoch: int, positions: Ids) -> Ids:
        if len(positions) == 0:
            return np.empty(0, np.int64)
        ends, moves = self._paged.layout(self._seed, epoch)
        places = permute_in_groups(
            positions, self._length, self._groups, self._window, ends, moves, self._seed, unsigned(epoch)
        )
        return self._paged.samples(places)

    def apart(self) -> Order:
        other = copy.copy(self)
        other._paged = copy.copy(self._paged)
        return other

    def edges(self, epoch: int) -> Ids | None:
        inner = np.arange(0, self._length, self._window * self._groups, dtype=np.int64)
        return np.append(inner, self._length)

    def share(self, share: Share) -> Share:
        """Renumber ranks so that consecutive ones have the same groups, where there are more ranks than groups.

        Raises
        ------
        OptionError
            The number of ranks neither divides that of groups nor is a multiple of it.
        """
        ranks, groups = share.world_size, self._groups
        if groups % ranks == 0:
            return share
        if ranks % groups:
            raise OptionError(
                f"NodeOrder has {groups} groups for {ranks} ranks; the number of groups must be a multiple of that of "
                f"ranks or divide it, as NodeOrder(groups={ranks * max(1, groups // ranks)}) does"
            )
        each = ranks // groups
        return replace(share, rank=share.rank % each * groups + share.rank // each)
