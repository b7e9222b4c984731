"""All errors that ffprep raises on purpose.

::

    FfprepError
    ├── OptionError            the command or an argument is wrong (exit status 2)
    │   ├── MixedSizesError    images differ in size, where all must have one
    │   └── UnknownOptionError a call names an option that there is not
    ├── BetonError             a .beton file cannot be used
    │   ├── CustomFieldError   the class of one of its fields was not named
    │   ├── NotABetonError     the bytes are something else
    │   ├── UnfinishedError    the writer did not finish
    │   ├── TruncatedError     the file is shorter than its own tables say
    │   ├── CorruptError       a table, pointer, name, page or checksum is wrong
    │   └── IndexMismatchError a seek index is damaged or belongs to another file
    ├── JpegError              a JPEG stream cannot be decoded
    ├── DecodeError            a sample of a .beton file cannot be decoded
    ├── SourceError            a data set is not laid out as expected
    └── ConversionError        a sample cannot be converted

A message says what is wrong, where (file, sample, byte) and what to do.
"""

from __future__ import annotations


class FfprepError(Exception):
    """Base class of all errors that ffprep raises on purpose."""


class OptionError(FfprepError, ValueError):
    """A command line or an argument is wrong."""


class MixedSizesError(OptionError, TypeError):
    """Images differ in size, where all must have one. Stock ffcv raises TypeError there."""


class UnknownOptionError(OptionError, TypeError):
    """A call names an option that there is not. Python itself raises TypeError there."""


class BetonError(FfprepError):
    """A ``.beton`` file cannot be used."""


class CustomFieldError(BetonError, ValueError):
    """The file has a field whose class must be named. Stock ffcv raises ValueError there."""


class NotABetonError(BetonError):
    """The file is not a version 2 ``.beton`` file."""


class UnfinishedError(BetonError):
    """The writer of the file did not finish."""


class TruncatedError(BetonError):
    """The file is shorter than its own tables say."""


class CorruptError(BetonError):
    """A table, a pointer, a name, a page or a checksum of the file is wrong."""


class IndexMismatchError(BetonError):
    """A seek index is damaged, or belongs to another ``.beton`` file."""


class JpegError(FfprepError):
    """A JPEG stream cannot be decoded.

    Attributes
    ----------
    status : int
        Status code of the JPEG kernel (``ffprep.jpeg.status``); 0 if the error does not come from the kernel.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class DecodeError(FfprepError):
    """A sample of a ``.beton`` file cannot be decoded."""


class SourceError(FfprepError):
    """A data set is not laid out as expected."""


class ConversionError(FfprepError):
    """A sample cannot be converted."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message or, if it has none, the name of its class."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
