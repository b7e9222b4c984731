"""Which payloads of a part have which keys, so that merging the parts knows payloads that they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ffprep.beton.reader import Reader
from ffprep.beton.writing.placement import SHARED_ROW
from ffprep.beton.writing.writer import Writer
from ffprep.errors import CorruptError

SHARED = "shared"
"""Name of the section."""


class PartWriter(Writer):
    """A `Writer` of a part, which keeps the rows of its shared payloads in the file, if there are any."""

    def _sections(
        self, manifest_extra: Mapping[str, Any] | None, extra: Mapping[str, bytes] | None
    ) -> dict[str, bytes]:
        rows = b"".join(self._committed_and("shared", self._shared.unsaved()))
        return super()._sections(manifest_extra, {**(extra or {}), **({SHARED: rows} if rows else {})})


def payload_keys(reader: Reader) -> dict[str, dict[int, str]] | None:
    """Return a digest of the key of each shared payload of a part, by field and offset in the file.

    Returns
    -------
    dict or None
        None if the file does not say.

    Raises
    ------
    CorruptError
        The section is not as a `PartWriter` writes it.
    """
    content = reader.section(SHARED)
    if content is None:
        return None
    fields = list(reader.fields)
    rows = np.frombuffer(bytes(content), SHARED_ROW) if len(content) % SHARED_ROW.itemsize == 0 else None
    if rows is None or (len(rows) and int(rows["field"].max()) >= len(fields)):
        raise CorruptError(f"{reader.path}: the keys of its shared payloads are damaged")
    found: dict[str, dict[int, str]] = {name: {} for name in fields}
    for field, digest, offset in zip(
        rows["field"].tolist(), rows["digest"].tolist(), rows["ptr"].tolist(), strict=True
    ):
        found[fields[field]][offset] = bytes(digest).hex()
    return found
