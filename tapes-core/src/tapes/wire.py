"""Numbers, strings and times as bytes, for frames and state files. Pure functions.

`docs/wire.md` lists every field. Bytes that cannot be read raise WireError; so do values that no recording can have
produced.
"""

from __future__ import annotations

import struct
from typing import Any, Optional, Tuple

from tapes.errors import TapesError
from tapes.state.meter import tick_of
from tapes.state.numbers import LARGEST, saturated

CLOCK = 1e9
"""The largest time of a monotonic clock, before or after its zero, in seconds: 31 years."""

EVER = 10 * CLOCK
"""The largest of all times, before or after zero, in seconds."""

_INTEGER = 129  # bytes of the largest integer, which reaches as far as floats
_LIFE = CLOCK  # a worker's times are at most this many seconds older than its frame
_AHEAD = 10.0  # seconds by which the clock of another machine may be ahead of the estimate here

_U8, _U32, _DOUBLE, _LONG = (struct.Struct(f"<{code}") for code in "BIdq")


class WireError(TapesError):
    """Bytes that are not a valid frame, or hold impossible values."""


class Reader:
    """Reads the values of a payload one after the other. Raises WireError at its end."""

    __slots__ = ("_body", "_end", "earliest", "last", "latest", "position", "single", "tick")

    def __init__(
        self, body: bytes, start: int = 0, end: int = 0, *, now: Optional[float] = None, single: bool = False
    ) -> None:
        """Read from `start` to `end`.

        `now` is the time by the writer's clock, if known. `single` is True if the writer is one process, not an
        aggregator.
        """
        self._body = body
        self._end = end
        self.position = start
        self.single = single
        """True if the writer is one process, not an aggregator."""
        self.earliest = now - _LIFE if single and now is not None else -EVER
        """The earliest valid time."""
        self.latest = EVER if now is None else now
        """Valid times after this one are replaced by it."""
        self.last = self.latest + _AHEAD
        """The latest valid time."""
        # Ticks that an aggregator has merged from other machines may be rounded up to the next one.
        self.tick = tick_of(self.latest) + (not single)
        """Later ticks are replaced by this one."""

    def go(self, start: int, end: int) -> None:
        """Read from `start` to `end` next."""
        self.position = start
        self._end = end

    def take(self, layout: struct.Struct) -> Tuple[Any, ...]:
        """Return the next values of this layout."""
        start = self.position
        self.position = end = start + layout.size
        if end > self._end:
            raise WireError("A record is too short.")
        return layout.unpack_from(self._body, start)

    def bytes(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        start = self.position
        self.position = end = start + length
        if end > self._end:
            raise WireError("A record is too short.")
        return self._body[start:end]

    def text(self, most: int) -> str:
        """Return the next string, of at most `most` bytes."""
        (length,) = self.take(_U32)
        if length > most:
            raise WireError(f"A string has {length:,} bytes, more than {most:,}.")
        try:
            return self.bytes(length).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise WireError(f"A string is not UTF-8: {error}.") from None

    def number(self) -> float:
        """Return the next number: an int or a float, as it was written."""
        (tag,) = self.take(_U8)
        if tag == 0:
            return int(self.take(_LONG)[0])
        if tag == 1:
            (found,) = self.take(_DOUBLE)
        elif tag == 2:
            (length,) = self.take(_U32)
            if length > _INTEGER:
                raise WireError(f"An integer has {length:,} bytes, more than {_INTEGER}.")
            found = int.from_bytes(self.bytes(length), "little", signed=True)
        else:
            raise WireError(f"There is no number of type {tag}.")
        if not -LARGEST <= found <= LARGEST:
            raise WireError("A number is not finite, or is larger than floats are.")
        return found  # type: ignore[no-any-return]  # struct's results have no types

    def time(self, at: float) -> float:
        """Return `at`, a time from the payload, but at most `latest`. Raises WireError if it is not valid."""
        if not self.earliest <= at <= self.last:
            raise self.impossible(at)
        return min(at, self.latest)

    def impossible(self, at: float) -> WireError:
        """Return the error for an impossible time."""
        return WireError(f"A record has the time {at}, which cannot be: the clock shows {self.latest} now.")

    def finish(self) -> None:
        """Raise WireError unless everything has been read."""
        if self.position != self._end:
            raise WireError(f"A record has {self._end - self.position} bytes too many.")


def number(value: float) -> bytes:
    """Write a number, saturated at the largest one."""
    value = saturated(value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return b"\0" + _LONG.pack(value)
        length = value.bit_length() // 8 + 1
        return b"\2" + _U32.pack(length) + value.to_bytes(length, "little", signed=True)
    return b"\1" + _DOUBLE.pack(value)


def text(content: str) -> bytes:
    """Write a string."""
    return framed(content.encode("utf-8", "surrogatepass"))


def framed(content: bytes) -> bytes:
    """Write bytes, after their number."""
    return _U32.pack(len(content)) + content
