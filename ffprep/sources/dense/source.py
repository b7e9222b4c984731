"""Images with what belongs to them pixel by pixel or object by object, as samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import SourceError
from ffprep.fields import MaskField, RGBImageField, VariableArrayField
from ffprep.sources.images.masks import image_size, stored_size
from ffprep.sources.reading.file_sets import FileSet
from ffprep.sources.reading.left_out import LeftOut

if TYPE_CHECKING:
    from ffprep.fields import Field

MEASURED = 2000
"""The most images whose sizes are read for an estimate of all."""

BOXES: Mapping[str, Field] = {"boxes": VariableArrayField("float32", (4,)), "labels": VariableArrayField("int64")}
"""Boxes (n, 4) as x and y of two corners in pixels of the stored image, and their classes (n,)."""
IGNORED = 255
"""Label of pixels that belong to no class, in masks of up to 255 classes."""


class DenseSource:
    """Images in files, with targets that a function makes of the image's number and its size.

    Parameters
    ----------
    name : str
        Name of the data set.
    images : FileSet
    targets : callable
        Given the number of a sample, and its image's (width, height) or None, returns the values of the further fields.
    fields : mapping of str to Field
        The further fields.
    image : RGBImageField
        How images are stored.
    facts : mapping
        Further entries of the manifest.
    left_out : LeftOut, optional
        What was left out because it is bad.
    notes : Sequence of str
        What the user should know.
    """

    def __init__(
        self,
        name: str,
        images: FileSet,
        targets: Callable[[int, tuple[int, int] | None], tuple[Any, ...]],
        fields: Mapping[str, Field],
        *,
        image: RGBImageField,
        facts: Mapping[str, Any],
        left_out: LeftOut | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._images, self._targets = images, targets
        self.fields: Mapping[str, Field] = {"image": image, **fields}
        self.facts = {"dataset": name, "images": len(images.names), **facts}
        self.left_out = left_out or LeftOut()
        self.notes = list(notes)

    def __len__(self) -> int:
        return len(self._images.names)

    def sample(self, index: int) -> tuple[Any, ...]:
        data = self._images.read(index)
        return (data, *self._targets(index, image_size(data)))

    def sample_name(self, index: int) -> str:
        return self._images.names[index]

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size in bytes and time in nanoseconds of a sample's own image; None for members of archives."""
        return self._images.stamp(index)

    def field_bytes(self) -> dict[str, int]:
        """Estimate the bytes of all images from the sizes of at most `MEASURED` of them."""
        count = len(self)
        some = np.unique(np.linspace(0, count - 1, min(count, MEASURED)).astype(np.int64))
        return {"image": round(sum(self._images.size(int(i)) for i in some) / len(some) * count)}

    def manifest(self) -> dict[str, Any]:
        return self.facts

    def summary(self) -> str:
        """One line about what was found, for the screen."""
        objects = [f"{self.facts['objects']:,} objects"] if "objects" in self.facts else []
        parts = [f"{len(self):,} images", *objects]
        for name, value in self.facts.items():
            if (
                name.partition("_")[0] in ("objects", "images", "annotations", "masks", "segments")
                and "_" in name
                and value
            ):
                parts.append(f"{value:,} {name.replace('_', ' ')}")
        parts.append(f"{len(self.facts.get('classes', ())):,} classes")
        return "; ".join([*parts, *filter(None, [self.left_out.summary()])])


def mask_field(classes: int) -> MaskField:
    """The smallest field for labels of so many classes and the one of ignored pixels."""
    return MaskField("uint8" if classes <= IGNORED else "uint16")


def no_class(classes: int) -> int:
    """The label of pixels that belong to no class, in a mask of so many classes: 255, or 65,535."""
    return IGNORED if classes <= IGNORED else 65535


def check_size(stated: tuple[int, int] | None, found: tuple[int, int] | None, what: str) -> None:
    """Refuse targets of an image of another size, which would lie in other places than they should.

    Raises
    ------
    SourceError
    """
    if stated is not None and found is not None and stated != found:
        raise SourceError(
            f"the image is {found[0]}x{found[1]} pixels, but {what} {stated[0]}x{stated[1]}: the image is not the one "
            "that was annotated; leave it out or replace it"
        )


def lies_inside(corners: Sequence[float], size: tuple[int, int] | None) -> bool:
    """Return whether a box (two corners) has an area within an image of (width, height); True if that is not known."""
    if size is None:
        return True
    left, top, right, bottom = corners
    return min(right, size[0]) > max(left, 0) and min(bottom, size[1]) > max(top, 0)


def fitted_boxes(
    boxes: npt.NDArray[np.float32], size: tuple[int, int] | None, image: RGBImageField
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Clip boxes to their image, scale them as the field scales the image, and say which have an area.

    Parameters
    ----------
    boxes : ndarray of float32, shape (n, 4)
        Two corners, in pixels of the image.
    size : (width, height) or None
        Of the image in its file.
    image : RGBImageField

    Returns
    -------
    boxes : ndarray of float32, shape (n, 4)
    kept : ndarray of bool, shape (n,)
    """
    out = boxes.astype(np.float64).reshape(-1, 4)
    if size is not None:
        out = np.clip(out, 0, np.array([*size, *size], np.float64))
        stored = stored_size(*size, image)
        out *= np.array([stored[0] / size[0], stored[1] / size[1]] * 2)
    kept = (out[:, 2] > out[:, 0]) & (out[:, 3] > out[:, 1])
    return out.astype(np.float32), np.asarray(kept, bool)
