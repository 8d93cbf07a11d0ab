"""States of all kinds, with numbers of all sizes, and what is the same about two of them."""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Tuple

from hypothesis import strategies as st

from tapes.distributed.frames import Frame
from tapes.distributed.records import read_number
from tapes.distributed.records import state as record_of
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.kind import BY_CODE, Kind
from tapes.kinds.slices import MOST, HistogramUpdate
from tapes.recording import distribution_of
from tapes.state.buckets import key_of
from tapes.state.counter import CounterState
from tapes.state.counts import PackedBuckets, in_lanes, packed
from tapes.state.distribution import EMPTY, Distribution
from tapes.state.gauge import UNSET, GaugeState, single
from tapes.state.histogram import NEVER, HistogramState, Slice
from tapes.state.meter import MeterState
from tapes.state.numbers import LARGEST
from tapes.state.timer import TimerState
from tapes.wire import CLOCK, Reader

KINDS: Dict[str, Kind] = {str(BY_CODE[code]): BY_CODE[code] for code in sorted(BY_CODE)}
"""Those that have a code, by their names."""

finite = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1.7976931348623157e308, -1.7976931348623157e308]),
)
whole = st.one_of(
    st.integers(-(1 << 63) - 2, -(1 << 63) + 2),
    st.integers((1 << 63) - 2, (1 << 63) + 2),
    st.integers(-300, 300),
    st.integers(-(1 << 600), 1 << 600),
    st.sampled_from([int(LARGEST), -int(LARGEST)]),
)
numbers = st.one_of(finite, whole)
times = st.one_of(st.floats(-CLOCK, CLOCK), st.integers(-20, 20).map(lambda number: 50.0 * number))
texts = st.one_of(st.text(max_size=8), st.text(st.characters(categories=["Cs"]), min_size=1, max_size=3))
"""With lone surrogates, and everything else."""

counters = st.builds(CounterState, numbers.map(abs), numbers.map(abs))


def _gauge(parts: int, total: float, three: Tuple[float, float, float], at: float) -> GaugeState:
    minimum, last, maximum = sorted(three)
    return single(last, at) if parts == 1 else GaugeState(parts, total, minimum, maximum, last, at)


gauges = st.one_of(
    st.just(UNSET),
    st.builds(_gauge, st.one_of(st.just(1), st.integers(1, (1 << 32) - 1)), numbers, st.tuples(*[numbers] * 3), times),
)


def _meter(events: Tuple[int, int], tick: int, shares: Tuple[float, float, float]) -> MeterState:
    current, count = sorted(events)
    m1, m5, m15 = (float(min(count, 1e300)) * share for share in shares)
    return MeterState(count, tick, current, (m1, m5, m15))


_ticks = st.integers(-(10**8), 10**8)
_shares = st.tuples(*[st.floats(0, 1)] * 3)
_many = st.integers(0, MOST)
meters = st.builds(_meter, st.tuples(whole.map(abs), whole.map(abs)), _ticks, _shares)

_positive = st.one_of(st.integers(8100, 8200), st.integers(0x82 // 2, 0x7F7E // 2)).map(lambda half: 2 * half)
_beyond = st.one_of(st.floats(1e39, 1.7e308), st.floats(5e-324, 1e-39)).flatmap(lambda v: st.sampled_from([v, -v]))
_others = st.one_of(st.just(0), _positive.map(lambda key: key + 0x8000), _beyond.map(key_of))
_counts = st.one_of(st.integers(1, 300), st.integers(1, 1 << 33), st.integers((1 << 32) - 2, (1 << 32) + 2))
_buckets = st.dictionaries(st.one_of(_positive, _positive, _others), _counts, max_size=10)


def _made(buckets: Dict[int, int], sums: Tuple[float, float, float, float], how: int) -> Distribution:
    if not buckets:
        return EMPTY
    held: Any = [buckets, PackedBuckets(packed(buckets)), in_lanes(buckets)][how]
    total, deviations, one, other = sums
    return Distribution(sum(buckets.values()), total, abs(deviations), min(one, other), max(one, other), held)


distributions = st.one_of(
    st.lists(st.one_of(finite, st.floats(-100, 100)), max_size=20).map(
        lambda values: distribution_of(values, EMPTY) if values else EMPTY
    ),
    st.builds(_made, _buckets, st.tuples(finite, finite, finite, finite), st.integers(0, 2)),
)


def _histogram(closed: Distribution, parts: List[Tuple[float, float, Distribution]]) -> HistogramState:
    starts = sorted({start for start, _, _ in parts})
    through = starts[0] - 50 if starts and starts[0] - 50 < starts[0] else NEVER
    by_start = {start: Slice(start, start + span, values) for start, span, values in parts}
    slices = tuple(by_start[start] for start in starts if start > through)
    return HistogramState(closed, through if closed.count else NEVER, slices)


histograms = st.builds(
    _histogram, distributions, st.lists(st.tuples(times, st.floats(0, 60), distributions), max_size=4)
)
timers = st.builds(TimerState, st.builds(_meter, st.tuples(_many, _many), _ticks, _shares), histograms)

STATES: Dict[str, st.SearchStrategy[Any]] = {
    "counter": counters,
    "gauge": gauges,
    "meter": meters,
    "histogram": histograms,
    "timer": timers,
}
"""By kind."""


def seen(state: Any) -> Any:
    """Return all there is to a state or a part of one, so that what is the same is equal: the sign of zero, too."""
    if isinstance(state, float):
        return struct.pack("<d", state)
    if isinstance(state, (list, tuple)):
        return [seen(each) for each in state]
    if isinstance(state, Distribution):
        if not state.count:
            return "no values"
        sums = [seen(each) for each in (state.sum, state.deviations, state.minimum, state.maximum)]
        return [state.count, *sums, dict(state.buckets.items())]
    if hasattr(type(state), "__slots__"):
        return {name: seen(getattr(state, name)) for name in type(state).__slots__}
    assert state is None or isinstance(state, (int, bool)), state
    return state


def read(record: bytes, reading: Any) -> Any:
    """Read the one record that there is, to its end."""
    ((_, start, end),) = Frame(b"", 0, 0, 0.0, 0, record).records()
    reader = Reader(record, start, end)
    found = reading(reader)
    reader.finish()
    return found


def update_of(record: bytes) -> HistogramUpdate:
    """Read the record of a histogram."""

    def reading(reader: Reader) -> HistogramUpdate:
        read_number(reader)
        update: HistogramUpdate = HISTOGRAM.read(reader)
        return update

    update: HistogramUpdate = read(record, reading)
    return update


def as_received(values: Distribution) -> Distribution:
    """Return a distribution as it is on the other side, with lanes as narrow as they were sent."""
    state = HistogramState(EMPTY, NEVER, (Slice(0.0, 0.0, values),))
    return update_of(record_of(HISTOGRAM, 0, state, None)).slices[0].values
