"""Where an aggregator is: checked and made absolute as soon as it is given, and claimed by one aggregator at a time."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from contextlib import suppress
from typing import ClassVar, Dict, NamedTuple, Optional

from tapes.distributed import files
from tapes.distributed.unified import LOGGER_NAME
from tapes.errors import ReporterError, ReporterOptionError

DEFAULT = "ipc://tapes_metrics.ipc"
"""Where an aggregator is unless it is told otherwise: a file in the working directory."""

_LONGEST = 107  # bytes of the path of a socket, on Linux; a little less elsewhere
_TCP = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>\d+)")


class Address(NamedTuple):
    """A 0MQ address that has been checked."""

    text: str
    path: Optional[str]
    """The file of an `ipc://` address."""

    def __str__(self) -> str:
        return self.text


def checked(address: object, *, keys: object, insecure: bool) -> Address:
    """Return `address`, `ipc://PATH` or `tcp://HOST:PORT`, with an absolute path.

    Raises ReporterOptionError for anything else, and for a host beyond loopback where there are no `keys`, unless it
    may be `insecure`.
    """
    if not isinstance(address, str):
        raise ReporterOptionError(
            f"socket_addr is a str like 'ipc://metrics.ipc' or 'tcp://10.0.0.1:5550', not {address!r}."
        )
    if address.startswith("ipc://") and len(address) > len("ipc://"):
        path = os.path.abspath(address[len("ipc://") :])
        length = len(os.fsencode(path))
        if length > _LONGEST:
            raise ReporterOptionError(
                f"socket_addr is {address!r}, whose path {path!r} has {length} bytes. The system takes {_LONGEST}: "
                "choose a shorter one, like one in /run or /tmp."
            )
        return Address(f"ipc://{path}", path)
    found = _TCP.fullmatch(address)
    if not found or int(found["port"]) > 65535:
        raise ReporterOptionError(
            f"socket_addr is 'ipc://PATH' or 'tcp://HOST:PORT', not {address!r}. Use tcp:// between hosts only."
        )
    if not keys and not insecure and not _is_loopback(found["host"]):
        raise ReporterOptionError(
            f"socket_addr {address!r} is beyond this host, and nothing would be encrypted or checked there. Make keys "
            "with `python -m tapes.distributed keygen DIR` and give keys=DIR, or say insecure=True."
        )
    return Address(address, None)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


class FileLock:
    """A lock on a file of its own, held until it is released or the process ends, and by one process at a time."""

    _held: ClassVar[Dict[str, int]] = {}  # and by which process: to the one that has it, a lock is no obstacle

    def __init__(self, path: str, taken: str) -> None:
        """Take it. Raises ReporterError if another has it, and OSError if the file cannot be made.

        `taken` is what the error says, with `{who}` for who has it.
        """
        self._path = path
        self._released = False
        self.is_first = not os.path.lexists(path)
        """Whether its file was not there before: nobody has left it."""
        self._file = self._locked(taken)
        self._held[path] = os.getpid()
        os.truncate(self._file, 0)
        os.write(self._file, b"%d\n" % os.getpid())

    def release(self, *others: str, leave: bool = False) -> None:
        """Let others have it, and remove its file, and these other ones while nobody else can have them.

        To `leave` its file there tells whoever takes it next that somebody was here.
        """
        if self._released or self._held.get(self._path) != os.getpid():
            return
        self._released = True
        del self._held[self._path]
        for path in others if leave else (*others, self._path):
            with suppress(OSError):
                os.unlink(path)
        os.close(self._file)

    def _locked(self, taken: str) -> int:
        import fcntl  # not where there are no ipc:// addresses

        while True:
            if self._held.get(self._path) == os.getpid():
                raise ReporterError(taken.replace("{who}", f" (process {os.getpid()})"))
            file = files.opened(self._path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(file, 20).strip()
                os.close(file)
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                who = f" (process {int(holder)})" if holder.isdigit() else ""
                raise ReporterError(taken.replace("{who}", who)) from None
            # Whoever released it has removed the file: what is locked must be what others will find.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.lstat(self._path)):
                    return file
            os.close(file)


class Claim:
    """The right to be the one aggregator at an `ipc://` address, held until it is released or the process ends.

    It is a lock on a file beside the socket. A second `bind` on such an address succeeds and silences the first.
    """

    def __init__(self, address: Address) -> None:
        """Claim the address and remove the socket that an aggregator has left which was killed.

        Raises ReporterError if there is another aggregator, and OSError if the file cannot be made.
        """
        self._lock: Optional[FileLock] = None
        self.is_first = True
        """Whether no aggregator has been here before that was killed, or that workers go on to publish to."""
        if address.path is None:
            return
        self._socket = address.path
        try:
            taken = f"There is an aggregator{{who}} at {address} already: stop it, or give another socket_addr."
            self._lock = FileLock(f"{address.path}.lock", taken)
            self.is_first = self._lock.is_first
        except OSError as error:
            raise OSError(
                error.errno,
                f"An aggregator cannot be at {address}: {address.path}.lock: {error.strerror}. "
                "Remove that file, or choose a folder that the aggregator may write to",
            ) from error
        try:
            if _removed_socket(address.path):
                self.is_first = False
        except BaseException:
            self._lock.release()
            raise

        _warn_of_open_folder(address.path)

    def release(self, *, is_missed: bool = False) -> None:
        """Let others have the address. `is_missed` says that there are workers which go on to publish to it."""
        if self._lock is not None:
            self._lock.release(self._socket, leave=is_missed)


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
    if files.is_foreign(status):
        raise ReporterError(
            f"{path!r} is a socket of the user {files.owner(status)}: give another socket_addr, or remove it."
        )
    os.unlink(path)
    return True


def _warn_of_open_folder(path: str) -> None:
    """Say so if every user can rename what is in the folder: no harm to figures, but an end to all of them."""
    folder = os.path.dirname(path)
    mode = os.stat(folder).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "Every user can remove the socket and the lock of the aggregator, because %s has mode %o: chmod +t %s, or "
            "choose another folder.",
            *(folder, stat.S_IMODE(mode), folder),
        )


def listening(path: str) -> int:
    """Make a socket at `path` that its owner alone can connect to, and return its descriptor. Raises OSError.

    Nobody can connect before it listens, so its mode is right at all times, without the umask of all threads.
    """
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        os.chmod(path, files.PRIVATE)
        made.listen(socket.SOMAXCONN)
        return made.detach()
