"""The ``ffprep`` command. Its exit status is 0 on success, 1 if the data is bad, and 2 if the command is wrong.

An error is one line on standard error; ``-v`` anywhere on the command line shows where it came from.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

import click

from ffprep._version import __version__
from ffprep.commands import FOLDERS
from ffprep.commands._shared.group import PackageGroup
from ffprep.commands._shared.terminal import printable_output
from ffprep.errors import FfprepError, OptionError

_REMEDIES = {
    errno.ENOSPC: "make room, or take another folder",
    errno.EDQUOT: "make room, or take another folder",
    errno.EFBIG: "take another folder, on a file system that holds larger files",
    errno.EROFS: "take another folder",
    errno.EACCES: "check its permissions, or take another place",
    errno.EPERM: "check its permissions, or take another place",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "allow more open files: ulimit -n",
    errno.EIO: "the disk or the network fails there; take another one",
}
"""What to do about errors of the system."""

INTERRUPTED = 130  # as shells report a program ended by Ctrl-C


class Interrupted(Exception):
    """Ctrl-C with its message, since click would replace a KeyboardInterrupt."""


class CommandLine(PackageGroup):
    """The top-level group, which turns whatever ends a command into an exit status and, for errors, one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted(str(error) or "interrupted") from error

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        given = list(sys.argv[1:] if args is None else args)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for names that are not UTF-8, as on standard error
        verbose = any(word in ("-v", "--verbose") for word in given)
        given = [word for word in given if word not in ("-v", "--verbose")]
        options["standalone_mode"] = False
        options.setdefault("prog_name", "ffprep")
        with printable_output(), _noticed_interrupts() as interrupts:
            try:
                status = super().main(given, *rest, **options)
            except BaseException as error:
                status = _status(error, verbose, bool(interrupts))
        sys.exit(status if isinstance(status, int) else 0)


@contextlib.contextmanager
def _noticed_interrupts() -> Iterator[list[int]]:
    """Note Ctrl-C, which some libraries turn into an error of their own when it comes while they are imported."""
    noticed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield noticed
        return

    def handler(number: int, frame: FrameType | None) -> None:
        noticed.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, handler)
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGINT, before)


def _status(error: BaseException, verbose: bool, interrupted: bool) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # the reader of our output has ended, as "head" does
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if verbose and not isinstance(error, (click.ClickException, Interrupted)):
        traceback.print_exception(error)
    if interrupted and isinstance(error, Exception) and not isinstance(error, (FfprepError, OSError, Interrupted)):
        error = Interrupted("interrupted")
    if isinstance(error, (Interrupted, KeyboardInterrupt, click.Abort)):
        _complain(str(error) or "interrupted")
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and later
            error.show()
            return 2
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "ffprep"
        click.echo(f"{command}: {' '.join(error.format_message().split())} (see --help)", err=True)
        return 2
    if isinstance(error, OptionError):
        _complain(str(error))
        return 2
    if isinstance(error, FfprepError):
        _complain(str(error))
        return 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        remedy = f"; {_REMEDIES[error.errno]}" if error.errno in _REMEDIES else ""
        _complain(f"{where}{error.strerror or error}{remedy}")
        return 1
    if isinstance(error, MemoryError):
        _complain("out of memory")
        return 1
    _complain(f"internal error: {type(error).__name__}: {error}" + ("" if verbose else " (-v shows where)"))
    return 1


def _complain(message: str) -> None:
    click.echo("ffprep: " + " ".join(message.split()), err=True)


@click.group(
    cls=CommandLine,
    package="ffprep.commands",
    folders=FOLDERS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="-v shows where an error came from. Exit status: 0 well, 1 the data is bad, 2 the command is. "
    'Completion of commands and options: eval "$(_FFPREP_COMPLETE=bash_source ffprep)", or zsh_source, fish_source.',
)
@click.version_option(__version__, prog_name="ffprep")
def main() -> None:
    """Data sets to .beton files once, then fast training batches from them."""
