"""Fields of bytes whose descriptor says what kind of value the bytes are."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ffprep.errors import CorruptError, OptionError
from ffprep.fields.base import ARGUMENTS_SIZE
from ffprep.fields.bytes import BytesField

if TYPE_CHECKING:
    from typing_extensions import Self


class MarkedField(BytesField):
    """A field of bytes whose arguments are its `mark` and the text of its own parameters.

    Class attributes
    ----------------
    parameters : str
        What that text says, for errors.
    """

    parameters: ClassVar[str]

    @abstractmethod
    def to_text(self) -> str:
        """Return the field's parameters as ASCII text."""

    @classmethod
    @abstractmethod
    def from_text(cls, text: str) -> Self:
        """Rebuild the field from what `to_text` returns.

        Raises
        ------
        ValueError, TypeError, OptionError
            It is not that.
        """

    def to_binary(self) -> bytes:
        return (self.mark + self.to_text().encode("ascii")).ljust(ARGUMENTS_SIZE, b"\0")

    @classmethod
    def from_marked(cls, arguments: bytes) -> Self:
        """Rebuild the field from what follows the mark.

        Raises
        ------
        CorruptError
            It is not what `to_binary` writes.
        """
        try:
            return cls.from_text(arguments.rstrip(b"\0").decode("ascii"))
        except (ValueError, TypeError, RecursionError, OptionError) as error:
            raise CorruptError(f"{cls.parameters} cannot be read ({error})") from error
