"""Locks on addresses and state files: one aggregator at a time has each."""

from __future__ import annotations

import errno
import os
import stat
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Dict, FrozenSet, NamedTuple, Optional, Tuple

from tapes.distributed import files
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.processes import ancestors, is_alive, processes, started
from tapes.distributed.rendezvous import Rendezvous
from tapes.errors import ReporterError
from tapes.reporting.trouble import remedy

if TYPE_CHECKING:
    from tapes.distributed.addresses import Address

_LOCK = struct.Struct("hhqqi4x")
"""The `struct flock` of Linux on 64 bits: type, whence, start, length and process. See fcntl(2)."""


_EXHAUSTED = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, getattr(errno, "EDQUOT", errno.ENOSPC))


class Program(NamedTuple):
    """The program that an aggregator belongs to, and with which it ends."""

    pid: int
    since: int
    ancestors: FrozenSet[int]
    """The processes that have started it, directly or indirectly."""
    aggregators: FrozenSet[int] = frozenset()
    """The aggregator processes that it has forked so far."""

    @classmethod
    def here(cls, aggregators: FrozenSet[int] = frozenset()) -> Program:
        """Return the program of this process."""
        return cls(os.getpid(), started(), ancestors(), aggregators)


class Holder(NamedTuple):
    """The holder of a lock, as its file says."""

    pid: int
    program: int
    """The pid of its program; 0 if it is leaving."""
    since: int
    processes: str

    @property
    def is_leaving(self) -> bool:
        """Whether it says that it is leaving, or its program is gone."""
        return not self.program or (self._is_near and is_alive(self.program, self.since) is False)

    @property
    def goes_on(self) -> bool:
        """Whether its program is known to be alive. That is not known for other containers and users."""
        return self._is_near and is_alive(self.program, self.since) is True

    def belongs_to(self, program: Program) -> bool:
        """Whether it is an aggregator of `program`, or of one that started `program`."""
        return self._is_near and self.program in (program.pid, *program.ancestors) and not self.is_leaving

    def is_left_over(self, program: Program) -> bool:
        """Whether it was forked by the process of `program` before that process executed another program."""
        ours = (program.pid, *program.aggregators)
        return self.belongs_to(program) and self.program == program.pid and self.pid not in ours

    @property
    def stands_alone(self) -> bool:
        """Whether it is its own program, in a process that can be looked at from here."""
        return self._is_near and self.pid == self.program

    @property
    def _is_near(self) -> bool:
        """Whether its pids mean the same processes here."""
        return self.processes == processes() != ""


class TakenError(ReporterError):
    """Another process has a lock."""

    def __init__(self, message: str, holder: Optional[Holder]) -> None:
        super().__init__(message)
        self.holder = holder
        """The holder; None if the file does not name it yet."""


