"""Histograms, and durations of timers, as bytes: all slices, or only the changed ones. Pure functions."""

from __future__ import annotations

import math
import struct
from itertools import compress
from typing import Dict, Iterator, List, Optional, Tuple

from tapes.state.buckets import is_key
from tapes.state.counts import MANY, Buckets, Lanes, aligned, in_lanes
from tapes.state.distribution import EMPTY, Distribution, union
from tapes.state.histogram import NEVER, SPAN, HistogramState, Slice
from tapes.state.numbers import LARGEST
from tapes.wire import Reader, WireError

MOST = 1 << 53
"""The most values or timed events. A million a second reach it after 285 years."""

PIECE = 1 << 15
"""The most bytes of slices in one record, unless a single slice is larger. An update with more is split."""

_NARROW = range(1, 0x8000)  # the keys that have lanes
_SLICES = 256  # the most slices in an update of one worker, which has about ten
_ALL_SLICES = 0xFFFE  # the most slices that can be written at once
_PAIR = struct.calcsize("<IQ")

SLICE = struct.Struct("<ddQddddIIIB")
"""The header of a slice."""

_WHOLE, _CLOSED = 1, 2  # flags of a histogram


class HistogramUpdate:
    """An update of a histogram: all slices or the changed ones."""

    __slots__ = ("closed", "is_full", "slices", "through")

    def __init__(self, is_full: bool, through: float, closed: Optional[Distribution], slices: List[Slice]) -> None:
        self.is_full = is_full
        """True if the update holds all slices, False if only the changed ones."""
        self.through = through
        """The start of the last closed slice."""
        self.closed = closed
        """The closed values; None if the receiver has them already."""
        self.slices = slices

    def state(self) -> HistogramState:
        """Return the state of a complete update."""
        through = self.through if self.closed is not None else NEVER
        return HistogramState(self.closed or EMPTY, through, tuple(self.slices))


def written(state: HistogramState, known: Optional[HistogramState]) -> Tuple[int, float, List[bytes]]:
    """Return the flags of a histogram, its `closed_through`, and its slices.

    The closed values, if they have to be sent, come first.
    """
    if len(state.slices) > _ALL_SLICES:
        known, state = None, _with_fewer_slices(state)
    if known is not None and _has_lost_slices(state, known):
        known = None
    slices = list(state.slices) if known is None else _changed(state, known)
    flags = 0 if known is not None else _WHOLE
    if _closes(state, known):
        flags |= _CLOSED
        slices.insert(0, Slice(0.0, 0.0, state.closed))
    return flags, state.closed_through, [_slice(part) for part in slices]


def pieces(state: HistogramState, known: Optional[HistogramState]) -> Iterator[Tuple[int, float, List[bytes]]]:
    """Yield the same as `written` for each piece of a histogram."""
    flags, through, slices = written(state, known)
    piece: List[bytes] = []
    for part in slices:
        if piece and sum(map(len, piece)) + len(part) > PIECE:
            yield flags, through, piece
            flags, piece = 0, []
        piece.append(part)
    yield flags, through, piece


def _closes(state: HistogramState, known: Optional[HistogramState]) -> bool:
    """Return whether to send the closed values. Not if the receiver has all of them from slices."""
    if known is None:
        return bool(state.closed.count)
    if state.closed is known.closed:
        return False
    closed = known.closed.count + sum(p.values.count for p in known.slices if p.start <= state.closed_through)
    return state.closed.count != closed


def _has_lost_slices(state: HistogramState, known: HistogramState) -> bool:
    """Return whether a slice has gone without being closed: those of a worker on another machine may be shifted."""
    starts = {part.start for part in state.slices}
    return any(part.start > state.closed_through and part.start not in starts for part in known.slices)


def _with_fewer_slices(state: HistogramState) -> HistogramState:
    """Return the state with its oldest slices closed, so that the rest can be written."""
    old, young = state.slices[:-_ALL_SLICES], state.slices[-_ALL_SLICES:]
    return HistogramState(union([state.closed, *[part.values for part in old]]), old[-1].start, young)


def _changed(state: HistogramState, known: HistogramState) -> List[Slice]:
    before = {part.start: part for part in known.slices}
    changed = []
    for part in state.slices:
        old = before.get(part.start)
        if old is None or old.values.count != part.values.count or old.end != part.end:
            changed.append(part)
    return changed


def read(reader: Reader, flags: int, through: float, count: int) -> HistogramUpdate:
    """Read the slices of a histogram, after its flags and other fields. Raises WireError if invalid."""
    if flags & ~(_WHOLE | _CLOSED):
        raise WireError(f"A histogram has unknown flags: {flags:#x}.")
    if through != NEVER:
        reader.time(through)
    closed = None
    if flags & _CLOSED:
        if not count:
            raise WireError("A histogram has the flag of closed values, but no such values.")
        start, end, closed = _read_slice(reader)
        if start or end:
            raise WireError(f"The closed values of a histogram are not from {start} to {end}.")
        count -= 1
    if reader.single and count > _SLICES:
        raise WireError(f"A histogram of one worker has {count:,} slices.")
    slices: List[Slice] = []
    before, latest = NEVER, reader.latest
    for _ in range(count):
        start, end, values = _read_slice(reader)
        if not before < start <= end <= start + 2 * SPAN:
            raise WireError(f"A histogram cannot have a slice from {start} to {end} after one from {before}.")
        if start < reader.earliest or end > reader.last:
            raise reader.impossible(end)
        slices.append(Slice(start, end if end <= latest else max(start, latest), values))
        before = start
    return HistogramUpdate(bool(flags & _WHOLE), through, closed, slices)


