"""Records: the states of metrics as bytes, and what a worker says of itself and of its series. Pure.

`docs/wire.md` has every field. What cannot be read raises FrameError, and so does what no recording can have produced.
Whatever is written can be read.
"""

from __future__ import annotations

import math
import struct
from itertools import compress
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from tapes.distributed.frames import CLOCK, FrameError, record
from tapes.errors import MetricError
from tapes.naming import MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_TAGS, MAX_VALUE_BYTES, check_series
from tapes.state.buckets import is_key
from tapes.state.counter import CounterState
from tapes.state.counts import MANY, Buckets, Lanes, aligned, in_lanes
from tapes.state.distribution import EMPTY, Distribution, union
from tapes.state.gauge import MERGES, UNSET, GaugeState
from tapes.state.histogram import NEVER, SPAN, HistogramState, Slice
from tapes.state.numbers import LARGEST, saturated
from tapes.state.rates import TICK, MeterState, tick_of
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from tapes.naming import Tags

HELLO = 1
SERIES = 2
REMOVED = 3
STATE = 10
"""The types of records. Those of states follow on `STATE`, in the order of `KINDS`."""

KINDS = ("counter", "gauge", "meter", "histogram", "timer")

RESERVED = "tapes.aggregator."
"""What the names begin with that an aggregator gives to metrics about itself. No worker may use them."""

OVERFLOW_NAME = f"{RESERVED}overflow"
"""What the names begin with of series, one for each kind, of which there were too many names. These are published."""

MOST = 1 << 53
"""How many values or timed events there may be. At a million a second that takes 285 years."""

PIECE = 1 << 15
"""Bytes from which on what has become of a histogram is told in several records, each with some of its slices."""

