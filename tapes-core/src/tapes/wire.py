"""Numbers, strings and times as bytes, as processes send them to each other and aggregators keep them. Pure.

`docs/wire.md` has every field. What cannot be read raises WireError, and so does what no recording can have produced.
"""

from __future__ import annotations

import struct
from typing import Any, Optional, Tuple

from tapes.errors import TapesError
from tapes.state.numbers import LARGEST, saturated
from tapes.state.rates import tick_of

CLOCK = 1e9
"""Seconds that a monotonic clock may show, before or after its zero: 31 years."""

EVER = 10 * CLOCK
"""Seconds before or after zero in which all times are."""

_INTEGER = 129  # bytes of the largest integer: floats reach as far
_LIFE = CLOCK  # seconds before a frame in which all times are that a worker tells
_AHEAD = 10.0  # seconds by which the clock of another machine may be ahead of what is known of it

_U8, _U32, _DOUBLE, _LONG = (struct.Struct(f"<{code}") for code in "BIdq")


class WireError(TapesError):
    """Bytes that are no frame, or say what cannot be."""


class Reader:
    """Takes one thing after the other from a payload. Raises WireError at its end."""

    __slots__ = ("_body", "_end", "earliest", "last", "latest", "position", "single", "tick")

    def __init__(
        self, body: bytes, start: int = 0, end: int = 0, *, now: Optional[float] = None, single: bool = False
    ) -> None:
        """Read from `start` to `end`.

        `now` is the time by the clock of who has written, if that is known. `single` says that it is one process and
        not an aggregator.
        """
        self._body = body
        self._end = end
        self.position = start
        self.single = single
        """Whether it is one process that has written, and not an aggregator."""
        self.earliest = now - _LIFE if single and now is not None else -EVER
        """No time is before this."""
        self.latest = EVER if now is None else now
        """Times after this are taken to be this."""
        self.last = self.latest + _AHEAD
        """No time is after this."""
        # What an aggregator has merged from other machines may be rounded up to the next tick.
        self.tick = tick_of(self.latest) + (not single)
        """No tick is after this."""

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
        """Return the next string, which has `most` bytes or fewer."""
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
        return found  # type: ignore[no-any-return]  # struct does not say what it returns

    def time(self, at: float) -> float:
        """Return `at`, a time that has been read; the latest one there can be, where it is a little after that."""
        if not self.earliest <= at <= self.last:
            raise self.impossible(at)
        return min(at, self.latest)

    def impossible(self, at: float) -> WireError:
        """Return the error for a time that cannot be."""
        return WireError(f"Something was recorded at {at}, which cannot be: its time is {self.latest} now.")

    def finish(self) -> None:
        """Insist on everything having been taken."""
        if self.position != self._end:
            raise WireError(f"A record has {self._end - self.position} bytes too many.")


def number(value: float) -> bytes:
    """Write a number. One beyond the largest is written as that."""
    value = saturated(value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return b"\0" + _LONG.pack(value)
        length = value.bit_length() // 8 + 1
        return b"\2" + _U32.pack(length) + value.to_bytes(length, "little", signed=True)
    return b"\1" + _DOUBLE.pack(value)


def text(content: str) -> bytes:
    """Write a string."""
    encoded = content.encode("utf-8", "surrogatepass")
    return _U32.pack(len(encoded)) + encoded
