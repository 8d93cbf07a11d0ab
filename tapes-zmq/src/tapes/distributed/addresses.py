"""The address of an aggregator: validated, and made absolute, as soon as it is given."""

from __future__ import annotations

import errno
import getpass
import os
import re
import socket
import stat
from typing import NamedTuple, Optional

from tapes.distributed import files
from tapes.distributed.rendezvous import LONGEST
from tapes.errors import ReporterOptionError, quoted
from tapes.reporting import checked as options

DEFAULT = "ipc://tapes_metrics.ipc"
"""The default address: a socket in the working directory."""

_TCP = re.compile(r"tcp://(?P<host>\[[^\]\s\0]+\]|[^:\[\]\s\0]+):(?P<port>[0-9]{1,5})")


class Address(NamedTuple):
    """A validated 0MQ address."""

    text: str
    path: Optional[str]
    """The path of an `ipc://` address; None for `tcp://`."""

    def __str__(self) -> str:
        return self.text


def checked(address: object, *, keys: object, insecure: bool) -> Address:
    """Return `address`, `ipc://PATH` or `tcp://HOST:PORT`, with an absolute path.

    Raises ReporterOptionError for anything else, and for `tcp://` without `keys` unless `insecure` is set: every user
    of the host can reach a port, even on loopback.
    """
    if not isinstance(address, str):
        raise options.refusal("socket_addr", "a str like 'ipc://metrics.ipc' or 'tcp://10.0.0.1:5550'", address)
    options.flag("insecure", insecure)
    if keys is not None:
        options.path("keys", keys)
    if address.startswith("ipc://") and len(address) > len("ipc://") and "\0" not in address:
        path = os.path.abspath(address[len("ipc://") :])
        length = len(os.fsencode(path))
        if length > LONGEST:
            raise ReporterOptionError(
                f"socket_addr is {quoted(address)}, whose path {quoted(path)} has {length} bytes. "
                f"The system takes {LONGEST}: choose a shorter one, like one in /run or /tmp."
            )
        return Address(f"ipc://{path}", path)
    found = _TCP.fullmatch(address)
    if not found or int(found["port"]) > 65535:
        raise ReporterOptionError(
            f"socket_addr is 'ipc://PATH' or 'tcp://HOST:PORT', not {quoted(address)}. Use tcp:// between hosts only."
        )
    if keys is None and not insecure:
        raise ReporterOptionError(
            f"socket_addr {quoted(address)} lets in everyone who reaches the port, other users of this host too, and "
            "encrypts nothing. Make keys with `python -m tapes.distributed keygen DIR` and give keys=DIR, use an "
            "ipc:// address within the host, or say insecure=True."
        )
    return Address(address, None)


class Access(NamedTuple):
    """Who may connect to the socket of an aggregator: the mode and the group of its file."""

    mode: int
    group: Optional[int] = None


PRIVATE = Access(files.PRIVATE)
"""Only the user of the aggregator may connect."""


def access(address: Address, group: object, mode: object) -> Access:
    """Return who may connect to an `ipc://` address, from a group (its name or number) and the mode of the file.

    Without a mode: the owner, and the group if one is given. Raises ReporterOptionError for invalid values.
    """
    if group is None and mode is None:
        return PRIVATE
    if address.path is None:
        raise ReporterOptionError(
            f"group and mode are for the file of an ipc:// address, and not for {address}: leave them out. "
            "Over tcp:// keys say who may connect."
        )
    number = None if group is None else _group(group)
    if mode is None:
        return Access(0o660, number)
    if isinstance(mode, bool) or not isinstance(mode, int) or mode & ~0o777 or mode & 0o600 != 0o600:
        said = oct(mode) if isinstance(mode, int) and not isinstance(mode, bool) else quoted(mode)
        raise ReporterOptionError(f"mode is a file mode that lets the owner read and write, like 0o660, not {said}.")
    for who, bits in (("group", mode >> 3 & 7), ("others", mode & 7)):
        if bits and not bits & 2:
            raise ReporterOptionError(
                f"mode {mode:#o} does not let the {who} write, so nobody could connect: use {0o660:#o} for the group, "
                f"{0o666:#o} for everybody, or leave them out."
            )
    if number is not None and not mode & 0o020:
        raise ReporterOptionError(f"mode {mode:#o} does not let the group {group!r} write: use {0o660:#o}.")
    return Access(mode, number)


def _group(group: object) -> int:
    """Return the number of a group that this process is in. Raises ReporterOptionError."""
    number = group_number(group)
    if os.geteuid() != 0 and number not in (os.getegid(), *os.getgroups()):
        raise ReporterOptionError(
            f"group: the user {getpass.getuser()!r} is not in the group {group!r}, and cannot share a file with it: "
            "add the user to the group, or let root start the aggregator."
        )
    return number


def group_number(group: object) -> int:
    """Return the number of a group, given by name or number. Raises ReporterOptionError if there is none."""
    if isinstance(group, bool) or not isinstance(group, (str, int)):
        raise ReporterOptionError(f"group is the name or the number of a group, not {quoted(group)}.")
    try:
        import grp  # only on POSIX

        known = grp.getgrnam(group) if isinstance(group, str) else grp.getgrgid(group)
    except (ImportError, KeyError, OverflowError, ValueError):
        raise ReporterOptionError(
            f"group: this system has no group {quoted(group)}: make it, or name one that it has."
        ) from None
    return known.gr_gid


def listening(path: str, access: Access) -> int:
    """Create a listening socket at `path`, and return its descriptor. Raises OSError.

    The mode is set before it listens, and nobody can connect earlier. So the umask, which belongs to all threads, stays
    as it is.
    """
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        _grant_access(path, access)
        made.listen(socket.SOMAXCONN)
        return made.detach()


def _grant_access(path: str, access: Access) -> None:
    """Set the group and mode of a socket, but not of a file that somebody has put in its place meanwhile."""
    if not hasattr(os, "O_PATH"):
        _grant_access_by(path, access, follow_symlinks=os.chmod not in os.supports_follow_symlinks)
        return
    file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _grant_access_by(f"/proc/self/fd/{file}", access, follow_symlinks=True)
    except FileNotFoundError:  # there is no /proc
        _grant_access_by(path, access, follow_symlinks=True)
    finally:
        os.close(file)


def _grant_access_by(path: str, access: Access, *, follow_symlinks: bool) -> None:
    status = os.stat(path, follow_symlinks=follow_symlinks)
    if not stat.S_ISSOCK(status.st_mode) or files.is_foreign(status):
        raise OSError(errno.EEXIST, "another process has replaced the socket", path)
    if access.group is not None:
        os.chown(path, -1, access.group, follow_symlinks=follow_symlinks)
    os.chmod(path, access.mode, follow_symlinks=follow_symlinks)