_NARROW = range(1, 0x8000)  # the keys that have lanes
_INTEGER = 129  # bytes of the largest integer: floats reach as far
_LABEL = 1024  # bytes of what a worker says of itself
_PIDS = range(1 << 31)  # 0 where it is not known
_SELDOM = 1e9  # seconds between two flushes, at most
_EVER = 10 * CLOCK  # seconds before or after zero in which all times are
_LIFE = CLOCK  # seconds before a frame in which all times are that a worker tells
_AHEAD = 10.0  # seconds by which the clock of another machine may be ahead of what is known of it
_SLICES = 256  # that a worker tells of at once; it has about ten
_ALL_SLICES = 0xFFFE  # that can be written at once
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

    @property
    def place(self) -> Tuple[str, str]:
        """Where its pid is that of one process."""
        return self.machine, self.processes


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
        self.earliest = now - _LIFE if single and now is not None else -_EVER
        """No time is before this."""
        self.latest = _EVER if now is None else now
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
            raise FrameError("A record is too short.")
        return layout.unpack_from(self._body, start)

    def bytes(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        start = self.position
        self.position = end = start + length
        if end > self._end:
            raise FrameError("A record is too short.")
        return self._body[start:end]

    def text(self, most: int) -> str:
        """Return the next string, which has `most` bytes or fewer."""
        (length,) = self.take(_U32)
        if length > most:
            raise FrameError(f"A string has {length:,} bytes, more than {most:,}.")
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
            (found,) = self.take(_DOUBLE)
        elif tag == 2:
            (length,) = self.take(_U32)
            if length > _INTEGER:
                raise FrameError(f"An integer has {length:,} bytes, more than {_INTEGER}.")
            found = int.from_bytes(self.bytes(length), "little", signed=True)
        else:
            raise FrameError(f"There is no number of type {tag}.")
        if not -LARGEST <= found <= LARGEST:
            raise FrameError("A number is not finite, or is larger than floats are.")
        return found  # type: ignore[no-any-return]  # struct does not say what it returns

    def time(self, at: float) -> float:
        """Return `at`, a time that has been read; the latest one there can be, where it is a little after that."""
        if not self.earliest <= at <= self.last:
            raise self.impossible(at)
        return min(at, self.latest)

    def impossible(self, at: float) -> FrameError:
        """Return the error for a time that cannot be."""
        return FrameError(f"Something was recorded at {at}, which cannot be: its time is {self.latest} now.")

    def finish(self) -> None:
        """Insist on everything having been taken."""
        if self.position != self._end:
            raise FrameError(f"A record has {self._end - self.position} bytes too many.")


def hello(worker: Hello) -> bytes:
    """Write what a worker says of itself."""
    numbers = _HELLO.pack(worker.pid, worker.started, worker.interval, worker.settles)
    return record(HELLO, numbers + _text(worker.host) + _text(worker.machine) + _text(worker.processes))


def read_hello(reader: Reader) -> Hello:
    """Read what a worker says of itself."""
    pid, started, interval, settles = reader.take(_HELLO)
    host, machine, processes = reader.text(_LABEL), reader.text(_LABEL), reader.text(_LABEL)
    reader.finish()
    if pid not in _PIDS or not 0.0 < interval <= _SELDOM or settles > 1:
        raise FrameError(f"No worker has the pid {pid} and an interval of {interval} s, or settles {settles}.")
    if any(ord(character) < 0x20 for text in (host, machine, processes) for character in text):
        raise FrameError(f"A worker is on no host of this name: {host!r}.")
    return Hello(host, machine, processes, pid, started, interval, bool(settles))


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
    if merge and KINDS[kind] != "gauge":
        raise FrameError(f"A {KINDS[kind]} is not merged by {MERGES[merge]!r}, as only gauges are.")
    name = reader.text(MAX_NAME_BYTES)
    (count,) = reader.take(_U32)
    if count > MAX_TAGS:
        raise FrameError(f"A series has {count:,} tags, more than {MAX_TAGS}.")
    tags = tuple([(reader.text(MAX_KEY_BYTES), reader.text(MAX_VALUE_BYTES)) for _ in range(count)])
    reader.finish()
    try:
        check_series(name, tags)
    except MetricError as error:
        raise FrameError(str(error)) from None
    if is_internal(name) or (reader.single and name.startswith(RESERVED)):
        raise FrameError(f"{name!r} is a name that only aggregators use.")
    return Series(number, KINDS[kind], MERGES[merge], name, tags)


def is_internal(name: str) -> bool:
    """Whether a name is of a metric that an aggregator has about itself, which it does not publish any further."""
    return name.startswith(RESERVED) and not name.startswith(f"{OVERFLOW_NAME}.")


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

    pieces: Optional[Callable[[Any, Any], List[bytes]]] = None
    """Writes the same in several parts, each an update by itself, of which those after the first are changes."""
    differ: Optional[Callable[[Any, Any, Any], bool]] = None
    """Whether two states of a metric, made of other numbers, say something else; None if they always do."""
    whole: Callable[[Any], Any] = lambda update: update
    """Returns the state that an update tells of which is not of a change."""
    recorded: Callable[[Any], bool] = lambda update: bool(update.count)
    """Whether a state, or an update, is of a metric to which anything was recorded, and not of one just made."""
    timeless: Callable[[Any], Any] = lambda state: state
    """Returns a state without what the clock that its times are of is needed for: windows and rates."""

    def state(self, number: int, state: Any, known: Any) -> bytes:
        """Write the record with the state of the series `number`."""
        return record(self.type, _U32.pack(number) + self.write(state, known))

    def states(self, number: int, state: Any, known: Any) -> List[bytes]:
        """Write the same as several records if one would be large, so that no frame has to be."""
        whole = self.state(number, state, known)
        if self.pieces is None or len(whole) <= PIECE:
            return [whole]
        return [record(self.type, _U32.pack(number) + piece) for piece in self.pieces(state, known)]


def _write_counter(state: CounterState, known: Optional[CounterState]) -> bytes:
    return _number(state.increments) + _number(state.decrements)


def _read_counter(reader: Reader) -> CounterState:
    increments, decrements = reader.number(), reader.number()
    if increments < 0 or decrements < 0:
        raise FrameError(f"A counter has counted {increments} up and {decrements} down: neither is below zero.")
    return CounterState(increments, decrements)


def _write_gauge(state: GaugeState, known: Optional[GaugeState]) -> bytes:
    if not state.parts or state.last is None:
        return _GAUGE.pack(0, 0.0)
    numbers = (state.sum, state.minimum, state.maximum, state.last)
    head = _GAUGE.pack(min(state.parts, 0xFFFFFFFF), max(state.last_at, -_EVER))
    return head + b"".join([_number(number) for number in numbers])


def _read_gauge(reader: Reader) -> GaugeState:
    parts, last_at = reader.take(_GAUGE)
    if not parts:
        return UNSET
    total, minimum, maximum, last = (reader.number() for _ in range(4))
    if not minimum <= last <= maximum or (parts == 1 and not minimum == total == maximum):
        raise FrameError(f"A gauge has no last value {last} from {minimum} to {maximum} in {parts} processes.")
    if reader.single and parts != 1:
        raise FrameError(f"A gauge of one worker has values of {parts} processes.")
    return GaugeState(parts, total, minimum, maximum, last, reader.time(last_at))


def _gauges_differ(metric: Any, state: GaugeState, known: GaugeState) -> bool:
    """Whether there is something to tell. One with a producer has a new state each time, mostly of the same value."""
    if metric.merge == "last" and state.last_at != known.last_at:
        return True
    return _write_gauge(state, None)[_GAUGE.size :] != _write_gauge(known, None)[_GAUGE.size :]


def _write_meter(state: MeterState, known: Optional[MeterState]) -> bytes:
    return _number(state.count) + _number(state.current) + _METER.pack(state.tick, *state.rates)


def _read_meter(reader: Reader) -> MeterState:
    count, current = reader.number(), reader.number()
    if count != int(count) or current != int(current):
        raise FrameError(f"A meter has {count} events, {current} of them in a tick: both are whole numbers.")
    return _events(reader, count, current, *reader.take(_METER))


def _events(reader: Reader, count: float, current: float, tick: int, m1: float, m5: float, m15: float) -> MeterState:
    """Return the state of a meter or of the events of a timer that has been read."""
    if not 0 <= current <= count or not (0.0 <= m1 <= LARGEST and 0.0 <= m5 <= LARGEST and 0.0 <= m15 <= LARGEST):
        raise FrameError(f"There are no {count} events, {current} in a tick, at rates of {m1}, {m5} and {m15}.")
    if not reader.earliest <= tick * TICK <= reader.last:
        raise reader.impossible(tick * TICK)
    if tick > reader.tick:
        tick = reader.tick
    return MeterState(count, tick, current, (m1, m5, m15))  # type: ignore[arg-type]  # as they were recorded


def _write_histogram(state: HistogramState, known: Optional[HistogramState]) -> bytes:
    flags, through, slices = _histogram(state, known)
    return _HISTOGRAM.pack(flags, through, len(slices)) + b"".join(slices)


def _histogram_pieces(state: HistogramState, known: Optional[HistogramState]) -> List[bytes]:
    return [
        _HISTOGRAM.pack(flags, through, len(slices)) + b"".join(slices)
        for flags, through, slices in _apart(state, known)
    ]


def _apart(state: HistogramState, known: Optional[HistogramState]) -> Iterator[Tuple[int, float, List[bytes]]]:
    """Yield the same as `_histogram` for each piece of a histogram."""
    flags, through, slices = _histogram(state, known)
    piece: List[bytes] = []
    for part in slices:
        if piece and sum(map(len, piece)) + len(part) > PIECE:
            yield flags, through, piece
            flags, piece = 0, []
        piece.append(part)
    yield flags, through, piece


def _histogram(state: HistogramState, known: Optional[HistogramState]) -> Tuple[int, float, List[bytes]]:
    """Return the flags of a histogram, through when it is closed, and its slices.

    What is closed, if it has to be sent, is the first of them.
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


def _with_fewer_slices(state: HistogramState) -> HistogramState:
    """Return a state with the oldest slices closed, of which there are too many to write."""
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


def _read_histogram(reader: Reader) -> HistogramUpdate:
    return _read_slices(reader, *reader.take(_HISTOGRAM))


def _read_slices(reader: Reader, flags: int, through: float, count: int) -> HistogramUpdate:
    if flags & ~(_WHOLE | _CLOSED):
        raise FrameError(f"A histogram has flags that are not known: {flags:#x}.")
    if through != NEVER:
        reader.time(through)
    closed = None
    if flags & _CLOSED:
        if not count:
            raise FrameError("A histogram says that it has closed values, and has none.")
        start, end, closed = _read_slice(reader)
        if start or end:
            raise FrameError(f"The closed values of a histogram are not from {start} to {end}.")
        count -= 1
    if reader.single and count > _SLICES:
        raise FrameError(f"A histogram of one worker has {count:,} slices.")
    slices: List[Slice] = []
    before, latest = NEVER, reader.latest
    for _ in range(count):
        start, end, values = _read_slice(reader)
        if not before < start <= end <= start + 2 * SPAN:
            raise FrameError(f"A histogram has no slice from {start} to {end} after one from {before}.")
        if start < reader.earliest or end > reader.last:
            raise reader.impossible(end)
        slices.append(Slice(start, end if end <= latest else max(start, latest), values))
        before = start
    return HistogramUpdate(bool(flags & _WHOLE), through, closed, slices)


def _write_timer(state: TimerState, known: Optional[TimerState]) -> bytes:
    return _timer(state, *_histogram(state.durations, None if known is None else known.durations))


def _timer_pieces(state: TimerState, known: Optional[TimerState]) -> List[bytes]:
    pieces = _apart(state.durations, None if known is None else known.durations)
    return [_timer(state, *piece) for piece in pieces]


def _timer(state: TimerState, flags: int, through: float, slices: List[bytes]) -> bytes:
    events = state.events
    count, current = min(events.count, MOST), min(events.current, MOST)
    return _TIMER.pack(count, current, events.tick, *events.rates, flags, through, len(slices)) + b"".join(slices)


def _read_timer(reader: Reader) -> TimerUpdate:
    count, current, tick, m1, m5, m15, flags, through, slices = reader.take(_TIMER)
    if count > MOST:
        raise FrameError(f"A timer has not timed {count:,} events.")
    events = _events(reader, count, current, tick, m1, m5, m15)
    return TimerUpdate(events, _read_slices(reader, flags, through, slices))


def _slice(part: Slice) -> bytes:
    values = part.values if part.values.count <= MOST else _scaled(part.values)
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


def _scaled(values: Distribution) -> Distribution:
    """Return values of which there are more than can be written, as the most that can be: spread as they are."""
    buckets = {key: count * MOST // values.count for key, count in values.buckets.items()}
    buckets = {key: count for key, count in buckets.items() if count}
    count = sum(buckets.values())
    return Distribution(count, values.sum, values.deviations, values.minimum, values.maximum, buckets)


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


def _read_slice(reader: Reader) -> Tuple[float, float, Distribution]:
    """Return the start, the end and the values of the next slice."""
    fields = reader.take(_SLICE)
    start, end, count, total, deviations, minimum, maximum, low, length, pairs, width = fields
    if width not in _CODES or low + 2 * length > _NARROW.stop or low % 2:
        raise FrameError(f"There are no {length} lanes of {width} bytes from {low} on.")
    if not count:
        if length or pairs or total or deviations or (minimum, maximum) != (math.inf, -math.inf):
            raise FrameError("A slice without values has some.")
        return start, end, EMPTY
    if not -LARGEST <= minimum <= maximum <= LARGEST or not abs(total) <= LARGEST or not 0.0 <= deviations <= LARGEST:
        raise FrameError(
            f"No values from {minimum} to {maximum} have the sum {total} and squares of deviations of {deviations}."
        )
    lanes = reader.bytes(length * width)
    others = _read_pairs(reader, pairs) if pairs else {}
    if length and any(key in _NARROW for key in others):
        raise FrameError("There are buckets that ought to have a lane.")
    inside = sum(lanes if width == 1 else struct.unpack(f"<{length}{_CODES[width]}", lanes))
    if count > MOST or count != inside + sum(others.values()) or inside >= MANY:
        raise FrameError(f"There are not {count:,} values in these buckets.")
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
        raise FrameError("There are counts of buckets that there are not.")
    return dict(zip(keys, counts))


def _number(value: float) -> bytes:
    value = saturated(value)
    if isinstance(value, int):
        if -(1 << 63) <= value < 1 << 63:
            return b"\0" + _LONG.pack(value)
        length = value.bit_length() // 8 + 1
        return b"\2" + _U32.pack(length) + value.to_bytes(length, "little", signed=True)
    return b"\1" + _DOUBLE.pack(value)


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
        Codec(
            *("counter", STATE, _write_counter, _read_counter),
            recorded=lambda state: bool(state.increments or state.decrements),
        ),
        Codec(
            *("gauge", STATE + 1, _write_gauge, _read_gauge),
            differ=_gauges_differ,
            recorded=lambda state: bool(state.parts),
        ),
        Codec("meter", STATE + 2, _write_meter, _read_meter, timeless=_timeless_meter),
        Codec(
            *("histogram", STATE + 3, _write_histogram, _read_histogram),
            pieces=_histogram_pieces,
            recorded=lambda update: bool(update.slices or (update.closed and update.closed.count)),
            whole=_whole_histogram,
            timeless=_timeless_histogram,
        ),
        Codec(
            *("timer", STATE + 4, _write_timer, _read_timer),
            pieces=_timer_pieces,
            recorded=lambda update: bool(update.events.count),
            whole=lambda update: TimerState(update.events, _whole_histogram(update.durations)),
            timeless=lambda state: TimerState(_timeless_meter(state.events), _timeless_histogram(state.durations)),
        ),
    )
}
"""By kind."""

BY_TYPE: Dict[int, Codec] = {codec.type: codec for codec in CODECS.values()}
