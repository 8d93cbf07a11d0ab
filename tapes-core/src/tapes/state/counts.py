"""Counts by bucket: the ways in which they are held, and how they are added.

While values come in they are a plain dict. What no longer changes is packed. And where the counts of many processes are
added, they are the lanes of one large integer, which one addition adds all at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from struct import calcsize
from typing import Dict, Iterator, List, Optional, Tuple, Union

from tapes.state.buckets import STEPS

LANE = 4
"""Bytes of a lane that others are added in."""

MANY = 1 << 8 * LANE
"""So many values may be too many for a lane. Then they are held in other ways."""

_CODES = {1: "B", 2: "H", 4: "I"}  # of struct, by the bytes of a lane
_MOST = 0x4000  # lanes that there can be
# Every other lane. To add only these leaves room for what is carried.
_ALTERNATE = {width: int.from_bytes((b"\xff" * width + bytes(width)) * (_MOST // 2), "little") for width in (1, 2)}
_ALTERNATE[LANE] = 0  # nothing is carried, as long as there are not too many values

TOGETHER = 256
"""How many numbers with lanes of a byte can be added whose lanes are sure to fit into two."""
_NEGATIVE = 0x8000  # keys from here on are of negative numbers, or of those beyond single precision
_WITHIN = 2 * STEPS - 1  # what tells the keys of one power of two apart
_WIDEST = 8192  # lanes; what spreads further is not worth the memory


class PackedBuckets:
    """Buckets that no longer change, in a tenth of the memory of a dict."""

    __slots__ = ("packed",)

    def __init__(self, packed: bytes) -> None:
        self.packed = packed
        """What `packed` has returned: all keys, all counts, and the place in `_LAYOUTS` of how they are written."""

    def items(self) -> Iterable[Tuple[int, int]]:
        """Pairs of key and count."""
        key, count = _LAYOUTS[self.packed[-1]]
        numbers = memoryview(self.packed)[:-1]
        end = len(self) * calcsize(key)
        return zip(numbers[:end].cast(key), numbers[end:].cast(count))  # type: ignore[call-overload]  # H, I or Q

    def __len__(self) -> int:
        return len(self.packed) // sum(map(calcsize, _LAYOUTS[self.packed[-1]]))


_LAYOUTS = (("H", "H"), ("H", "Q"), ("I", "Q"))
"""The types of keys and of counts, as the module struct calls them."""


def packed(buckets: Buckets) -> bytes:
    """Return buckets as bytes, of which `PackedBuckets` are made."""
    if isinstance(buckets, PackedBuckets):
        return buckets.packed
    plain = buckets if isinstance(buckets, dict) else dict(buckets.items())
    try:
        return _packed(plain, 0)
    except struct.error:  # they do not fit in
        return _packed(plain, 1 if max(plain) < 1 << 16 else 2)


def _packed(buckets: Dict[int, int], layout: int) -> bytes:
    key, count = _LAYOUTS[layout]
    return struct.pack(f"={len(buckets)}{key}{len(buckets)}{count}B", *buckets, *buckets.values(), layout)


class Lanes:
    """Buckets of positive numbers as the lanes of one integer, lowest first, and what is none of them in a dict.

    They are added in a microsecond, however many there are. Immutable.
    """

    __slots__ = ("lanes", "low", "others", "width")

    def __init__(self, low: int, lanes: int, others: Optional[Dict[int, int]] = None, width: int = LANE) -> None:
        self.low = low
        """The key of the lowest lane. Keys are even, so the next lane is that of `low + 2`. Lanes that begin at a power
        of two (see `aligned`) mostly begin at the same one, and need not be shifted to be added."""
        self.lanes = lanes
        self.others = others
        """Zero, negative numbers, and those beyond single precision; None if there are none."""
        self.width = width
        """Bytes of a lane: 1, 2 or 4."""

    def counts(self) -> Tuple[int, ...]:
        """Return the counts in all lanes, the empty ones included."""
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
    """Return the key of the power of two that the bucket `key` is at or above."""
    return key & ~_WITHIN


def in_lanes(buckets: Buckets) -> Buckets:
    """Return `buckets` as lanes, or as they are where lanes would be too many or too narrow."""
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
    """Return the buckets of all of `many`, which hold `count` values together."""
    if count < MANY and set(map(type, many)) == {Lanes}:
        return _lanes_summed(many)  # type: ignore[arg-type]  # as was just seen
    total = dict(many[0].items())
    for buckets in many[1:]:
        _add(buckets, total)
    return total


def without(total: Buckets, part: Buckets) -> Buckets:
    """Return `total` without what is in `part`. Raises ValueError if not all of that is in it."""
    if isinstance(total, Lanes) and isinstance(part, Lanes):
        others = _taken_out(dict(total.others or {}), part.others or {})
        low = min([each.low for each in (total, part) if each.lanes], default=0)
        lanes = _from(total, low) - _from(part, low)
        # Where a lane is less than its part it borrows from the next one, and then there is more in all lanes together.
        found = Lanes(low, lanes, others or None)
        if lanes < 0 or sum(found.counts()) != sum(total.counts()) - sum(part.counts()):
            raise ValueError("There are buckets that hold less than their part.")
        return found
    return _taken_out(dict(total.items()), part)


def _from(lanes: Lanes, low: int) -> int:
    """Return the number with the wide lanes from `low` on."""
    return _added([lanes.lanes], lanes.width) << ((lanes.low - low) >> 1) * 8 * LANE if lanes.lanes else 0


def _taken_out(buckets: Dict[int, int], part: Buckets) -> Dict[int, int]:
    for key, count in part.items():
        if count > buckets.get(key, 0):
            raise ValueError(f"The bucket {key} holds less than its part.")
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
    for start, width in kinds:  # to shift each by itself would cost as much as to add them
        added = _added([each.lanes for each in many if each.low == start and each.width == width], width)
        total += added << ((start - low) >> 1) * 8 * LANE if start != low else added
    return Lanes(low, total, others or None)


def _added(numbers: List[int], width: int) -> int:
    """Return the sum of numbers with lanes of so many bytes, as one with wide lanes."""
    if width == LANE:
        return numbers[0] if len(numbers) == 1 else sum(numbers)
    alternate = _ALTERNATE[width]
    total = 0
    for start in range(0, len(numbers), TOGETHER):
        part = numbers[start : start + TOGETHER]
        total += _widened(sum(part), sum([number & alternate for number in part]), width)
    return total


def _widened(total: int, even: int, width: int) -> int:
    """Return the sum of numbers with lanes of so many bytes as one with wide lanes.

    `total` is their sum as they are, where lanes run over into the next ones, and `even` that of every other lane.
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
    """The sum of buckets of many, some of which are replaced by others now and then. Not thread-safe.

    Lanes stay as narrow as they came until the sum is asked for.
    """

    __slots__ = ("_apart", "_others", "_sums")

    def __init__(self) -> None:
        # By lowest key, width and group: the sum as it is, and that of every other lane.
        self._sums: Dict[Tuple[int, int, int], List[int]] = {}
        self._others: Dict[int, int] = {}
        self._apart: Dict[int, int] = {}  # of buckets that are not in lanes

    def exchange(self, old: Optional[Buckets], new: Optional[Buckets], group: int) -> None:
        """Put in `new` instead of `old`, which was put in before. There are `TOGETHER` in a group, at the most."""
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
            _count(buckets, self._apart, sign)
            return
        if buckets.others:
            _count(buckets.others, self._others, sign)
        if buckets.lanes:
            key = buckets.low, buckets.width, group
            sums = self._sums.setdefault(key, [0, 0])
            sums[0] += sign * buckets.lanes
            sums[1] += sign * (buckets.lanes & _ALTERNATE[buckets.width])

    def total(self) -> Buckets:
        """Return the sum, if it is of fewer than 2**32 values."""
        many: List[Buckets] = [
            Lanes(low, _widened(total, even, width)) for (low, width, _), (total, even) in self._sums.items()
        ]
        if self._others:
            many.append(Lanes(0, 0, dict(self._others)))
        if self._apart:
            many.append(dict(self._apart))
        return many[0] if len(many) == 1 else summed(many or [{}], 0)


def _count(buckets: Buckets, total: Dict[int, int], sign: int) -> None:
    """Add to `total`, or take from it by a `sign` of -1."""
    for key, count in buckets.items():
        number = total.get(key, 0) + sign * count
        if number:
            total[key] = number
        else:
            total.pop(key, None)


def _add(buckets: Buckets, total: Dict[int, int]) -> None:
    for key, count in buckets.items():
        total[key] = total.get(key, 0) + count
