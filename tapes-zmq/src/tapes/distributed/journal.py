"""The journal of an aggregator: the frames that were taken in since its state file was written.

    journal: magic "tapes-journal" | version | generation | entries
    entry:   time | length | frame

Appending frames costs far less than writing the whole state each time. Each journal and each state has a generation.
To restore, read the state, then the journals of its generation and of later ones, in order.
"""

from __future__ import annotations

import os
import re
import struct
from contextlib import suppress
from typing import Iterator, List, NamedTuple, Optional, Tuple

from tapes.distributed import files, frames
from tapes.distributed.frames import FrameError

MAGIC = b"tapes-journal"
VERSION = 1

_HEAD = struct.Struct("<13sBQ")
_ENTRY = struct.Struct("<dI")


class Journal:
    """A journal open for writing.

    What is written survives this process, however it ends. It is not synced to disk: if the machine fails, everything
    since the last write of the state may be lost.
    """

    def __init__(self, state: str, generation: int) -> None:
        """Create the journal of a generation of the state file `state`, replacing any old one. Raises OSError."""
        self.size = 0
        """The bytes written so far."""
        self._waiting: List[bytes] = []
        self._file = files.created(_path(state, generation))
        try:
            self._write(_HEAD.pack(MAGIC, VERSION, generation))
        except OSError:
            self.close()
            with suppress(OSError):
                os.unlink(_path(state, generation))
            raise

    def add(self, time: float, message: bytes) -> None:
        """Add a frame that was taken in at `time`. The next `flush()` writes it."""
        self._waiting += (_ENTRY.pack(time, len(message)), message)

    def flush(self) -> None:
        """Write the added frames. On OSError none of them is written, they are lost, and the journal is at its end."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._write(b"".join(waiting))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self.size)  # a partial entry would be read as damage
            raise
        self.size += len(content)


class Past(NamedTuple):
    """The content of a journal."""

    entries: List[Tuple[float, bytes]]
    """The frames, each with the time when it was taken in, by the clock of the aggregator."""
    dropped: int
    """How many bytes at its end are not a valid entry, as after a partial write."""


def read(state: str, generation: int) -> Optional[Past]:
    """Read the journal of a generation. Returns None if there is none. Raises OSError."""
    try:
        with open(files.opened(_path(state, generation), os.O_RDONLY), "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None
    if content[: _HEAD.size] != _HEAD.pack(MAGIC, VERSION, generation):
        return Past([], len(content))
    entries, end = [], _HEAD.size
    for time, message in _entries(content):
        entries.append((time, message))
        end += _ENTRY.size + len(message)
    return Past(entries, len(content) - end)


def _entries(content: bytes) -> Iterator[Tuple[float, bytes]]:
    position = _HEAD.size
    while position + _ENTRY.size <= len(content):
        time, length = _ENTRY.unpack_from(content, position)
        position += _ENTRY.size
        message = content[position : position + length]
        position += length
        try:
            frames.decode(message)  # checks the checksum
        except FrameError:
            return
        if time - time != 0:
            return
        yield time, message


def newest(state: str) -> int:
    """Return the generation of the newest journal; 0 if there is none. Raises OSError."""
    return max(_generations(state), default=0)


def remove(state: str, below: int) -> None:
    """Remove the journals of generations `below` this one. One that cannot be removed stays, and is never read."""
    with suppress(OSError):
        for generation in _generations(state):
            if generation < below:
                os.unlink(_path(state, generation))


def _generations(state: str) -> List[int]:
    folder, name = os.path.split(state)
    pattern = re.compile(re.escape(name) + r"\.journal-(\d{1,19})")
    return [int(match[1]) for match in map(pattern.fullmatch, os.listdir(folder)) if match]


def _path(state: str, generation: int) -> str:
    return f"{state}.journal-{generation}"
