"""Packs lines into packets, and keeps track of where each change ends. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from tapes.reporting.statsd.deliveries import Change


class Packet(NamedTuple):
    """The data of one send."""

    data: bytes
    """Whole lines: on a stream each ends with a newline, in a datagram newlines separate them."""
    changes: Tuple[Change, ...]
    """The changes of counters in it, in order."""
    ends: Tuple[int, ...]
    """For each change, how many bytes of `data` have to be taken to deliver it."""

    def delivered(self, taken: int) -> Tuple[Change, ...]:
        """Return the changes that are delivered with the first `taken` bytes."""
        return self.changes[: bisect_right(self.ends, taken)]


def pack(
    lines: Iterable[Tuple[Sequence[str], Optional[Change]]],
    max_packet: int,
    *,
    is_stream: bool,
    leave_out: Callable[[str], None],
) -> Iterator[Packet]:
    """Pack lines, in order, as many into each packet as fit into `max_packet` bytes.

    They come series by series, with the change for the line of a counter, or None. A packet is made when the caller has
    handled the one before.

    On a stream a line that is too long gets a packet of its own. A datagram cannot hold it: it goes to `leave_out`.
    """
    room = max_packet - is_stream  # for the newline at the end
    texts: List[str] = []
    changes: List[Change] = []
    ends: List[int] = []
    size = 0  # of the texts, with a newline after each
    for of_series, change in lines:
        for text in of_series:
            length = len(text)
            if length > room and not is_stream:
                leave_out(text)
                continue
            if texts and size + length > room:
                yield _packet(texts, changes, ends, is_stream)
                texts, changes, ends, size = [], [], [], 0
            texts.append(text)
            size += length + 1
            if change is not None:
                changes.append(change)
                ends.append(size - 1 + is_stream)
    if texts:
        yield _packet(texts, changes, ends, is_stream)


def _packet(texts: List[str], changes: List[Change], ends: List[int], is_stream: bool) -> Packet:
    data = "\n".join(texts) + "\n" * is_stream
    return Packet(data.encode("ascii"), tuple(changes), tuple(ends))
