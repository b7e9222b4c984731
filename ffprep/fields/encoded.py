"""One value, encoded: what goes into its sample's record and what goes into a page."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

Payload: TypeAlias = "bytes | bytearray | memoryview"


@dataclass(frozen=True)
class Encoded:
    """One value, ready to be written.

    Attributes
    ----------
    metadata : tuple
        The members of the field's metadata record in order, with 0 where the payload's offset goes.
    payload : bytes-like or None
        What goes into a page; None for fields that are stored in their metadata alone.
    note : tuple of (action, reason), optional
        What was done to the value, for the conversion report: ``("reencoded", "CMYK")``.
    key : hashable, optional
        Payloads with equal keys are stored once; set by `Shared`.
    pointer : int, optional
        Number of the member where the payload's offset goes, if the field does not say it.
    checksum : int, optional
        xxh3-64 of the payload, where it is known already.
    """

    metadata: tuple[Any, ...]
    payload: Payload | None = None
    note: tuple[str, str] | None = None
    key: Hashable | None = None
    pointer: int | None = None
    checksum: int | None = None
