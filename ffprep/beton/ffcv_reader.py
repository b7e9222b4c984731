"""The reader of ``.beton`` files under ffcv's name, with its attributes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ffprep.beton.reader import Reader as _Reader
from ffprep.fields import Field


class FfcvNames(_Reader):
    """A reader with the attributes of ``ffcv.reader.Reader``."""

    @property
    def file_name(self) -> str:
        return str(self.path)

    @property
    def num_fields(self) -> int:
        return len(self.fields)

    @property
    def field_names(self) -> list[str]:
        return list(self.fields)

    @property
    def handlers(self) -> dict[str, Field]:
        return self.fields

    @property
    def metadata_type(self) -> np.dtype[Any]:
        return self.head.record_type

    @property
    def metadata(self) -> npt.NDArray[Any]:
        return self.records

    @property
    def alloc_table(self) -> npt.NDArray[Any]:
        return self.table


class Reader(FfcvNames):
    """`ffprep.beton.reader.Reader` with the arguments and attributes of ``ffcv.reader.Reader``.

    Parameters
    ----------
    fname : str or Path
    custom_handlers : mapping of name to Field subclass, optional
    """

    def __init__(self, fname: str | os.PathLike[str], custom_handlers: Mapping[str, type[Any]] | None = None) -> None:
        super().__init__(fname, custom_handlers)


__all__ = ["Reader"]