class FileLock:
    """A lock on a file of its own, which one process at a time holds until it releases it or ends."""

    _held: ClassVar[Dict[str, int]] = {}  # the pid by path: a process can lock its own file again

    def __init__(self, path: str, taken: str, program: Optional[Program] = None) -> None:
        """Take the lock for `program`, by default that of this process.

        Raises TakenError if another process holds it, ReporterError if this one does, and OSError if the file cannot be
        created. `taken` is the message of the error, with `{who}` for the holder.
        """
        program = program or Program.here()
        self._path = path
        self._released = False
        self.is_first = not os.path.lexists(path)
        """Whether the file is new: no earlier holder has left it."""
        self._file = self._locked(taken)
        self._held[path] = os.getpid()
        self._write(program.pid, program.since)

    @classmethod
    def is_mine(cls, path: str) -> bool:
        """Whether this process holds the lock on a file."""
        return cls._held.get(path) == os.getpid()

    def leave(self) -> None:
        """Tell those who wait for it that it will be released soon."""
        self._write(0, 0)

    def release(self, *others: str, leave: bool = False) -> None:
        """Release the lock. Before that, while nobody else can use them, remove its file and the files `others`.

        With `leave` its file stays, which tells the next holder that there was one before.
        """
        if self._released or self._held.get(self._path) != os.getpid():
            return
        self._released = True
        del self._held[self._path]
        for path in others if leave else (*others, self._path):
            with suppress(OSError):
                os.unlink(path)
        os.close(self._file)

    def _write(self, program: int, since: int) -> None:
        line = f"{os.getpid()} {program} {since} {processes()}\n".encode()
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, line)
        os.truncate(self._file, len(line))

    def _locked(self, taken: str) -> int:
        import fcntl  # missing on systems without ipc:// addresses

        while True:
            if self._held.get(self._path) == os.getpid():
                raise ReporterError(taken.replace("{who}", f" (process {os.getpid()})"))
            file = files.opened(self._path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = _holder(os.read(file, 200))
                os.close(file)
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                who = f" (process {holder.pid})" if holder is not None else ""
                raise TakenError(taken.replace("{who}", who), holder) from None
            # A holder removes the file when it releases it: make sure that we locked the file that others will find.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.lstat(self._path)):
                    return file
            os.close(file)


class Claim:
    """The claim of one aggregator to an `ipc://` address, held until it is released or the process ends.

    It is a lock on a file beside the socket. Without it a second `bind` on the address would succeed, and cut off the
    first.
    """

    def __init__(self, address: Address, program: Optional[Program] = None) -> None:
        """Claim the address, and remove the socket that a killed aggregator has left.

        Raises TakenError if another process has an aggregator there, ReporterError if this process has one or the path
        is not a socket, and OSError if the lock file cannot be created.
        """
        self._lock: Optional[FileLock] = None
        self.standby_lock: Optional[FileLock] = None
        """The lock of the one that stands by, which was held while waiting for the address."""
        self.is_first = True
        """False if an aggregator was killed here, or left workers behind that go on publishing."""
        if address.path is None:
            return
        self._socket = address.path
        try:
            taken = f"There is an aggregator{{who}} at {address} already: stop it, or give another socket_addr."
            self._lock = FileLock(Rendezvous(address.path).lock, taken, program)
            self.is_first = self._lock.is_first
        except OSError as error:
            if isinstance(error, files.UnfitFileError):
                what_to_do = "Remove it"
            elif error.errno in _EXHAUSTED:
                what_to_do = remedy(error).rstrip(".")
            else:
                what_to_do = "Choose a folder that it may write to"
            raise OSError(
                error.errno,
                f"An aggregator cannot listen at {address}: {address.path}.lock: {error.strerror}. {what_to_do}",
            ) from error
        try:
            if _removed_socket(address.path):
                self.is_first = False
        except BaseException:
            self._lock.release()
            raise
        _warn_of_open_folder(address.path)

    @property
    def has_successor(self) -> bool:
        """Whether another aggregator stands by."""
        return self._lock is not None and has_successor(self._socket)

    def settle(self) -> None:
        """Tell workers and others that the aggregator no longer stands by, but works."""
        if self.standby_lock is not None:
            self.standby_lock.release()
            self.standby_lock = None

    def leave(self) -> None:
        """Tell those who wait for the address that it will be released soon."""
        if self._lock is not None:
            self._lock.leave()

    def release(self, *, is_missed: bool = False) -> None:
        """Release the address. `is_missed` says that workers go on publishing to it."""
        self.settle()
        if self._lock is not None:
            self._lock.release(self._socket, leave=is_missed)


def has_successor(path: str) -> bool:
    """Whether an aggregator stands by for the socket at `path`, or has claimed it and is about to listen."""
    if not os.path.lexists(standby_lock_path(path)):
        return False
    try:
        FileLock(standby_lock_path(path), "").release()
    except ReporterError:
        return True
    except OSError:  # the file is not one of ours
        pass
    return False


def is_held(path: str) -> bool:
    """Whether another process holds the lock file at `path`."""
    if FileLock.is_mine(path):
        return False  # to close the file would release the lock
    try:
        file = files.opened(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _is_locked(file)
    finally:
        os.close(file)


def _is_locked(file: int) -> bool:
    """Whether another process has a lock on an open file.

    Where that is possible without taking the lock, it is not taken: a process that starts could find it taken then.
    """
    import fcntl  # missing on systems without ipc:// addresses

    if sys.platform == "linux" and struct.calcsize("P") == 8:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return bool(_LOCK.unpack(fcntl.fcntl(file, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK)
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def named_holder(path: str) -> Optional[Tuple[int, int]]:
    """Return the pid of the aggregator whose lock is at `path`, and when it was started; None if unknown.

    For one that belongs to no other program.
    """
    holder = holder_of(path)
    return (holder.pid, holder.since) if holder is not None and holder.stands_alone else None


def holder_of(path: str) -> Optional[Holder]:
    """Return who has last taken the lock file at `path`; None if it cannot be read, or is that of this process."""
    if FileLock.is_mine(path):
        return None  # to close the file would release the lock
    try:
        file = files.opened(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _holder(os.read(file, 200))
    finally:
        os.close(file)


def standby_lock_path(path: str) -> str:
    """Return the path of the lock that an aggregator holds while it stands by for the socket at `path`."""
    return f"{path}.next"


def _holder(content: bytes) -> Optional[Holder]:
    """Read the holder from a lock file; None if it is not written yet."""
    words = content.split(b"\n")[0].decode("ascii", "replace").split(" ")
    if len(words) != 4 or not all(word.isdigit() for word in words[:3]):
        return None
    return Holder(int(words[0]), int(words[1]), int(words[2]), words[3])


def _removed_socket(path: str) -> bool:
    """Remove the socket that an aggregator of this user has left at `path`, and return whether there was one.

    Raises ReporterError if something else is there.
    """
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(status.st_mode):
        what = "a file" if stat.S_ISREG(status.st_mode) else files.kind(status)
        raise ReporterError(f"{path!r} is {what}, and no socket: give another socket_addr, or remove it.")
    if files.is_others(path, status):
        raise ReporterError(
            f"{path!r} is a socket of the user {files.owner(status)}: give another socket_addr, or remove it."
        )
    os.unlink(path)
    return True


def _warn_of_open_folder(path: str) -> None:
    """Log if every user can remove the files in the folder: that cannot forge metrics, but can stop them."""
    folder = os.path.dirname(path)
    mode = os.stat(folder).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "Every user can remove the socket and the lock of the aggregator, because %s has mode %o: chmod +t %s, or "
            "choose another folder.",
            *(folder, stat.S_IMODE(mode), folder),
        )
