"""Records: the states of metrics as bytes, and what a worker says of itself and of its series. Pure.

`docs/wire.md` has every field. Whatever cannot be read raises FrameError.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from tapes.distributed.frames import FrameError, record
from tapes.state.buckets import is_key
from tapes.state.counter import CounterState
from tapes.state.counts import MANY, Buckets, Lanes, aligned, in_lanes
from tapes.state.distribution import EMPTY, Distribution
from tapes.state.gauge import MERGES, UNSET, GaugeState
from tapes.state.histogram import NEVER, HistogramState, Slice
from tapes.state.rates import MeterState
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from tapes.naming import Tags

HELLO = 1
SERIES = 2
REMOVED = 3
STATE = 10
"""The types of records. Those of states follow on `STATE`, in the order of `KINDS`."""

KINDS = ("counter", "gauge", "meter", "histogram", "timer")

_NARROW = range(1, 0x8000)  # the keys that have lanes
_LARGEST = sys.float_info.max
_PAIR = struct.calcsize("<IQ")

_U8, _U32, _DOUBLE, _LONG = (struct.Struct(f"<{code}") for code in "BIdq")
_HELLO = struct.Struct("<IQdB")
_GAUGE = struct.Struct("<Id")
_METER = struct.Struct("<q3d")
_TIMER = struct.Struct("<QQq3dBdH")
_HISTOGRAM = struct.Struct("<BdH")
_SLICE = struct.Struct("<ddQddddIIIB")

_WHOLE, _CLOSED = 1, 2  # flags of a histogram


class Hello(NamedTuple):
    """What a worker says of itself, at the start of each session."""

    host: str
    """The name of its host, for people."""
    machine: str
    """What identifies the running system: processes of the same one share a monotonic clock."""
    processes: str
    """What identifies the set of process ids that its pid is one of; empty if that is not known."""
    pid: int
    started: int
    """When the process was started, in a unit of the system. Tells it from another one with the same pid."""
    interval: float
    """Seconds between its flushes."""
    settles: bool
    """Whether what it has sent of a slot is final once the slot is over. False of aggregators."""


class Series(NamedTuple):
    """A series that a worker is going to send states of."""

    number: int
    """By which its states are known in the session."""
    kind: str
    merge: str
    """How gauges are combined."""
    name: str
    tags: Tags


class HistogramUpdate(NamedTuple):
    """What has become of a histogram."""

    whole: bool
    """Whether it is all there is, or what has changed."""
    through: float
    """The start of the last slice that is closed."""
    closed: Optional[Distribution]
    """What is closed; None if that is known already."""
    slices: List[Slice]


class TimerUpdate(NamedTuple):
    """What has become of a timer."""

    events: MeterState
    durations: HistogramUpdate


class Reader:
    """Takes one thing after the other from a payload. Raises FrameError at its end."""

    __slots__ = ("_body", "_end", "position")

    def __init__(self, body: bytes, start: int, end: int) -> None:
        self._body = body
        self._end = end
        self.position = start

    def take(self, layout: struct.Struct) -> Tuple[Any, ...]:
        """Return the next values of this layout."""
        start = self.position
        self.position = end = start + layout.size
        if end > self._end:
            raise FrameError("A record is too short.")
        return layout.unpack_from(self._body, start)

    def bytes(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        start = self.position
        self.position = end = start + length
        if end > self._end:
            raise FrameError("A record is too short.")
        return self._body[start:end]

    def text(self) -> str:
        """Return the next string."""
        (length,) = self.take(_U32)
        try:
            return self.bytes(length).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise FrameError(f"A string is not UTF-8: {error}.") from None

    def number(self) -> float:
        """Return the next number."""
        (tag,) = self.take(_U8)
        if tag == 0:
            return int(self.take(_LONG)[0])
        if tag == 1:
            return finite(self.take(_DOUBLE)[0])
        if tag == 2:
            return int.from_bytes(self.bytes(self.take(_U32)[0]), "little", signed=True)
        raise FrameError(f"There is no number of type {tag}.")

    def finish(self) -> None:
        """Insist on everything having been taken."""
        if self.position != self._end:
            raise FrameError(f"A record has {self._end - self.position} bytes too many.")


def finite(value: float) -> float:
    """Return `value`. Raises FrameError for NaN and infinities."""
    if value - value != 0:
        raise FrameError(f"{value} is no number that a metric may have.")
    return value


def hello(worker: Hello) -> bytes:
    """Write what a worker says of itself."""
    numbers = _HELLO.pack(worker.pid, worker.started, worker.interval, worker.settles)
    return record(HELLO, numbers + _text(worker.host) + _text(worker.machine) + _text(worker.processes))


def read_hello(reader: Reader) -> Hello:
    """Read what a worker says of itself."""
    pid, started, interval, settles = reader.take(_HELLO)
    host, machine, processes = reader.text(), reader.text(), reader.text()
    reader.finish()
    return Hello(host, machine, processes, pid, started, finite(interval), bool(settles))


def series(new: Series) -> bytes:
    """Write which series a number stands for."""
    parts = [_U32.pack(new.number), bytes((KINDS.index(new.kind), MERGES.index(new.merge)))]
    parts += [_text(new.name), _U32.pack(len(new.tags))]
    parts += [_text(text) for pair in new.tags for text in pair]
    return record(SERIES, b"".join(parts))


def read_series(reader: Reader) -> Series:
    """Read which series a number stands for."""
    (number,) = reader.take(_U32)
    kind, merge = reader.bytes(2)
    if kind >= len(KINDS) or merge >= len(MERGES):
        raise FrameError(f"There is no kind {kind} of metrics, or no way {merge} to merge gauges.")
    name = reader.text()
    (count,) = reader.take(_U32)
    pairs = tuple([(reader.text(), reader.text()) for _ in range(count)])
    reader.finish()
    return Series(number, KINDS[kind], MERGES[merge], name, pairs)


def removed(number: int) -> bytes:
    """Write that a series has been removed."""
    return record(REMOVED, _U32.pack(number))


def read_number(reader: Reader) -> int:
    """Read the number of a series."""
    (number,) = reader.take(_U32)
    return int(number)


def read_removed(reader: Reader) -> int:
    """Read the number of a series that has been removed."""
    number = read_number(reader)
    reader.finish()
    return number


class Codec(NamedTuple):
    """How the states of one kind are written and read."""

    kind: str
    type: int
    write: Callable[[Any, Any], bytes]
    """Writes a state, given the one that the receiver knows, or None."""
    read: Callable[[Reader], Any]

    differ: Callable[[Any, Any, Any], bool] = lambda _, state, known: state is not known
    """Whether the state of a metric is another one than the one that the receiver knows."""
    whole: Callable[[Any], Any] = lambda update: update
    """Returns the state that an update tells of which is not of a change."""
    timeless: Callable[[Any], Any] = lambda state: state
    """Returns a state without what the clock that its times are of is needed for: windows and rates."""

    def state(self, number: int, state: Any, known: Any) -> bytes:
        """Write the record with the state of the series `number`."""
        return record(self.type, _U32.pack(number) + self.write(state, known))


def _write_counter(state: CounterState, known: Optional[CounterState]) -> bytes:
    return _number(state.increments) + _number(state.decrements)


def _read_counter(reader: Reader) -> CounterState:
    return CounterState(reader.number(), reader.number())


def _write_gauge(state: GaugeState, known: Optional[GaugeState]) -> bytes:
    if not state.parts or state.last is None:
        return _GAUGE.pack(0, 0.0)
    numbers = (state.sum, state.minimum, state.maximum, state.last)
    return _GAUGE.pack(state.parts, state.last_at) + b"".join([_number(number) for number in numbers])


def _read_gauge(reader: Reader) -> GaugeState:
    parts, last_at = reader.take(_GAUGE)
    if not parts:
        return UNSET
    total, minimum, maximum, last = (reader.number() for _ in range(4))
    return GaugeState(parts, total, minimum, maximum, last, finite(last_at))


def _gauges_differ(metric: Any, state: GaugeState, known: GaugeState) -> bool:
    """Whether there is something to tell. One with a producer has a new state each time, mostly of the same value."""
    if state is known or (metric.merge == "last" and state.last_at != known.last_at):
        return state is not known
    return _write_gauge(state, None)[_GAUGE.size :] != _write_gauge(known, None)[_GAUGE.size :]


def _write_meter(state: MeterState, known: Optional[MeterState]) -> bytes:
    return _number(state.count) + _number(state.current) + _METER.pack(state.tick, *state.rates)


def _read_meter(reader: Reader) -> MeterState:
    count, current = int(reader.number()), int(reader.number())
    tick, m1, m5, m15 = reader.take(_METER)
    _require_finite(m1, m5, m15)
    return MeterState(count, tick, current, (m1, m5, m15))


def _write_histogram(state: HistogramState, known: Optional[HistogramState]) -> bytes:
    head, slices = _histogram(state, known)
    return _HISTOGRAM.pack(*head) + slices


def _histogram(state: HistogramState, known: Optional[HistogramState]) -> Tuple[Tuple[int, float, int], bytes]:
    """Return the head of a histogram and its slices. What is closed, if it has to be sent, is the first of them."""
    if known is not None and _has_lost_slices(state, known):
        known = None
    slices = list(state.slices) if known is None else _changed(state, known)
    flags = 0 if known is not None else _WHOLE
    if _closes(state, known):
        flags |= _CLOSED
        slices.insert(0, Slice(0.0, 0.0, state.closed))
    return (flags, state.closed_through, len(slices)), b"".join([_slice(part) for part in slices])


def _closes(state: HistogramState, known: Optional[HistogramState]) -> bool:
    """Whether what is closed has to be sent: not if the receiver has seen all of it while it was in slices."""
    if known is None:
        return bool(state.closed.count)
    if state.closed is known.closed:
        return False
    closed = known.closed.count + sum(p.values.count for p in known.slices if p.start <= state.closed_through)
    return state.closed.count != closed


def _has_lost_slices(state: HistogramState, known: HistogramState) -> bool:
    """Whether a slice is there no more that was not closed: those of a worker of another machine may have moved."""
    starts = {part.start for part in state.slices}
    return any(part.start > state.closed_through and part.start not in starts for part in known.slices)


def _changed(state: HistogramState, known: HistogramState) -> List[Slice]:
    before = {part.start: part for part in known.slices}
    changed = []
    for part in state.slices:
        old = before.get(part.start)
        if old is None or old.values.count != part.values.count or old.end != part.end:
            changed.append(part)
    return changed


def _read_histogram(reader: Reader) -> HistogramUpdate:
    return _read_slices(reader, *reader.take(_HISTOGRAM))


def _read_slices(reader: Reader, flags: int, through: float, count: int) -> HistogramUpdate:
    if flags & ~(_WHOLE | _CLOSED) or through != through:
        raise FrameError(f"A histogram has flags that are not known: {flags:#x}, or is closed through {through}.")
    slices = [_read_slice(reader) for _ in range(count)]
    closed = None
    if flags & _CLOSED:
        if not slices:
            raise FrameError("A histogram says that it has closed values, and has none.")
        closed = slices.pop(0).values
    return HistogramUpdate(bool(flags & _WHOLE), through, closed, slices)


def _write_timer(state: TimerState, known: Optional[TimerState]) -> bytes:
    events = state.events
    head, slices = _histogram(state.durations, None if known is None else known.durations)
    return _TIMER.pack(events.count, events.current, events.tick, *events.rates, *head) + slices


def _read_timer(reader: Reader) -> TimerUpdate:
    count, current, tick, m1, m5, m15, flags, through, slices = reader.take(_TIMER)
    _require_finite(m1, m5, m15)
    return TimerUpdate(MeterState(count, tick, current, (m1, m5, m15)), _read_slices(reader, flags, through, slices))


def _slice(part: Slice) -> bytes:
    values = part.values
    low, lanes, width, others = _split(values.buckets, values.count)
    head = _SLICE.pack(
        *(part.start, part.end),
        *(values.count, values.sum, values.deviations, values.minimum, values.maximum),
        *(low, len(lanes) // width, len(others), width),
    )
    if not others:
        return head + lanes
    keys, counts = zip(*others)
    return head + lanes + struct.pack(f"<{len(others)}I{len(others)}Q", *keys, *counts)


def _split(buckets: Buckets, total: int) -> Tuple[int, bytes, int, List[Tuple[int, int]]]:
    """Return the lowest key with a lane, all lanes, the bytes of each, and the pairs of key and count without one."""
    if total >= MANY - 1:  # the receiver would not know their sum
        return 0, b"", 1, list(buckets.items())
    if isinstance(buckets, Lanes):
        low, counts = buckets.low, buckets.counts()
        if counts and not counts[0]:
            empty = next(place for place, count in enumerate(counts) if count)
            low, counts = low + 2 * empty, counts[empty:]
        width = _width_of(max(counts, default=0))
        if len(counts) * width > _PAIR * (len(counts) - counts.count(0)) + _SLICE.size:
            return 0, b"", 1, list(buckets.items())
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
    if length * width > _PAIR * len(found) + _SLICE.size:
        return 0, b"", 1, list(buckets.items())
    lanes = [0] * length
    for key, count in found.items():
        lanes[(key - low) >> 1] = count
    return low, bytes(lanes) if width == 1 else struct.pack(f"<{length}{_CODES[width]}", *lanes), width, others


_CODES = {1: "B", 2: "H", 4: "I"}


def _width_of(count: int) -> int:
    """Return how many bytes a count needs."""
    return 1 if count < 1 << 8 else 2 if count < 1 << 16 else 4


def _read_slice(reader: Reader) -> Slice:
    fields = reader.take(_SLICE)
    start, end, count, total, deviations, minimum, maximum, low, length, pairs, width = fields
    _require_finite(start, end, total, deviations)
    if count:
        _require_finite(minimum, maximum)
    if deviations < 0.0 or width not in _CODES or low + 2 * length > _NARROW.stop or low % 2:
        raise FrameError(
            f"There are no {length} lanes of {width} bytes from {low} on, or no deviations of {deviations}."
        )
    lanes = reader.bytes(length * width)
    others = _read_pairs(reader, pairs) if pairs else {}
    if length and any(key in _NARROW for key in others):
        raise FrameError("There are buckets that ought to have a lane.")
    if not length and count != sum(others.values()):
        raise FrameError(f"There are not {count} values in these buckets.")
    if length:
        begin = aligned(low)
        number = int.from_bytes(lanes, "little") << ((low - begin) >> 1) * 8 * width
        buckets: Buckets = Lanes(begin, number, others or None, width)
    else:
        buckets = in_lanes(others)
    return Slice(start, end, Distribution(count, total, deviations, minimum, maximum, buckets))


def _read_pairs(reader: Reader, pairs: int) -> Dict[int, int]:
    keys = struct.unpack(f"<{pairs}I", reader.bytes(pairs * 4))
    if not all(map(is_key, keys)):
        raise FrameError("There are counts of buckets that there are not.")
    return dict(zip(keys, struct.unpack(f"<{pairs}Q", reader.bytes(pairs * 8))))


def _require_finite(one: float, two: float, three: float = 0.0, four: float = 0.0) -> None:
    # In one go: 0 for each that is finite, and NaN for anything else.
    if one * 0.0 + two * 0.0 + three * 0.0 + four * 0.0 != 0.0:
        raise FrameError(f"A metric cannot have all of the numbers {one}, {two}, {three} and {four}.")


def _number(value: float) -> bytes:
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return b"\0" + _LONG.pack(value)
        length = value.bit_length() // 8 + 1
        return b"\2" + _U32.pack(length) + value.to_bytes(length, "little", signed=True)
    return b"\1" + _DOUBLE.pack(max(-_LARGEST, min(_LARGEST, value)))  # sums may have overflowed


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return _U32.pack(len(encoded)) + encoded


def _whole_histogram(update: HistogramUpdate) -> HistogramState:
    through = update.through if update.closed is not None else NEVER
    return HistogramState(update.closed or EMPTY, through, tuple(update.slices))


def _timeless_meter(state: MeterState) -> MeterState:
    return MeterState(state.count, 0, 0, (0.0, 0.0, 0.0))


def _timeless_histogram(state: HistogramState) -> HistogramState:
    return HistogramState(state.cumulative(), NEVER, ())


CODECS: Dict[str, Codec] = {
    codec.kind: codec
    for codec in (
        Codec("counter", STATE, _write_counter, _read_counter),
        Codec("gauge", STATE + 1, _write_gauge, _read_gauge, differ=_gauges_differ),
        Codec("meter", STATE + 2, _write_meter, _read_meter, timeless=_timeless_meter),
        Codec(
            *("histogram", STATE + 3, _write_histogram, _read_histogram),
            whole=_whole_histogram,
            timeless=_timeless_histogram,
        ),
        Codec(
            *("timer", STATE + 4, _write_timer, _read_timer),
            whole=lambda update: TimerState(update.events, _whole_histogram(update.durations)),
            timeless=lambda state: TimerState(_timeless_meter(state.events), _timeless_histogram(state.durations)),
        ),
    )
}
"""By kind."""

BY_TYPE: Dict[int, Codec] = {codec.type: codec for codec in CODECS.values()}
