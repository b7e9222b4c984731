"""Batches of clips: every output gains a dimension for the frames."""

from __future__ import annotations

from typing import Any


def clips_of(rows: Any, frames: int) -> Any:
    """Return a batch's rows in groups of `frames`.

    Parameters
    ----------
    rows : array or tensor, shape (batch * frames, ...), list, or tuple of these

    Returns
    -------
    object of the same kind
        Shape (batch, frames, ...), without a copy; a list of lists.
    """
    if isinstance(rows, tuple):
        parts = [clips_of(part, frames) for part in rows]
        return rows._make(parts) if hasattr(rows, "_make") else tuple(parts)
    if isinstance(rows, list):
        return [rows[i : i + frames] for i in range(0, len(rows), frames)]
    if getattr(rows, "shape", ()):
        return rows.reshape((len(rows) // frames, frames, *rows.shape[1:]))
    return rows
