"""What every transform is: a declaration that is folded into the workers' pass or else applied to finished batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from ffprep.common.names import NamesKeywords
from ffprep.errors import OptionError
from ffprep.pipeline.form import BatchInfo, ImageForm

T = TypeVar("T")


class Transform(NamesKeywords, ABC):
    """One step of a pipeline.

    Class attributes
    ----------------
    light : bool
        The step only makes a view or touches few bytes, so it may run in the training thread. Other steps run ahead of
        that, in a thread of their own.
    any_device : bool
        It can be applied to batches on any device.
    mixes : bool
        It mixes the images of a batch with one another.

    Attributes
    ----------
    seed : int or None
        Operations of one class and one seed draw alike in all outputs, as in FFCV-SSL. With None, the default, each
        draws by itself.
    """

    light: ClassVar[bool] = False
    any_device: ClassVar[bool] = False
    mixes: ClassVar[bool] = False
    seed: int | None = None

    def __init__(self) -> None:
        pass  # so that the signature is that of a class without options

    def fuse(self, form: ImageForm, stream: int) -> ImageForm | None:
        """Return the form with this step folded in, or None if the step has to be applied to finished batches.

        Parameters
        ----------
        form : ImageForm
            What the workers write without this step.
        stream : int
            Random stream of this step.
        """
        return None

    @abstractmethod
    def apply(self, x: Any, batch: BatchInfo) -> Any:
        """Apply the step to a batch: a numpy array or a torch tensor whose first dimension counts samples."""


def is_tensor(x: Any) -> bool:
    """Return whether x is a torch tensor, without importing torch."""
    return type(x).__module__.partition(".")[0] == "torch" or hasattr(x, "untyped_storage")


def each(x: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to x, or to each member if x is a named tuple, such as ragged data with their lengths."""
    if isinstance(x, tuple) and hasattr(x, "_make"):
        return x._make(function(member) for member in x)
    return function(x)


def probability(value: float, name: str) -> float:
    """Return `value` if it is a probability; messages call it `name`.

    Raises
    ------
    OptionError
        It is not between 0 and 1.
    """
    if not 0.0 <= value <= 1.0:
        raise OptionError(f"{name} is {value}; a probability is between 0 and 1")
    return float(value)
