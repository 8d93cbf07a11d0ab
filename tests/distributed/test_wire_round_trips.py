"""Whatever is written is read as the very same."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes import wire
from tapes.distributed import frames, records
from tapes.distributed.frames import FLAGS, Frame
from tapes.distributed.records import Hello, Series
from tapes.distributed.slices import HistogramPool
from tapes.facts import NO_FACTS, Facts
from tapes.kinds.histogram import HISTOGRAM
from tapes.registry import Registry
from tapes.state.buckets import key_of
from tapes.state.counts import Lanes
from tapes.state.distribution import EMPTY, Distribution
from tapes.state.gauge import MERGES
from tapes.state.histogram import NEVER, HistogramState, Slice
from tapes.testing import ManualClock
from tests.distributed.simulated import Asking, Simulated, assert_alike, buckets_of, stats_of, told
from tests.distributed.states import KINDS, STATES, finite, numbers, read, seen, texts, times, update_of

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

names = texts.map(lambda text: ".".join(filter(None, text.split("."))) or "metric")
hosts = texts.map(lambda text: "".join(character for character in text if character >= " "))
u32, u64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)


class FakeWorker:
    """Who has told what a pool knows."""

    present = settles = True
    frame_time = settled = NEVER
    shift: Optional[float] = 0.0
    heard = 1e9


@pytest.mark.parametrize("kind", KINDS)
@LAW
@given(data=st.data(), number=u32)
def test_states(kind: str, data: st.DataObject, number: int) -> None:
    """Of every kind, with ints of any size and floats of any size and sign, and with the number of the series."""
    state = data.draw(STATES[kind])
    value = KINDS[kind]
    record = records.state(value, number, state, None)

    found_number, found = read(record, lambda reader: (records.read_number(reader), value.read(reader)))

    assert found_number == number
    assert seen(value.full_state(found)) == seen(state)


@LAW
@given(numbers)
@example(1 << 64)
@example(255)
@example(True)
def test_numbers(number: float) -> None:
    """An int stays one, exactly; a float keeps all its bits."""
    written = wire.number(number)
    reader = wire.Reader(written, 0, len(written))
    found = reader.number()
    reader.finish()

    assert seen(found) == seen(number)
    assert isinstance(found, float) == isinstance(number, float)


@LAW
@given(
    u32,
    st.sampled_from([*KINDS]),
    st.sampled_from(MERGES),
    names,
    st.dictionaries(texts.filter(bool), texts, max_size=4),
)
@example(0, "gauge", "last", "\udfff\ud800", {"\ud83d\ude00": "\U0001f600", "\0": ""})
def test_series(number: int, kind: str, merge: str, name: str, tags: Dict[str, str]) -> None:
    """Names and tags of any characters, lone surrogates included."""
    series = Series(number, kind, merge if kind == "gauge" else "sum", name, tuple(sorted(tags.items())))

    assert read(records.series(series), records.read_series) == series


@LAW
@given(names, texts, texts.map(lambda text: text[:16]))
def test_what_is_said_of_names(name: str, description: str, unit: str) -> None:
    """In any characters but line breaks."""
    said = Facts("".join(description.splitlines()), "".join(unit.splitlines()))
    if said != NO_FACTS:
        assert read(records.facts(name, said), records.read_facts) == (name, said)


@LAW
@given(st.builds(Hello, hosts, hosts, hosts, st.integers(0, (1 << 31) - 1), u64, st.floats(1e-3, 1e9), st.booleans()))
def test_what_a_worker_says_of_itself(worker: Hello) -> None:
    """All of it."""
    assert read(records.hello(worker), records.read_hello) == worker


@LAW
@given(
    st.binary(min_size=16, max_size=16),
    u64,
    u32,
    times,
    st.integers(0, FLAGS),
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=5),
)
def test_frames(worker: bytes, session: int, sequence: int, time: float, flags: int, content: List[Any]) -> None:
    """With any records, and none."""
    body = frames.join([frames.record(kind, payload) for kind, payload in content])
    frame = Frame(worker, session, sequence, time, flags, body)

    found = frames.decode(frames.encode(frame))

    assert seen(found.time) == seen(time)
    assert found == frame
    assert [(kind, body[start:end]) for kind, start, end in found.records()] == content


_folds = st.lists(st.tuples(st.floats(0, 700), st.lists(st.floats(-1e3, 1e3), max_size=5)), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", ["histogram", "timer"])
@LAW
@given(folds=_folds)
def test_a_change_is_told_alike_without_what_has_not_changed(kind: str, folds: List[Tuple[float, List[float]]]) -> None:
    """Who tells what has become of a histogram need not look at slices that are the very same as before."""
    clock = ManualClock(1000.0)
    metric: Any = getattr(Registry(clock=clock), kind)("metric")
    known = metric.committed(clock.monotonic())
    for wait, values in folds:
        for value in values:
            metric.update(value)
        numbers = metric.committed(clock.monotonic())
        told = records.state(KINDS[kind], 0, *metric.states(numbers, known))
        assert told == records.state(KINDS[kind], 0, metric.state(numbers), metric.state(known))
        known = numbers
        clock.advance(wait)


@LAW
@given(_folds)
def test_changes_make_up_the_whole(folds: List[Tuple[float, List[float]]]) -> None:
    """What a receiver has that was told of the changes of a histogram is what it would have been told at once."""
    clock = ManualClock(1000.0)
    metric = Registry(clock=clock).histogram("metric")
    known, source = None, FakeWorker()
    pools = HistogramPool(), HistogramPool()
    for wait, values in folds:
        for value in values:
            metric.update(value)
        state = metric.read(clock.monotonic())
        pools[0].take(source, update_of(records.state(HISTOGRAM, 0, state, known)))
        known = state
        clock.advance(wait)
    pools[1].take(source, update_of(records.state(HISTOGRAM, 0, known, None)))

    now = clock.monotonic()
    one, other = (pool.state(now) for pool in pools)
    assert known is not None
    assert one.count == other.count == known.count
    assert dict(one.cumulative().buckets.items()) == dict(known.cumulative().buckets.items())
    assert one.window(now).count == other.window(now).count == known.window(now).count


@LAW
@given(st.lists(st.tuples(texts.filter(bool), texts), max_size=5, unique_by=lambda pair: pair[0]))
def test_series_of_any_name_and_tags_arrive(tags: List[Tuple[str, str]]) -> None:
    """All the way: what a worker calls a series is what the aggregator calls it."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    name = "".join(key for key, _ in tags).replace(".", "") or "metric"
    worker.registry.counter(name, dict(tags)).increment(3)
    worker.registry.timer("\ud800.\U0001f600", dict(tags)).update(1)
    aggregator = Asking(clock)
    worker.tell(aggregator)

    assert_alike(stats_of(aggregator), stats_of(worker.registry))
    assert told(aggregator)["bad_frames"] == 0


