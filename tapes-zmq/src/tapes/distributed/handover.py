"""The last report of a worker that no aggregator has confirmed, in a file for the next aggregator at the address.

So a process can end at once, and loses nothing, whether the aggregator is about to start, held still or gone. The
frames have everything that the worker has counted under one identity, so to take them in twice changes nothing.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import Iterable, Iterator, List

from tapes.distributed import files

_LENGTH = struct.Struct("<I")
_MARK = ".last-"
_MOST = 1 << 28  # bytes of a file


def leave(socket: str, worker: bytes, frames: Iterable[bytes]) -> None:
    """Write the last frames of a worker beside the socket of its aggregator. Raises OSError."""
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


def left(socket: str) -> Iterator[List[bytes]]:
    """Yield the frames of each worker that has left some, and remove its file once the next is asked for.

    A file that cannot be read is left out; one that is damaged ends where the damage begins.
    """
    folder, name = os.path.split(socket)
    try:
        names = [each for each in os.listdir(folder) if each.startswith(name + _MARK) and not each.endswith(".new")]
    except OSError:
        return
    for each in sorted(names):
        path = os.path.join(folder, each)
        try:
            with open(files.opened(path, os.O_RDONLY), "rb") as file:
                content = file.read(_MOST)
        except OSError:
            continue
        yield _frames(content)
        with suppress(OSError):
            os.unlink(path)


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
