"""Lines packed into packets, and which change ends where in them. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

if TYPE_CHECKING:
    from tapes.reporting.statsd.deliveries import Change


class Packet(NamedTuple):
    """What is sent at once."""

    data: bytes
    """Whole lines: on a stream each ends with a newline, in a datagram newlines stand between them."""
    changes: Tuple[Change, ...]
    """The changes of counters that are in it, in their order."""
    ends: Tuple[int, ...]
    """How many bytes of `data` have to be taken until each of these changes is delivered."""

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
    """Pack lines, in their order, as many into each packet as fit into `max_packet` bytes.

    They come series by series, with the change that the line of a counter tells, or None. A packet is made when the one
    before has been dealt with.

    A line that is too long makes a packet by itself on a stream. A datagram cannot hold it: it goes to `leave_out`.
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