@LAW
@given(
    st.lists(finite, max_size=40),
    st.lists(st.one_of(st.integers(-(1 << 500), 1 << 500), st.floats(-1e300, 1e300)), max_size=10),
)
def test_values_of_any_size_arrive(values: List[float], amounts: List[float]) -> None:
    """All the way: huge, subnormal, zero and negative ones, and what they add up to."""
    clock = ManualClock(1000.0)
    worker = Simulated(clock)
    for value in values:
        worker.registry.histogram("histogram").update(value)
        worker.registry.timer("timer").update(value)
    for amount in amounts:
        worker.registry.counter("counter").increment(amount)
        worker.registry.gauge("gauge").increment(amount)
    aggregator = Asking(clock)
    worker.tell(aggregator)

    assert_alike(stats_of(aggregator), stats_of(worker.registry))
    assert buckets_of(aggregator, 1000.0) == buckets_of(worker.registry, 1000.0)
    assert told(aggregator)["bad_frames"] == 0


def record_of(buckets: Dict[int, int]) -> bytes:
    """Return the record of a histogram with one slice, with these counts."""
    values = Distribution(sum(buckets.values()), 1.0, 1.0, 0.0, 1.0, buckets)
    return records.state(HISTOGRAM, 0, HistogramState(EMPTY, NEVER, (Slice(0.0, 1.0, values),)), None)


def test_narrow_and_wide_spreads_take_few_bytes() -> None:
    """Buckets that are near each other take as many bytes as their counts, and not twelve each.

    A value a decade is written as pairs: lanes would be hundreds of bytes for each.
    """
    narrow = record_of({key_of(1.0 + step / 64): 200 for step in range(64)})
    wide = record_of({key_of(10.0**power): 1 for power in range(-30, 30)})

    assert len(narrow) < 64 + 100
    assert len(wide) < 60 * 12 + 100


@LAW
@given(st.dictionaries(st.integers(65, 16_000).map(lambda half: 2 * half), st.integers(1, 300), min_size=1, max_size=9))
@example({16200: 1, 130: 1})
def test_what_was_read_is_written_no_larger(buckets: Dict[int, int]) -> None:
    """An aggregator that writes what it was told, to a file or to another one, needs no more bytes than the worker, but
    for lanes up to the next power of two.
    """
    record = record_of(buckets)
    state = HISTOGRAM.full_state(update_of(record))

    assert len(records.state(HISTOGRAM, 0, state, None)) <= len(record) + 63 * 2


@pytest.mark.parametrize("buckets", [{0x3F80: 1, 0x3F84: 70_000}, {0x3F80: 5, 0: 3}, {0x3F80: 1, 0x4F80: 1}])
def test_what_is_read_is_ready_to_be_added(buckets: Dict[int, int]) -> None:
    """An aggregator holds counts in lanes, from whatever form they came in."""
    assert isinstance(update_of(record_of(buckets)).slices[0].values.buckets, Lanes)
