"""Subsets of a data set for cross-validation and for training with few labels, to be given as ``indices``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ffprep.errors import OptionError

Ids = npt.NDArray[np.int64]
Labels = Sequence[int] | npt.NDArray[np.integer]


def fold_of(labels: Labels, folds: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Deal samples to folds so that each fold has the same share of every class, up to one sample.

    Folds differ in size by one sample at most, too. The result depends on the arguments alone.

    Parameters
    ----------
    labels : sequence of int
        Class of each sample; all the same for folds regardless of classes. ``loader.files.column("label")`` are those
        of a file.
    folds : int
    seed : int

    Returns
    -------
    ndarray of int64, shape (samples,)
        Number of each sample's fold.

    Raises
    ------
    OptionError
        There are fewer than two folds, or more than samples, or a sample has several labels.
    """
    classes = _classes(labels)
    if not 2 <= folds <= len(classes):
        raise OptionError(f"folds is {folds}; give 2 or more, and no more than the {len(classes)} samples")
    order = _by_class(classes, seed)
    out = np.empty(len(classes), np.int64)
    out[order] = np.arange(len(classes)) % folds
    return out


def k_fold(labels: Labels, folds: int, fold: int, seed: int = 0) -> tuple[Ids, Ids]:
    """Return the samples to train with and those to validate with when one fold is left out.

    Parameters
    ----------
    labels, folds, seed
        See `fold_of`.
    fold : int
        The one to validate with, from 0.

    Returns
    -------
    train, validation : ndarray of int64
        In ascending order.

    Raises
    ------
    OptionError
        There is no such fold.
    """
    if not 0 <= fold < folds:
        raise OptionError(f"fold is {fold}; with {folds} folds there are 0 to {folds - 1}")
    chosen = fold_of(labels, folds, seed) == fold
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def stratified(labels: Labels, count: int, seed: int = 0) -> Ids:
    """Draw samples without replacement so that every class keeps its share, such as 10 % of the labels of ImageNet.

    A smaller count with the same seed draws a subset of those that a larger one draws.

    Parameters
    ----------
    labels : sequence of int
        Class of each sample.
    count : int
        How many to draw.
    seed : int

    Returns
    -------
    ndarray of int64, shape (count,)
        In ascending order.

    Raises
    ------
    OptionError
        There are not that many samples, or a sample has several labels.
    """
    classes = _classes(labels)
    if not 0 <= count <= len(classes):
        raise OptionError(f"count is {count}; there are {len(classes)} samples")
    rng = np.random.Generator(np.random.PCG64(seed))
    shuffled = rng.permutation(len(classes))
    _, inverse, sizes = np.unique(classes[shuffled], return_inverse=True, return_counts=True)
    place = np.empty(len(classes), np.int64)
    by_class = np.argsort(inverse, kind="stable")
    place[by_class] = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # The k-th of a class of n comes at (k + 1/2) / n of the way.
    at = (place + 0.5) / sizes[inverse]
    return np.sort(shuffled[np.argsort(at, kind="stable")[:count]])


def _classes(labels: Labels) -> npt.NDArray[np.integer]:
    """Return the class of each sample as an array of one dimension."""
    classes = np.asarray(labels)
    if classes.ndim != 1 and not (classes.ndim == 2 and classes.shape[1] == 1):
        raise OptionError(
            f"labels have the shape {list(classes.shape)}; give one number for each sample, such as its rarest class"
        )
    return classes.reshape(-1)


def _by_class(classes: npt.NDArray[np.integer], seed: int) -> Ids:
    """Return all samples, those of a class together, each class in an order of its own."""
    shuffled = np.random.Generator(np.random.PCG64(seed)).permutation(len(classes))
    return np.asarray(shuffled[np.argsort(classes[shuffled], kind="stable")])