def _slice(part: Slice) -> bytes:
    values = part.values if part.values.count <= MOST else _scaled(part.values)
    low, lanes, width, others = _split(values.buckets, values.count)
    head = SLICE.pack(
        *(part.start, part.end),
        *(values.count, values.sum, values.deviations, values.minimum, values.maximum),
        *(low, len(lanes) // width, len(others), width),
    )
    if not others:
        return head + lanes
    keys, counts = zip(*others)
    return head + lanes + struct.pack(f"<{len(others)}I{len(others)}Q", *keys, *counts)


def _scaled(values: Distribution) -> Distribution:
    """Return a distribution of too many values, scaled down to the most that can be written."""
    buckets = {key: count * MOST // values.count for key, count in values.buckets.items()}
    buckets = {key: count for key, count in buckets.items() if count}
    count = sum(buckets.values())
    return Distribution(count, values.sum, values.deviations, values.minimum, values.maximum, buckets)


def _split(buckets: Buckets, total: int) -> Tuple[int, bytes, int, List[Tuple[int, int]]]:
    """Return the lowest key with a lane, all lanes, the bytes of each, and the pairs of key and count without one."""
    if total >= MANY - 1:  # lanes could not hold the receiver's sum
        return 0, b"", 1, list(buckets.items())
    if isinstance(buckets, Lanes):
        low, counts = buckets.low, buckets.counts()
        if counts and not counts[0]:
            empty = next(place for place, count in enumerate(counts) if count)
            low, counts = low + 2 * empty, counts[empty:]
        width = _width_of(max(counts, default=0))
        if len(counts) * width > _PAIR * (len(counts) - counts.count(0)) + SLICE.size:
            keys = compress(range(low, low + 2 * len(counts), 2), counts)
            return 0, b"", 1, [*zip(keys, filter(None, counts)), *(buckets.others or {}).items()]
        packed = struct.pack(f"<{len(counts)}{_CODES[width]}", *counts)
        return low, packed, width, list((buckets.others or {}).items())
    found = buckets if isinstance(buckets, dict) else dict(buckets.items())
    others: List[Tuple[int, int]] = []
    if found and (min(found) not in _NARROW or max(found) not in _NARROW):
        others = [pair for pair in found.items() if pair[0] not in _NARROW]
        found = {key: count for key, count in found.items() if key in _NARROW}
    if not found:
        return 0, b"", 1, others
    low = min(found)
    length = ((max(found) - low) >> 1) + 1
    width = _width_of(max(found.values()))
    if length * width > _PAIR * len(found) + SLICE.size:
        return 0, b"", 1, list(buckets.items())
    lanes = [0] * length
    for key, count in found.items():
        lanes[(key - low) >> 1] = count
    return low, bytes(lanes) if width == 1 else struct.pack(f"<{length}{_CODES[width]}", *lanes), width, others


_CODES = {1: "B", 2: "H", 4: "I"}


def _width_of(count: int) -> int:
    """Return how many bytes a count needs."""
    return 1 if count < 1 << 8 else 2 if count < 1 << 16 else 4


def _read_slice(reader: Reader) -> Tuple[float, float, Distribution]:
    """Return the start, the end and the values of the next slice."""
    fields = reader.take(SLICE)
    start, end, count, total, deviations, minimum, maximum, low, length, pairs, width = fields
    if width not in _CODES or low + 2 * length > _NARROW.stop or low % 2:
        raise WireError(f"There cannot be {length} lanes of {width} bytes from {low} on.")
    if not count:
        if length or pairs or total or deviations or (minimum, maximum) != (math.inf, -math.inf):
            raise WireError("A slice with a count of zero has values.")
        return start, end, EMPTY
    if not -LARGEST <= minimum <= maximum <= LARGEST or not abs(total) <= LARGEST or not 0.0 <= deviations <= LARGEST:
        raise WireError(
            f"No values from {minimum} to {maximum} have the sum {total} and squares of deviations of {deviations}."
        )
    lanes = reader.bytes(length * width)
    others = _read_pairs(reader, pairs) if pairs else {}
    if length and any(key in _NARROW for key in others):
        raise WireError("Some buckets have to be lanes.")
    inside = sum(lanes if width == 1 else struct.unpack(f"<{length}{_CODES[width]}", lanes))
    if count > MOST or count != inside + sum(others.values()) or inside >= MANY:
        raise WireError(f"The buckets do not hold {count:,} values.")
    if length:
        begin = aligned(low)
        number = int.from_bytes(lanes, "little") << ((low - begin) >> 1) * 8 * width
        buckets: Buckets = Lanes(begin, number, others or None, width)
    else:
        buckets = in_lanes(others)
    return start, end, Distribution(count, total, deviations, minimum, maximum, buckets)


def _read_pairs(reader: Reader, pairs: int) -> Dict[int, int]:
    keys = struct.unpack(f"<{pairs}I", reader.bytes(pairs * 4))
    counts = struct.unpack(f"<{pairs}Q", reader.bytes(pairs * 8))
    if not all(map(is_key, keys)) or not all(counts) or len(set(keys)) != pairs:
        raise WireError("Some counts have no bucket.")
    return dict(zip(keys, counts))
