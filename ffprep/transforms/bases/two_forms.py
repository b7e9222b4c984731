"""What FFCV-SSL, a fork of ffcv for self-supervised learning, has under ffcv's or torchvision's names."""

from __future__ import annotations

from typing import Any


class TwoForms:
    """Base of classes whose name stands for something else in FFCV-SSL, which its arguments are known by."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        """Make an object of the class, or of FFCV-SSL's if the arguments are FFCV-SSL's; not in subclasses."""
        made = cls._of_ffcv_ssl(*arguments, **named) if "_of_ffcv_ssl" in vars(cls) else None
        return super().__new__(cls) if made is None else made

    @classmethod
    def _of_ffcv_ssl(cls, *arguments: Any, **named: Any) -> Any:
        """Return what FFCV-SSL makes of these arguments; None if they are ours."""
        return None
