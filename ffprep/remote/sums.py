"""What the pages of a remote file are compared with when they arrive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import xxhash

from ffprep.remote.states import PAGE


class PageSums:
    """The checksums of a file's pages.

    Parameters
    ----------
    count : int
        Pages.
    pieces : sequence of (int, int)
        First byte and end of what each checksum is of, at most one piece in a page.
    sums : sequence of int
        The xxh3-64 of each.

    Attributes
    ----------
    covered : ndarray of bool, shape (pages,)
        Which pages have one.
    """

    def __init__(self, count: int, pieces: Sequence[tuple[int, int]] = (), sums: Sequence[int] = ()) -> None:
        self._known = {
            start // PAGE: (start, end, number)
            for (start, end), number in zip(pieces, sums, strict=True)
            if end > start
        }
        self.covered: npt.NDArray[np.bool_] = np.zeros(count, np.bool_)
        self.covered[list(self._known)] = True

    def fit(self, page: int, data: bytes) -> bool | None:
        """Whether the bytes of a page are right; None for one without a checksum."""
        if page not in self._known:
            return None
        start, end, number = self._known[page]
        return xxhash.xxh3_64_intdigest(memoryview(data)[start - page * PAGE : end - page * PAGE]) == number
