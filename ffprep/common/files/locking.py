"""Locks on files that one process at a time may write, also where the file system has no locks; and shared claims."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ffprep.common.closing import call_when_gone, close_descriptors
from ffprep.common.files.outputs import check_own
from ffprep.errors import OptionError

_FLOCK = struct.Struct("hhqqi4x")
_USABLE = sys.platform == "linux" and struct.calcsize("P") == 8 and hasattr(fcntl, "F_OFD_SETLK")
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


class LockedError(OptionError):
    """Another process has a file locked."""


class Lock:
    """A lock that this process has.

    Parameters
    ----------
    path : Path, optional
        The lock file, where there is one.
    content : str
        What it contains.
    """

    def __init__(self, path: Path | None = None, content: str = "") -> None:
        self._path = path
        self._content = content

    def release(self) -> None:
        """Remove the lock file. The system's own lock ends when the descriptor is closed."""
        if self._path is not None and _target(self._path) == self._content:
            self._path.unlink(missing_ok=True)


def lock(descriptor: int, path: Path, named: Path | None = None) -> Lock:
    """Lock an open file for this process, without waiting.

    The system's lock ends with the descriptor, or with the process. File systems without it (Lustre and NFS with some
    mount options, some FUSE) get a lock file beside the file instead: ``PATH.lock``, a symbolic link whose target names
    host, process and the time at which that started. One whose process has ended is taken over. Where neither is
    possible, a warning says so.

    Parameters
    ----------
    descriptor : int
        The open file, writable.
    path : Path
        Where it is.
    named : Path, optional
        The file that messages name; by default `path`.

    Returns
    -------
    Lock
        To be released before the descriptor is closed.

    Raises
    ------
    LockedError
        Another process has it locked.
    """
    named = path if named is None else named
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise LockedError(f"{named}: another process is writing this file; wait for it") from None
        return _lock_file(path.with_name(path.name + ".lock"), named, error)
    return Lock()


def open_locked(path: Path, named: Path | None = None) -> tuple[int, Lock]:
    """Open a file for reading and writing, created if it is missing, and lock it; what is in it stays.

    Parameters
    ----------
    path, named : Path
        As in `lock`.

    Returns
    -------
    descriptor : int
    lock : Lock

    Raises
    ------
    OptionError
        Another process has it locked (`LockedError`), or it is no file.
    OSError
        It cannot be opened.
    """
    while True:
        check_own(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            held = lock(descriptor, path, named)
            if _is_at(descriptor, path):
                return descriptor, held
        except BaseException:
            os.close(descriptor)
            raise
        held.release()
        os.close(descriptor)  # whoever had it locked finished in between, and gave it its final name


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock file.

    Attributes
    ----------
    host : str
        Name of the machine, and the namespace of its process numbers, which containers have of their own.
    boot : str
        Which start of the machine it is.
    pid : int
    started : str
        When the process started, since numbers of processes are used again.
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Holder:
        return cls(_host(), boot_of_machine(), os.getpid(), _start_of(os.getpid()) or "")

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        parts = text.split("|")
        if len(parts) != 4 or not parts[2].isascii() or not parts[2].isdigit() or len(parts[2]) > 18:
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    def text(self) -> str:
        """What `parse` reads."""
        return "|".join((self.host, self.boot, str(self.pid), self.started))

    def ended(self) -> bool:
        """Whether the process is known to have ended; of another machine's it is not."""
        if self.host != _host():
            return False
        return self.boot != boot_of_machine() or _start_of(self.pid) != self.started


def _lock_file(path: Path, named: Path, reason: OSError) -> Lock:
    own = Holder.this_process().text()
    for _ in range(8):
        try:
            path.symlink_to(own)
            return Lock(path, own)
        except FileExistsError:
            found = _target(path)
        except OSError:
            warnings.warn(
                f"{named}: this file system has no locks ({reason.strerror}); make sure that no other process writes "
                "this file",
                RuntimeWarning,
                stacklevel=3,
            )
            return Lock()
        if found is None:
            continue
        holder = Holder.parse(found)
        if holder is None or not holder.ended():
            who = f" (process {holder.pid} on {holder.host})" if holder is not None else ""
            raise LockedError(
                f"{named}: another process is writing this file{who}; wait for it, or delete {path} if it has ended"
            )
        _take_away(path, found)
    raise OptionError(f"{named}: other processes keep taking the lock {path}; wait for them")


def _take_away(path: Path, found: str) -> None:
    """Remove the lock of a process that has ended, unless another process has replaced it meanwhile."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.rename(aside)
        if _target(aside) != found and not os.path.lexists(path):
            aside.rename(path)
        else:
            aside.unlink()


def _target(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return None
    except OSError:  # no link: not made here, so its holder is not known
        return ""


def _host() -> str:
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{socket.gethostname()}:{namespace}"


def boot_of_machine() -> str:
    """Which start of the machine this is; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's ticks; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return stat.rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""  # a system without /proc


class Claims:
    """Claims on numbers such as those of a file's pages, which processes of a machine share.

    Each is a shared lock on the byte of that number of a file, whose contents do not matter. The system drops locks
    with the process that has them, so nothing is left after a crash. Where it or the file system has no such locks,
    nobody learns of the others.

    Parameters
    ----------
    path : path
        The file. It has to be there, and nothing is written to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        call_when_gone(self, close_descriptors, (self._descriptor,))

    def claim(self, number: int) -> None:
        """Claim a number; once is as good as twice."""
        with contextlib.suppress(OSError):
            self._lock(fcntl.F_RDLCK, number)

    def give_up(self, number: int) -> bool:
        """Give a number up; return whether nobody else claims it, so far as that can be told."""
        try:
            self._lock(fcntl.F_UNLCK, number)
            return self._free(number)
        except OSError:
            return True

    def _lock(self, kind: int, number: int) -> None:
        for command in _commands("F_OFD_SETLK"):
            fcntl.fcntl(self._descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0))

    def _free(self, number: int) -> bool:
        for command in _commands("F_OFD_GETLK"):
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
            return bool(_FLOCK.unpack(fcntl.fcntl(self._descriptor, command, asked))[0] == fcntl.F_UNLCK)
        return True


def _commands(name: str) -> Iterator[int]:
    if _USABLE:
        yield getattr(fcntl, name)
