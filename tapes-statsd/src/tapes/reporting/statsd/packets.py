"""Lines packed into packets, by the pipeline of the library `statsd`."""

from __future__ import annotations

from typing import Callable, Iterable

from statsd.client.base import StatsClientBase
from statsd.client.udp import Pipeline


class Packer(StatsClientBase):  # type: ignore[misc]  # the library has no types
    """A client of the library `statsd` that leaves the sending to a function.

    The library writes lines as well. But it has no words for a change with its sign, for tags, and for numbers without
    an exponent, so what it is given here are whole lines.
    """

    def __init__(self, max_packet: int, send: Callable[[str], None]) -> None:
        """Call `send` with one packet after the other, of `max_packet` characters at most. What it raises gets out."""
        self._prefix = None  # it is in the lines already
        self._maxudpsize = max_packet + 1  # the library stays below it
        self._deliver = send

    def pack(self, lines: Iterable[str]) -> None:
        """Send the lines, in their order, in packets of as many as fit. A line that is too long makes one by itself."""
        pipeline = Pipeline(self)
        for line in lines:
            pipeline._after(line)
        pipeline.send()

    def _send(self, data: str) -> None:
        self._deliver(data)
