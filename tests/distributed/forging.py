"""Records with whatever content, well-formed, and the frames that they come in."""

from __future__ import annotations

import struct
from typing import Iterable, Sequence, Tuple, Union

from tapes.distributed import frames
from tapes.distributed.frames import END, Frame
from tapes.state.gauge import MERGES
from tests.distributed.simulated import ELSEWHERE, HERE, NAMES

NEVER = float("-inf")
Number = Union[int, float, bytes]

KINDS = tuple(NAMES)
"""By their codes."""


def frame(
    worker: bytes, *content: bytes, time: float = 1000.0, session: int = 1, sequence: int = 0, flags: int = END
) -> bytes:
    """Return a frame with a right checksum."""
    return frames.encode(Frame(worker, session, sequence, time, flags, b"".join(content)))


def text(content: Union[str, bytes]) -> bytes:
    """Return a string."""
    encoded = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    return struct.pack("<I", len(encoded)) + encoded


def number(value: Number) -> bytes:
    """Return a number, an int in as many bytes as it needs; bytes are taken as they are."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float):
        return b"\1" + struct.pack("<d", value)
    if -(1 << 63) <= value < 1 << 63:
        return b"\0" + struct.pack("<q", value)
    length = value.bit_length() // 8 + 1
    return b"\2" + struct.pack("<I", length) + value.to_bytes(length, "little", signed=True)


def hello(
    *,
    pid: int = 1,
    started: int = 1,
    interval: float = 1.0,
    settles: int = 1,
    host: str = "here",
    machine: str = HERE,
    processes: str = ELSEWHERE,
) -> bytes:
    """Return a hello."""
    content = struct.pack("<IQdB", pid, started, interval, settles) + text(host) + text(machine) + text(processes)
    return frames.record(1, content)


def series(
    kind: str, name: Union[str, bytes], tags: Sequence[Tuple[str, str]] = (), *, place: int = 0, merge: str = "sum"
) -> bytes:
    """Return a series."""
    head = struct.pack("<IBB", place, KINDS.index(kind), MERGES.index(merge))
    pairs = b"".join([text(key) + text(value) for key, value in tags])
    return frames.record(2, head + text(name) + struct.pack("<I", len(tags)) + pairs)


def removed(place: int = 0) -> bytes:
    """Return that a series is removed."""
    return frames.record(3, struct.pack("<I", place))


def facts(
    name: Union[str, bytes], description: Union[str, bytes] = "What it is.", unit: Union[str, bytes] = ""
) -> bytes:
    """Return what is said of a name."""
    return frames.record(4, text(name) + text(description) + text(unit))


def counter(increments: Number, decrements: Number = 0, *, place: int = 0) -> bytes:
    """Return the state of a counter."""
    return frames.record(10, struct.pack("<I", place) + number(increments) + number(decrements))


def gauge(parts: int, at: float, *numbers: Number, place: int = 0) -> bytes:
    """Return the state of a gauge: its sum, minimum, maximum and last value."""
    return frames.record(11, struct.pack("<IId", place, parts, at) + b"".join(map(number, numbers)))


def meter(
    count: Number, current: Number, tick: int, rates: Iterable[float] = (0.0, 0.0, 0.0), *, place: int = 0
) -> bytes:
    """Return the state of a meter."""
    events = number(count) + number(current) + struct.pack("<q3d", tick, *rates)
    return frames.record(12, struct.pack("<I", place) + events)


def part(
    start: float,
    end: float,
    *,
    count: int = 1,
    total: float = 1.0,
    deviations: float = 0.0,
    minimum: float = 1.0,
    maximum: float = 1.0,
    low: int = 0x3F80,
    lanes: bytes = b"\1",
    width: int = 1,
    pairs: Sequence[Tuple[int, int]] = (),
) -> bytes:
    """Return a slice; of one value, 1.0, unless told otherwise."""
    head = struct.pack("<ddQdddd", start, end, count, total, deviations, minimum, maximum)
    shape = struct.pack("<IIIB", low, len(lanes) // max(width, 1), len(pairs), width)
    keys, counts = [key for key, _ in pairs], [count for _, count in pairs]
    return head + shape + lanes + struct.pack(f"<{len(pairs)}I{len(pairs)}Q", *keys, *counts)


def histogram(*parts: bytes, flags: int = 1, through: float = NEVER, place: int = 0) -> bytes:
    """Return the state of a histogram."""
    return frames.record(13, struct.pack("<IBdH", place, flags, through, len(parts)) + b"".join(parts))


def timer(
    count: int,
    current: int,
    tick: int,
    rates: Iterable[float] = (0.0, 0.0, 0.0),
    *parts: bytes,
    flags: int = 1,
    through: float = NEVER,
    place: int = 0,
) -> bytes:
    """Return the state of a timer."""
    head = struct.pack("<IQQq3dBdH", place, count, current, tick, *rates, flags, through, len(parts))
    return frames.record(14, head + b"".join(parts))
