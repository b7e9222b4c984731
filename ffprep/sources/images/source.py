"""Images with labels and any other fields as samples, and the share of them that is kept for validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError, SourceError
from ffprep.fields import FloatField, RGBImageField
from ffprep.sources.base import Selection
from ffprep.sources.images.columns import LABEL, FieldChoice, field_of, value_of
from ffprep.sources.images.rows import Rows
from ffprep.sources.reading.labelled_texts import Labels
from ffprep.sources.reading.left_out import LeftOut

if TYPE_CHECKING:
    from ffprep.fields import Field


class ImagesSource:
    """Rows of any data set with images. Created by ``open_images``.

    Parameters
    ----------
    rows : Rows
    indices : ndarray of int64, shape (N,)
        The rows that are samples.
    choices : Sequence[FieldChoice]
        The fields; the first one is the image.
    labels : mapping of str to Labels
        By field, the labels of the samples.
    image : RGBImageField
        How images are stored.
    facts : dict
        What the manifest says.
    left_out : LeftOut
        The rows that were left out because they are bad.
    notes : list of str
        What the user should know.
    """

    name = "images"

    def __init__(
        self,
        rows: Rows,
        indices: npt.NDArray[np.int64],
        choices: Sequence[FieldChoice],
        labels: Mapping[str, Labels],
        *,
        image: RGBImageField,
        facts: dict[str, Any],
        left_out: LeftOut,
        notes: list[str],
    ) -> None:
        if not len(indices):
            raise SourceError(f"{rows.label}: not a single image is left; {left_out.summary() or 'see --filter'}")
        self._rows, self._indices, self._choices = rows, indices, list(choices)
        self.labels = labels
        self._image = image
        self.facts = facts
        self.left_out = left_out
        self.notes = notes
        self.fields: Mapping[str, Field] = {
            choice.name: FloatField()
            if choice.name in labels and labels[choice.name].values.dtype.kind == "f"
            else field_of(choice, image)
            for choice in choices
        }

    def __len__(self) -> int:
        return len(self._indices)

    def sample(self, index: int) -> tuple[Any, ...]:
        row = int(self._indices[index])
        return tuple(
            self.labels[choice.name].values[index].item()
            if choice.kind == LABEL
            else value_of(self._rows, choice, row, self._image)
            for choice in self._choices
        )

    def sample_name(self, index: int) -> str:
        return self._rows.row_name(self._choices[0].column, int(self._indices[index]))

    def stamp(self, index: int) -> tuple[int, int] | None:
        """Size in bytes and time in nanoseconds of a sample's own file; None for members of archives."""
        return self._rows.stamp(self._choices[0].column, int(self._indices[index]))

    def field_bytes(self) -> dict[str, int]:
        """Estimate the bytes of all images."""
        choice = self._choices[0]
        return {choice.name: round(self._rows.size(choice.column) * len(self) / max(1, len(self._rows)))}

    def manifest(self) -> dict[str, Any]:
        return self.facts

    def summary(self) -> str:
        """One line about what was found, for the screen."""
        parts = [f"{len(self):,} samples of {self._rows.label}"]
        for choice in self._choices:
            labels = self.labels.get(choice.name)
            what = f"{choice.name}: {choice.kind} of {choice.column}"
            if labels is not None and labels.names:
                what += f", {len(labels.names):,} classes"
            if labels is not None and labels.missing:
                what += f", {labels.missing:,} without a label (-1)"
            parts.append(what)
        if self.facts.get("filtered_out"):
            parts.append(f"{self.facts['filtered_out']:,} rows left out by --filter")
        return "; ".join([*parts, *filter(None, [self.left_out.summary()])])


def train_and_val(source: ImagesSource, share: float, seed: int, limit: int | None) -> tuple[Selection, Selection]:
    """Divide the samples into those for training and a share for validation, each in the order of the source.

    The choice depends on the seed, on the number of samples and, of labelled images, on their labels alone: each class
    gives the same share, up to one sample.

    Parameters
    ----------
    source : ImagesSource
    share : float
        Between 0 and 1.
    seed : int
    limit : int, optional
        Take only this many samples, the first ones.

    Raises
    ------
    OptionError
        One of the two would have no samples.
    """
    count = len(source) if limit is None else min(limit, len(source))
    labels = next((found.values[:count] for found in source.labels.values() if found.values.dtype.kind == "i"), None)
    chosen = chosen_for_val(np.zeros(count, np.int64) if labels is None else labels, share, seed)
    if not 0 < chosen.sum() < count:
        raise OptionError(f"--val-share {share:g} of {count:,} samples leaves nothing for one of the files")
    facts: dict[str, Any] = {"val_share": share, "val_seed": seed, **({} if limit is None else {"limit": limit})}
    return (
        Selection(source, np.nonzero(~chosen)[0], {**facts, "part_of_data": "train"}),
        Selection(source, np.nonzero(chosen)[0], {**facts, "part_of_data": "val"}),
    )


def chosen_for_val(strata: npt.NDArray[np.int64], share: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a share of each stratum at random; all in all, ``round(share * n)``.

    Parameters
    ----------
    strata : ndarray of int64, shape (n,)
    share : float
    seed : int

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    random = np.random.Generator(np.random.Philox(seed))
    order = random.permutation(len(strata))
    _, members, counts = np.unique(strata[order], return_inverse=True, return_counts=True)
    wanted = counts * share
    taken = np.floor(wanted + 1e-9).astype(np.int64)
    missing = round(share * len(strata)) - int(taken.sum())
    if missing > 0:
        turn = random.permutation(len(counts))  # among classes that lack as much
        taken[turn[np.argsort((taken - wanted)[turn], kind="stable")[:missing]]] += 1
    rank = np.empty(len(strata), np.int64)
    by_class = np.argsort(members, kind="stable")
    rank[by_class] = np.arange(len(strata)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(strata), bool)
    chosen[order] = rank < taken[members]
    return chosen
