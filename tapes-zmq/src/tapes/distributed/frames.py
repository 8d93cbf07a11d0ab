"""Frames: what a worker sends, one 0MQ message each. Pure.

    frame:  magic "tapes" | version | flags | worker | session | sequence | time | length | checksum | records
    record: type | length | payload

All numbers are little-endian. `docs/wire.md` has every field. What is not exactly that raises FrameError.
"""

from __future__ import annotations

import struct
from typing import Iterator, List, NamedTuple, Tuple
from zlib import crc32

from tapes.wire import CLOCK, WireError

MAGIC = b"tapes"
VERSION = 1

_HEAD = struct.Struct("<5sBBx16sQIdI")
_CHECKSUM = struct.Struct("<I")
_RECORD = struct.Struct("<BI")
_BODY = _HEAD.size + _CHECKSUM.size

END = 1
"""Flag of the last frame of a flush: everything that had changed by its time has been sent."""

LEAVING = 2
"""Flag of the last frame of a worker that stops. It is answered."""

ENDING = 4
"""Flag of the last frame of a worker whose process ends: it does not come back."""

FLAGS = END | LEAVING | ENDING

LARGEST = 1 << 22
"""Bytes that a frame may have. Workers cut far earlier: all that they cannot cut is a slice, which has 3.3 MB if there
are values in all buckets."""

FrameError = WireError
"""Bytes that are no frame, or say what cannot be."""


class Frame(NamedTuple):
    """One message of a worker."""

    worker: bytes
    """What identifies the worker: 16 bytes."""
    session: int
    """Grows each time that it begins anew to send everything."""
    sequence: int
    """Counts the frames of the session, from 0."""
    time: float
    """The worker's monotonic clock: all that was recorded before is in what it has sent, if the frame is an END."""
    flags: int
    body: bytes
    """The records."""

    def records(self) -> Iterator[Tuple[int, int, int]]:
        """Yield the type of each record, and where its payload starts and ends in the body. Raises FrameError."""
        body = self.body
        position, size = 0, len(body)
        while position < size:
            if position + _RECORD.size > size:
                raise FrameError(f"A record is cut off at byte {position} of {size}.")
            kind, length = _RECORD.unpack_from(body, position)
            start = position + _RECORD.size
            position = start + length
            if position > size:
                raise FrameError(f"A record of {length} bytes ends beyond its frame, which has {size}.")
            yield kind, start, position


def encode(frame: Frame) -> bytes:
    """Write a frame."""
    _, session, sequence, time, flags, body = frame
    head = _HEAD.pack(MAGIC, VERSION, flags, frame.worker, session, sequence, time, len(body))
    return head + _CHECKSUM.pack(crc32(body, crc32(head))) + body


def decode(message: bytes) -> Frame:
    """Read a frame. Raises FrameError, which says what is wrong, for anything else."""
    if len(message) < _BODY:
        raise FrameError(f"{len(message)} bytes are too few for a frame.")
    magic, version, flags, worker, session, sequence, time, length = _HEAD.unpack_from(message)
    if magic != MAGIC:
        raise FrameError(f"It does not begin with {MAGIC!r} but with {magic!r}.")
    if version != VERSION:
        raise FrameError(
            f"It is of version {version}, and this reads version {VERSION}: use the same tapes-zmq on both sides."
        )
    if length != len(message) - _BODY:
        raise FrameError(f"It says that it has {length} bytes of records, and has {len(message) - _BODY}.")
    (checksum,) = _CHECKSUM.unpack_from(message, _HEAD.size)
    body = message[_BODY:]
    if checksum != crc32(body, crc32(message[: _HEAD.size])):
        raise FrameError("Its checksum is wrong.")
    if flags & ~FLAGS:
        raise FrameError(f"It has flags that are not known: {flags:#x}.")
    if not -CLOCK <= time <= CLOCK:
        raise FrameError(f"Its time is {time}, which no monotonic clock shows.")
    return Frame(worker, session, sequence, time, flags, body)


def record(kind: int, payload: bytes) -> bytes:
    """Write a record."""
    return _RECORD.pack(kind, len(payload)) + payload


def join(records: List[bytes]) -> bytes:
    """Write the body of a frame."""
    return b"".join(records)
