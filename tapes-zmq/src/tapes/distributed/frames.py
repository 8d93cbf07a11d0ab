"""Frames: the messages of a worker, one 0MQ message each. Pure.

    frame:  magic "tapes" | version | flags | worker | session | sequence | time | length | checksum | records
    record: type | length | payload

All numbers are little-endian. `docs/wire.md` has every field. Any other bytes raise FrameError.
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
"""Flag of the last frame of a flush: every change up to its time has been sent."""

LEAVING = 2
"""Flag of the last frame of a worker that stops. The aggregator answers it."""

ENDING = 4
"""Flag of the last frame of a worker whose process ends, which does not come back."""

FLAGS = END | LEAVING | ENDING

LARGEST = 1 << 22
"""The most bytes of a frame. Workers make far smaller ones. Only a slice cannot be cut: it has 3.3 MB if there are
values in all buckets."""

FrameError = WireError
"""Bytes that are not a valid frame."""


class Frame(NamedTuple):
    """One message of a worker."""

    worker: bytes
    """The identity of the worker: 16 bytes."""
    session: int
    """Grows with each new session."""
    sequence: int
    """The number of the frame in the session, from 0."""
    time: float
    """The worker's monotonic clock, in seconds. With the flag END, all that was recorded before it has been sent."""
    flags: int
    body: bytes
    """The records."""

    def records(self) -> Iterator[Tuple[int, int, int]]:
        """Yield the type of each record, and the start and end of its payload in the body. Raises FrameError."""
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
    """Encode a frame."""
    _, session, sequence, time, flags, body = frame
    head = _HEAD.pack(MAGIC, VERSION, flags, frame.worker, session, sequence, time, len(body))
    return head + _CHECKSUM.pack(crc32(body, crc32(head))) + body


def decode(message: bytes) -> Frame:
    """Decode a frame. Raises FrameError, which says what is wrong, for anything else."""
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
        raise FrameError(f"It has unknown flags: {flags:#x}.")
    if not -CLOCK <= time <= CLOCK:
        raise FrameError(f"Its time is {time}, which no monotonic clock shows.")
    return Frame(worker, session, sequence, time, flags, body)


def record(kind: int, payload: bytes) -> bytes:
    """Encode a record."""
    return _RECORD.pack(kind, len(payload)) + payload


def join(records: List[bytes]) -> bytes:
    """Return the body of a frame with these records."""
    return b"".join(records)
