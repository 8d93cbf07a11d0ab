"""Counts by bucket, in three forms, and their addition.

A recording metric has a plain dict. Counts that no longer change are packed. To add the counts of many processes, they
become the lanes of one large integer, so that one addition adds all lanes at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from struct import calcsize
from typing import Dict, Iterator, List, Optional, Tuple, Union

from tapes.state.buckets import STEPS

LANE = 4
"""Bytes of a wide lane, in which sums are kept."""

MANY = 1 << 8 * LANE
"""From this many values on, a lane may overflow; then lanes are not used."""

_CODES = {1: "B", 2: "H", 4: "I"}  # struct codes, by the bytes of a lane
_MOST = 0x4000  # the largest number of lanes
# Masks for every other lane: adding only these leaves room for carries.
_ALTERNATE = {width: int.from_bytes((b"\xff" * width + bytes(width)) * (_MOST // 2), "little") for width in (1, 2)}
_ALTERNATE[LANE] = 0  # no carries below `MANY` values

TOGETHER = 256
"""How many numbers with one-byte lanes can be added so that each sum is sure to fit into two bytes."""
_NEGATIVE = 0x8000  # keys from here on belong to negative numbers, or to those beyond single precision
_WITHIN = 2 * STEPS - 1  # the bits that differ between keys of one power of two
_WIDEST = 8192  # lanes; a wider spread is not worth the memory


class PackedBuckets:
    """Buckets that no longer change, in a tenth of the memory of a dict."""

    __slots__ = ("packed",)

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        """The result of `packed`: all keys, all counts, and the index of their format in `_LAYOUTS`."""

    def items(self) -> Iterable[Tuple[int, int]]:
        """Pairs of key and count."""
        key, count = _LAYOUTS[self.packed[-1]]
        numbers = memoryview(self.packed)[:-1]
        end = len(self) * calcsize(key)
        return zip(numbers[:end].cast(key), numbers[end:].cast(count))  # type: ignore[call-overload]  # H, I or Q

    def __len__(self) -> int:
        return len(self.packed) // sum(map(calcsize, _LAYOUTS[self.packed[-1]]))


_LAYOUTS = (("H", "H"), ("H", "Q"), ("I", "Q"))
"""The struct codes of keys and counts."""


def packed(buckets: Buckets) -> bytes:
    """Return buckets as the bytes of `PackedBuckets`."""
    if isinstance(buckets, PackedBuckets):
        return buckets.packed
    plain = buckets if isinstance(buckets, dict) else dict(buckets.items())
    try:
        return _packed(plain, 0)
    except struct.error:  # a key or a count does not fit
        return _packed(plain, 1 if max(plain) < 1 << 16 else 2)


def _packed(buckets: Dict[int, int], layout: int) -> bytes:
    key, count = _LAYOUTS[layout]
    return struct.pack(f"={len(buckets)}{key}{len(buckets)}{count}B", *buckets, *buckets.values(), layout)


class Lanes:
    """Buckets of positive numbers as the lanes of one integer, lowest first; all other buckets are in a dict.

    An addition takes a microsecond, however many lanes there are. Immutable.
    """

    __slots__ = ("lanes", "low", "others", "width")

    def __init__(self, low: int, lanes: int, others: Optional[Dict[int, int]] = None, width: int = LANE) -> None:
        self.low = low
        """The key of the lowest lane. Keys are even, so the next lane has the key `low + 2`. Lanes that begin at a
        power of two (see `aligned`) mostly begin at the same one, and are added without a shift."""
        self.lanes = lanes
        self.others = others
        """The buckets of zero, of negative numbers and of those beyond single precision; None if there are none."""
        self.width = width
        """Bytes of a lane: 1, 2 or 4."""

    def counts(self) -> Tuple[int, ...]:
        """Return the counts of all lanes, the empty ones included."""
        width = self.width
        length = -(-self.lanes.bit_length() // (8 * width))
        return struct.unpack(f"<{length}{_CODES[width]}", self.lanes.to_bytes(length * width, "little"))

    def items(self) -> Iterator[Tuple[int, int]]:
        """Pairs of key and count."""
        for number, count in enumerate(self.counts()):
            if count:
                yield self.low + 2 * number, count
        if self.others:
            yield from self.others.items()

    def __len__(self) -> int:
        return sum(1 for _ in self.items())


Buckets = Union[Mapping[int, int], PackedBuckets, Lanes]
"""Counts by bucket key."""


def aligned(key: int) -> int:
    """Return the key of the largest power of two at or below the bucket `key`."""
    return key & ~_WITHIN


def in_lanes(buckets: Buckets) -> Buckets:
    """Return `buckets` as lanes, or unchanged if there would be too many lanes or a count would not fit."""
    if isinstance(buckets, Lanes):
        return buckets
    inside: List[Tuple[int, int]] = []
    others: Dict[int, int] = {}
    for key, count in buckets.items():
        if count >= MANY:
            return buckets
        if 0 < key < _NEGATIVE:
            inside.append((key, count))
        else:
            others[key] = count
    if not inside:
        return Lanes(0, 0, others or None)
    low, high = aligned(min(inside)[0]), max(inside)[0]
    length = ((high - low) >> 1) + 1
    if length > _WIDEST:
        return buckets
    lanes = [0] * length
    for key, count in inside:
        lanes[(key - low) >> 1] = count
    packed = struct.pack(f"<{length}{_CODES[LANE]}", *lanes)
    return Lanes(low, int.from_bytes(packed, "little"), others or None)


def merged(first: Buckets, second: Buckets) -> Dict[int, int]:
    """Return the buckets of both, as a new dict."""
    if len(first) < len(second):
        first, second = second, first
    total = first.copy() if isinstance(first, dict) else dict(first.items())
    _add(second, total)
    return total


def summed(many: Sequence[Buckets], count: int) -> Buckets:
    """Return the sum of all buckets of `many`, which hold `count` values in total."""
    if count < MANY and set(map(type, many)) == {Lanes}:
        return _lanes_summed(many)  # type: ignore[arg-type]  # the type was just checked
    total = dict(many[0].items())
    for buckets in many[1:]:
        _add(buckets, total)
    return total


def without(total: Buckets, part: Buckets) -> Buckets:
    """Return `total` minus `part`. Raises ValueError if a count of `part` is larger than that of `total`."""
    if isinstance(total, Lanes) and isinstance(part, Lanes):
        others = _taken_out(dict(total.others or {}), part.others or {})
        low = min([each.low for each in (total, part) if each.lanes], default=0)
        lanes = _from(total, low) - _from(part, low)
        # A lane below its part borrows from the next one. Then the lanes add up to more than they should.
        found = Lanes(low, lanes, others or None)
        if lanes < 0 or sum(found.counts()) != sum(total.counts()) - sum(part.counts()):
            raise ValueError("Some buckets hold less than the part to take out.")
        return found
    return _taken_out(dict(total.items()), part)


def _from(lanes: Lanes, low: int) -> int:
    """Return the integer with wide lanes that begin at `low`."""
    return _added([lanes.lanes], lanes.width) << ((lanes.low - low) >> 1) * 8 * LANE if lanes.lanes else 0


def _taken_out(buckets: Dict[int, int], part: Buckets) -> Dict[int, int]:
    for key, count in part.items():
        if count > buckets.get(key, 0):
            raise ValueError(f"The bucket {key} holds less than the part to take out.")
        buckets[key] -= count
    return {key: count for key, count in buckets.items() if count}


def _lanes_summed(many: Sequence[Lanes]) -> Lanes:
    others: Dict[int, int] = {}
    for each in many:
        if each.others:
            _add(each.others, others)
    kinds = {(each.low, each.width) for each in many if each.lanes}
    low = min(kinds, default=(0, 0))[0]
    total = 0
    for start, width in kinds:  # shift each sum, not each number: a shift costs as much as an addition
        added = _added([each.lanes for each in many if each.low == start and each.width == width], width)
        total += added << ((start - low) >> 1) * 8 * LANE if start != low else added
    return Lanes(low, total, others or None)


def _added(numbers: List[int], width: int) -> int:
    """Return the sum of numbers with lanes of `width` bytes, in wide lanes."""
    if width == LANE:
        return numbers[0] if len(numbers) == 1 else sum(numbers)
    alternate = _ALTERNATE[width]
    total = 0
    for start in range(0, len(numbers), TOGETHER):
        part = numbers[start : start + TOGETHER]
        total += _widened(sum(part), sum([number & alternate for number in part]), width)
    return total


def _widened(total: int, even: int, width: int) -> int:
    """Return a sum of numbers with lanes of `width` bytes, in wide lanes.

    `total` is the plain sum, in which lanes overflow into the next ones; `even` is the sum of every other lane.
    """
    if width == LANE:
        return total
    odd = (total - even) >> 8 * width
    length = (max(even.bit_length(), odd.bit_length()) - 1) // (16 * width) + 1
    wide = bytearray(length * 2 * LANE)
    for begin, lanes in ((0, even), (LANE, odd)):
        narrow = lanes.to_bytes(length * 2 * width, "little")
        for place in range(2 * width):
            wide[begin + place :: 2 * LANE] = narrow[place :: 2 * width]
    return int.from_bytes(wide, "little")


class RunningCounts:
    """A running sum of many buckets, in which some are replaced now and then. Not thread-safe.

    Lanes keep their width until `total`.
    """

    __slots__ = ("_others", "_plain", "_sums")

    def __init__(self) -> None:
        # By lowest key, width and group: the plain sum, and the sum of every other lane.
        self._sums: Dict[Tuple[int, int, int], List[int]] = {}
        self._others: Dict[int, int] = {}
        self._plain: Dict[int, int] = {}  # the sum of buckets that are not lanes

    def replace(self, old: Optional[Buckets], new: Optional[Buckets], group: int) -> None:
        """Replace `old`, which was added before, by `new`. A group holds at most `TOGETHER` of them."""
        if isinstance(old, Lanes) and isinstance(new, Lanes):
            width = new.width
            sums = self._sums.get((new.low, width, group))
            alike = old.low == new.low and old.width == width and old.lanes and not old.others and not new.others
            if sums is not None and alike:
                alternate = _ALTERNATE[width]
                sums[0] += new.lanes - old.lanes
                sums[1] += (new.lanes & alternate) - (old.lanes & alternate)
                return
        if new is not None:
            self._count(new, group, 1)
        if old is not None:
            self._count(old, group, -1)

    def _count(self, buckets: Buckets, group: int, sign: int) -> None:
        if not isinstance(buckets, Lanes):
            _count(buckets, self._plain, sign)
            return
        if buckets.others:
            _count(buckets.others, self._others, sign)
        if buckets.lanes:
            key = buckets.low, buckets.width, group
            sums = self._sums.setdefault(key, [0, 0])
            sums[0] += sign * buckets.lanes
            sums[1] += sign * (buckets.lanes & _ALTERNATE[buckets.width])

    def total(self) -> Buckets:
        """Return the sum, which must be of fewer than 2**32 values."""
        many: List[Buckets] = [
            Lanes(low, _widened(total, even, width)) for (low, width, _), (total, even) in self._sums.items()
        ]
        if self._others:
            many.append(Lanes(0, 0, dict(self._others)))
        if self._plain:
            many.append(dict(self._plain))
        return many[0] if len(many) == 1 else summed(many or [{}], 0)


def _count(buckets: Buckets, total: Dict[int, int], sign: int) -> None:
    """Add `buckets` to `total`, or subtract them with a `sign` of -1."""
    for key, count in buckets.items():
        number = total.get(key, 0) + sign * count
        if number:
            total[key] = number
        else:
            total.pop(key, None)


def _add(buckets: Buckets, total: Dict[int, int]) -> None:
    for key, count in buckets.items():
        total[key] = total.get(key, 0) + count
