"""What `Loader.state_dict` saves of an epoch: a few integers."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ffprep.errors import OptionError

STATE_VERSION = 1


@dataclass(frozen=True)
class SavedState:
    """How far an epoch has got, and what it is an epoch of.

    Attributes
    ----------
    epoch : int
    position : int
        Samples handed out so far, over all ranks: the same for any number of workers, batch size and world size.
    seed : int
    samples : int
        Samples in an epoch, over all ranks.
    order : str
        Name of the order.
    parts : tuple of int
        For several files, their sizes and how many samples an epoch takes from each; empty for one file.
    """

    epoch: int
    position: int
    seed: int
    samples: int
    order: str
    parts: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold."""
        state = {"version": STATE_VERSION, **asdict(self), "parts": list(self.parts)}
        if not self.parts:
            del state["parts"]
        return state


def read_state(state: Mapping[str, Any], samples: int, order: str, parts: tuple[int, ...] = ()) -> SavedState:
    """Check that a saved state, as `SavedState.to_dict` made it, fits the loader that is to resume from it.

    Parameters
    ----------
    state : mapping
    samples, order, parts
        Of the loader; see the attributes of `SavedState`.

    Raises
    ------
    OptionError
        The state is of another data set or order.
    """
    try:
        version, epoch, position, seed, theirs = (
            operator.index(state[key]) for key in ("version", "epoch", "position", "seed", "samples")
        )
        their_order = str(state["order"])
        their_parts = tuple(operator.index(count) for count in state.get("parts", ()))
    except (KeyError, TypeError) as error:
        raise OptionError(f"this is no state of a Loader ({error!r}); give what state_dict() returned") from None
    if version != STATE_VERSION:
        raise OptionError(f"the state has version {version}; this ffprep reads version {STATE_VERSION}")
    if theirs != samples or their_order != order:
        raise OptionError(
            f"the state is of {theirs} samples in {their_order} order, this loader has {samples} in {order}"
        )
    if their_parts != parts:
        raise OptionError(
            f"the state is of files or shares of {list(their_parts)} samples, this loader's are {list(parts)}"
        )
    if not 0 <= position <= samples or epoch < 0:
        raise OptionError(f"the state's position {position} is outside its {samples} samples")
    return SavedState(epoch, position, seed, samples, order, parts)
