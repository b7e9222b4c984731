"""JSON documents of a finished batch, parsed: an error names the file and the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import DecodeError
from ffprep.fields.json import parse_document
from ffprep.loader.files import Files
from ffprep.pipeline.form import BatchInfo


def parse_row(row: npt.NDArray[np.uint8], length: int, place: int, batch: BatchInfo, source: str, files: Files) -> Any:
    """Parse the document in a row of a batch; None where the row is masked, since it could not be read.

    Parameters
    ----------
    row : ndarray of uint8
    length : int
        Bytes of the document.
    place : int
        Number of the row.
    batch : BatchInfo
    source : str
        Field with the documents.
    files : Files

    Raises
    ------
    DecodeError
        The text is not JSON.
    """
    if length == 0 and batch.mask is not None and not batch.mask[place]:
        return None
    try:
        return parse_document(row[:length].tobytes())
    except DecodeError as error:
        raise document_error(error, place, batch, source, files) from error


def document_error(error: object, place: int, batch: BatchInfo, source: str, files: Files) -> DecodeError:
    """Return the error about the document in a row of a batch."""
    where = f"{files.where(int(batch.ids[place]))}, field {source!r}"
    return DecodeError(f"{where}: {error}; take a good copy, or leave the sample out with Loader(indices=...)")
