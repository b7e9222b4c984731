"""What FFCV-SSL, a fork of ffcv for self-supervised learning, has under ffcv's or torchvision's names."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar


class TwoForms:
    """Base of classes whose name stands for something else in FFCV-SSL, which its arguments are known by."""

    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        own = inspect.signature(cls.__init__)
        cls.__signature__ = own.replace(parameters=list(own.parameters.values())[1:])

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        """Make an object of the class, or of FFCV-SSL's if the arguments are FFCV-SSL's; not in subclasses."""
        made = cls._of_ffcv_ssl(*arguments, **named) if "_of_ffcv_ssl" in vars(cls) else None
        return super().__new__(cls) if made is None else made

    @classmethod
    def _of_ffcv_ssl(cls, *arguments: Any, **named: Any) -> Any:
        """Return what FFCV-SSL makes of these arguments; None if they are ours."""
        return None
