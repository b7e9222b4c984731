"""ffcv's ``State``: the form of the data that an operation receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class State:
    """Form of the data between two operations.

    Attributes
    ----------
    jit_mode : bool
        Whether numba compiles the operation's code, which then receives numpy arrays.
    device : torch.device
    shape : tuple of int
        Of one sample, without the batch dimension.
    dtype : numpy dtype, or torch dtype
    """

    jit_mode: bool
    device: Any
    shape: tuple[int, ...]
    dtype: Any

    def __post_init__(self) -> None:
        if self.jit_mode and getattr(self.device, "type", "cpu") != "cpu":
            raise AssertionError("Can't be in JIT mode and on the GPU")
        if self.jit_mode and type(self.dtype).__module__ == "torch":
            raise AssertionError("Can't allocate a torch tensor in JIT mode")
