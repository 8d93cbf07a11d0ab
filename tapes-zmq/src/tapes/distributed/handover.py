"""The last report of a worker that no aggregator has confirmed, in a file for the next aggregator at the address.

So a process can end at once, and loses nothing, whether the aggregator is about to start, held still or gone. The
frames have everything that the worker has counted under one identity, so to take them in twice changes nothing.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from contextlib import suppress
from typing import Iterable, Iterator, List, Optional

from tapes.distributed import files

_LENGTH = struct.Struct("<I")
_MARK = ".last-"
_LARGEST = 1 << 28  # bytes of a file
_MOST = 1_000  # files at an address
_SETTLED = 5 * 10**9  # nanoseconds after a change of a folder in which another one may have the same time


def leave(socket: str, worker: bytes, frames: Iterable[bytes]) -> None:
    """Write the last frames of a worker beside the socket of its aggregator.

    Raises OSError if it cannot, or if there is an obstacle.
    """
    fault = obstacle(socket)
    if fault is not None:
        raise fault
    path = f"{socket}{_MARK}{worker.hex()}"
    temporary = f"{path}.new"
    try:
        with open(files.created(temporary), "wb") as file:
            for frame in frames:
                file.write(_LENGTH.pack(len(frame)) + frame)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


class Left:
    """What workers have left at an address, for the aggregator there. For one thread."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._seen: Optional[int] = None  # when the folder last changed before it was read, in nanoseconds

    def take(self) -> Iterator[List[bytes]]:
        """Yield the frames of each worker that has left some since the last call, as `left` does.

        The folder is only read when it has changed, or did so just before: file systems have coarse clocks.
        """
        try:
            changed = os.stat(os.path.dirname(self._socket)).st_mtime_ns
        except OSError:
            return
        if changed == self._seen:
            return
        self._seen = changed if time.time_ns() - changed > _SETTLED else None
        yield from left(self._socket)


def obstacle(socket: str) -> Optional[OSError]:
    """Return why no frames can be left: there are too many, or the aggregator is another user's, who cannot read them.

    None if nothing speaks against it.
    """
    folder = os.path.dirname(socket)
    try:
        owned = socket if os.path.lexists(socket) else folder
        if files.sharing(socket) is None and files.is_foreign(os.lstat(owned)):
            return OSError(errno.EPERM, "the aggregator is another user's", socket)
    except OSError as error:
        return error
    if len(names(socket)) >= _MOST:
        return OSError(errno.EDQUOT, "there are too many already", folder)
    return None


def left(socket: str) -> Iterator[List[bytes]]:
    """Yield the frames of each worker that has left some, and remove its file once the next is asked for.

    A file that cannot be read is left out; one that is damaged ends where the damage begins.
    """
    for path in names(socket):
        try:
            with open(files.opened(path, os.O_RDONLY), "rb") as file:
                content = file.read(_LARGEST)
        except OSError:
            continue
        yield _frames(content)
        with suppress(OSError):
            os.unlink(path)


def is_left(socket: str) -> bool:
    """Whether a worker has left something that no aggregator has taken in."""
    return bool(names(socket))


def discard(socket: str, older: float) -> None:
    """Remove what was left more than `older` seconds ago, for an aggregator that nobody has succeeded."""
    for path in names(socket):
        with suppress(OSError):
            if time.time() - os.lstat(path).st_mtime > older:
                os.unlink(path)


def names(socket: str) -> List[str]:
    """Return the files that workers have left beside the socket of an aggregator."""
    folder, name = os.path.split(socket)
    try:
        found = os.listdir(folder)
    except OSError:
        return []
    mark = name + _MARK
    return sorted(os.path.join(folder, each) for each in found if each.startswith(mark) and not each.endswith(".new"))


def _frames(content: bytes) -> List[bytes]:
    found, position = [], 0
    while position + _LENGTH.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        start = position + _LENGTH.size
        position = start + length
        if position > len(content):
            break
        found.append(content[start:position])
    return found
