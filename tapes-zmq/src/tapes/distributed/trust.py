"""Which users a worker publishes to: its own user, root, and those that it is told to trust."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from typing import FrozenSet, List, NamedTuple, Optional, Union

from tapes.distributed import files
from tapes.errors import ReporterOptionError, quoted

if os.name == "posix":
    import pwd

Trust = Union[str, int, List[Union[str, int]], None]
"""A user, by name or number, or a list of users; None for nobody else."""


class _Everybody(FrozenSet[int]):
    def __contains__(self, user: object) -> bool:
        return True


EVERYBODY: FrozenSet[int] = _Everybody()
"""All users that can listen in a folder, where only trusted ones can enter that."""

_NOBODY = 2**32 - 1  # the number that means no user

_CREDENTIALS = struct.Struct("iII")


class Peer(NamedTuple):
    """The process at the other end of a connection on this host."""

    pid: int
    user: int


def users(trust: object) -> FrozenSet[int]:
    """Return the numbers of the trusted users. Raises ReporterOptionError for an unknown one."""
    if trust is None:
        return frozenset()
    return frozenset(map(_number, trust if isinstance(trust, (list, tuple, set, frozenset)) else [trust]))


def socket_fault(path: str, trusted: FrozenSet[int]) -> Optional[str]:
    """Return why a worker must not publish to the socket at `path`, with the remedy; None if it may."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return "there is none, start it or correct the address"
    except OSError as error:
        return f"{path} cannot be checked, {error.strerror}: let this user enter its folder"
    if not stat.S_ISSOCK(status.st_mode):
        return f"{path} is {files.kind(status) if not stat.S_ISREG(status.st_mode) else 'a file'}: remove it"
    if not _is_trusted(status.st_uid, trusted):
        owner = files.owner(status)
        return f"its socket belongs to the user {owner}: give trust={owner!r} to trust that user"
    if os.access not in os.supports_effective_ids or os.access(path, os.W_OK, effective_ids=True):
        return None
    return (
        f"its socket, of the user {files.owner(status)} with mode {stat.S_IMODE(status.st_mode):o}, is not writable "
        "for this user: give the aggregator a group that both are in, or run both as the same user"
    )


def peer_fault(peer: Optional[Peer], trusted: FrozenSet[int]) -> Optional[str]:
    """Return why a worker must not publish to the other end of a connection, with the remedy; None if it may."""
    if peer is None or _is_trusted(peer.user, trusted):
        return None
    return (
        f"process {peer.pid} that listens there belongs to the user number {peer.user}: give trust={peer.user} "
        "to trust that user"
    )


def peer(descriptor: int) -> Optional[Peer]:
    """Return the process at the other end of a connection; None if unknown, as on other hosts and systems."""
    if not sys.platform.startswith("linux"):
        return None
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family == socket.AF_UNIX:
            content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, user, _ = _CREDENTIALS.unpack(content)
            return Peer(pid, user)
    return None


def _is_trusted(user: int, trusted: FrozenSet[int]) -> bool:
    return os.name != "posix" or user in (os.geteuid(), 0) or user in trusted


def _number(user: object) -> int:
    if isinstance(user, bool) or not isinstance(user, (str, int)):
        raise ReporterOptionError(f"trust is the name or the number of a user, or a list of them, not {quoted(user)}.")
    if isinstance(user, int) and 0 <= user < _NOBODY:
        return user
    try:
        return pwd.getpwnam(str(user)).pw_uid
    except (KeyError, NameError, ValueError):
        raise ReporterOptionError(
            f"trust: this system has no user {quoted(user)}: name one that it has, or give a number."
        ) from None
