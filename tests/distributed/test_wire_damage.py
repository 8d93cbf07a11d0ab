"""Frames that are damaged, forged, or of somebody else: counted, dropped, and without any effect."""

from __future__ import annotations

import json
import random
import struct
from typing import Any, List
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.distributed import frames
from tapes.distributed.frames import END, Frame, FrameError
from tapes.testing import ManualClock
from tests.distributed import forging
from tests.distributed.simulated import Asking, Simulated, apply, assert_alike, stats_of, told

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

BODY = 52
"""Where the records begin."""


def worker() -> Simulated:
    """Return a worker that has recorded to all kinds of metrics."""
    made = Simulated(ManualClock(1000.0))
    made.registry.counter("orders", {"of": "shop"}).increment(1 << 70)
    made.registry.counter("balance").decrement(0.5)
    made.registry.gauge("level", merge="last").set(3)
    made.registry.meter("hits").mark(5)
    for value in (0.0, -3.5, 1.0, 1.01, 1e39):
        made.registry.histogram("spread").update(value)
    made.registry.timer("time").update(0.25)
    return made


@pytest.fixture
def whole() -> bytes:
    """Return a frame with records of all types."""
    sent = worker()
    (first,) = sent.frames()
    sent.registry.remove("orders")
    (second,) = sent.frames()
    one, other = frames.decode(first), frames.decode(second)
    return frames.encode(one._replace(body=one.body + other.body))


def resealed(frame: bytes) -> bytes:
    """Return a frame with its length and its checksum put right, as only somebody could who means it."""
    head = frame[: BODY - 8] + struct.pack("<I", max(len(frame) - BODY, 0))
    return head + struct.pack("<I", crc32(frame[BODY:], crc32(head))) + frame[BODY:]


def test_every_cut_is_noticed(whole: bytes) -> None:
    """A frame of which only the beginning has come is a FrameError, wherever it is cut off."""
    assert len(whole) > 500
    for length in range(len(whole)):
        with pytest.raises(FrameError):
            frames.decode(whole[:length])
    for more in (b"\0", whole):
        with pytest.raises(FrameError):
            frames.decode(whole + more)


def test_every_bit_that_is_wrong_is_noticed(whole: bytes) -> None:
    """A frame with one bit that is another is a FrameError, whichever it is."""
    for place in range(len(whole)):
        for bit in range(8):
            wrong = bytearray(whole)
            wrong[place] ^= 1 << bit
            with pytest.raises(FrameError):
                frames.decode(bytes(wrong))


def test_every_cut_of_a_record_is_noticed(whole: bytes) -> None:
    """Whatever ends in the middle of a record is a FrameError or, between two, a frame; never anything else."""
    body = whole[BODY:]
    ends = [end for _, _, end in frames.decode(whole).records()]
    for length in range(len(body)):
        frame = frames.decode(resealed(whole[: BODY + length]))
        aggregator = Asking(ManualClock(1000.0))
        aggregator.ask = lambda worker: None
        aggregator.apply(frames.encode(frame))
        assert told(aggregator)["bad_frames"] == (0 if length in ends else 1)


@pytest.mark.parametrize("type_", [1, 2, 3, 10, 11, 12, 13, 14])
def test_a_record_of_every_other_length_is_noticed(whole: bytes, type_: int) -> None:
    """A payload that is too short for what it says it has, or too long, is a FrameError."""
    frame = frames.decode(whole)
    (kind, start, end), *_ = [found for found in frame.records() if found[0] == type_]
    before, payload, after = frame.body[: start - 5], frame.body[start:end], frame.body[end:]
    for length in range(len(payload)):
        assert_refused(frame, before + frames.record(kind, payload[:length]) + after)
    assert_refused(frame, before + frames.record(kind, payload + b"\0") + after)
    assert_refused(frame, before + frames.record(kind, payload + payload) + after)


def assert_refused(frame: Frame, body: bytes) -> None:
    """Check that records are a bad frame."""
    aggregator = Asking(ManualClock(1000.0))
    aggregator.ask = lambda worker: None
    aggregator.apply(frames.encode(frame._replace(body=body)))
    assert told(aggregator)["bad_frames"] == 1, body


def test_a_frame_of_another_version(whole: bytes) -> None:
    """The error says which version it is, and what to do."""
    for version in (0, 2, 255):
        other = whole[:5] + bytes([version]) + whole[6:]
        with pytest.raises(FrameError, match=f"version {version}, and this reads version 1: use the same tapes-zmq"):
            frames.decode(resealed(other))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"", "0 bytes are too few"),
        (b"tapes", "5 bytes are too few"),
        (b"GET / HTTP/1.1\r\nHost: localhost:8889\r\nAccept: */*\r\n\r\n", "does not begin with b'tapes'"),
        (b"{" + b" " * 100, "does not begin with b'tapes'"),
        (b"\x80\x05." * 40, "does not begin with b'tapes'"),
    ],
)
def test_what_is_no_frame_at_all(message: bytes, problem: str) -> None:
    """The error says why it is none."""
    with pytest.raises(FrameError, match=problem):
        frames.decode(message)


def test_flags_and_times_that_cannot_be(whole: bytes) -> None:
    """A flag that nobody knows, and a time that is no number."""
    frame = frames.decode(whole)
    for flags in (8, 128, 255):
        with pytest.raises(FrameError, match="unknown flags"):
            frames.decode(frames.encode(frame._replace(flags=flags)))
    for time in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(FrameError, match="Its time is"):
            frames.decode(frames.encode(frame._replace(time=time)))


HUGE = 0xFFFFFFFF
NUMBER, MANY = struct.pack("<I", 0), struct.pack("<I", HUGE)
EVENTS = bytes(18)
"""Two numbers, 0."""

PARTS_OF_A_SLICE = ("start", "end", "total", "deviations", "minimum", "maximum")


def one_slice(**content: Any) -> bytes:
    """Return a histogram with one slice, from 0 to 1 unless told otherwise."""
    return forging.histogram(forging.part(**{"start": 0.0, "end": 1.0, **content}))


def claiming(lanes: int = 1, pairs: int = 0) -> bytes:
    """Return a histogram that says it has so many lanes and pairs, and has one lane."""
    honest = one_slice(low=0x3F80)
    shape = struct.pack("<III", 0x3F80, 1, 0)
    assert honest.count(shape) == 1
    return honest.replace(shape, struct.pack("<III", 0x3F80, lanes, pairs))


FORGED = {
    "a type that is none": frames.record(4, b""),
    "a type that is none either": frames.record(255, b"x" * 100),
    "a string that is not UTF-8": forging.series("counter", b"\xff"),
    "a string of four gigabytes": frames.record(2, NUMBER + bytes(2) + MANY + b"a" + NUMBER),
    "four billion tags": frames.record(2, NUMBER + bytes(2) + forging.text("a") + MANY),
    "a kind that is none": frames.record(2, NUMBER + bytes((5, 0)) + forging.text("a") + NUMBER),
    "a merge that is none": frames.record(2, NUMBER + bytes((1, 5)) + forging.text("a") + NUMBER),
    "a state of a series that is none": forging.counter(0, place=77),
    "a state of another kind": frames.record(12, NUMBER + EVENTS + bytes(32)),
    "a number that is none": forging.counter(b"\3" + bytes(8)),
    "a number that is NaN": forging.counter(float("nan")),
    "a number that is infinite": forging.counter(float("inf")),
    "an integer of four gigabytes": forging.counter(b"\2" + MANY + b"\1", b""),
    "lanes of another width": one_slice(width=3, lanes=b"\1\1\1"),
    "lanes of no width": one_slice(width=0),
    "lanes from an odd key": one_slice(low=0x3F81),
    "lanes beyond what is narrow": one_slice(low=0x7FFE, lanes=b"\1\1"),
    "four billion lanes": claiming(lanes=HUGE),
    "four billion pairs": claiming(pairs=HUGE),
    "a pair that ought to have a lane": one_slice(pairs=[(0x3F82, 1)]),
    **{
        f"a pair of the key {key}, which no value has": one_slice(low=0, lanes=b"", pairs=[(key, 1)])
        for key in (3, 0x8001, 0xFFFF, 201_536, 1 << 19, HUGE)
    },
    "slices that are not there": frames.record(13, NUMBER + struct.pack("<BdH", 1, 0.0, 65535)),
    "closed values that are not there": forging.histogram(flags=3, through=0.0),
    "flags of a histogram that are none": forging.histogram(flags=4, through=0.0),
    "closed through NaN": forging.histogram(through=float("nan")),
    **{
        f"{value} as the {name} of a slice": one_slice(**{name: value})
        for value in (float("nan"), float("inf"))
        for name in PARTS_OF_A_SLICE
    },
}


@pytest.mark.parametrize("name", FORGED)
def test_records_that_nobody_would_write(name: str) -> None:
    """With a right checksum: refused, without any effect, and the worker can begin anew."""
    honest = worker()
    aggregator = Asking(honest.registry.clock, [honest])
    frame = frames.decode(honest.frames()[0])
    hello = next(frame.records())[2]
    kind = "histogram" if FORGED[name][0] == 13 else "counter"
    body = frame.body[:hello] + forging.series(kind, "forged") + FORGED[name]
    aggregator.apply(frames.encode(frame._replace(body=body)))
    assert told(aggregator)["bad_frames"] == 1
    honest.publisher.begin()
    honest.tell(aggregator)

    assert_alike(stats_of(aggregator), stats_of(honest.registry))


def test_a_session_that_does_not_begin_with_its_worker() -> None:
    """The first frame says whose it is, before anything else."""
    honest = worker()
    aggregator = Asking(honest.registry.clock, [honest])
    frame = frames.decode(honest.frames()[0])
    hello = next(frame.records())[2]
    for body in (b"", frame.body[hello:], frame.body[hello:] + frame.body[:hello]):
        aggregator.apply(frames.encode(frame._replace(body=body)))

    assert told(aggregator) == {"messages": 3, "bad_frames": 3, "gaps": 0}
    assert (stats_of(aggregator), aggregator.workers) == ({}, {})


def test_a_session_that_exists_is_not_spoilt_by_a_bad_frame() -> None:
    """What a worker had told before is there until it has told it again."""
    honest = worker()
    aggregator = Asking(honest.registry.clock, [honest])
    honest.tell(aggregator)
    before = stats_of(aggregator)
    session, sequence = honest.publisher.position
    bad = Frame(honest.identity, session, sequence, 1000.0, END, frames.record(99, b""))
    aggregator.apply(frames.encode(bad))
    assert_alike(stats_of(aggregator), before)
    honest.registry.meter("hits").mark(2)
    honest.tell(aggregator)
    honest.tell(aggregator)

    assert aggregator.asked == [honest]
    assert aggregator.get_stats().hits["count"] == 7
    assert_alike(stats_of(aggregator), stats_of(honest.registry))


def test_any_byte_of_a_record_may_be_another(whole: bytes) -> None:
    """With a right checksum: nothing but a bad frame comes of it, and what is shown can be written as JSON."""
    source = random.Random(5)
    for place in range(BODY, len(whole)):
        for value in {0, 1, 127, 128, 255, source.randrange(256)} - {whole[place]}:
            forged = bytearray(whole)
            forged[place] = value
            aggregator = Asking(ManualClock(1000.0), by_worker=True)
            aggregator.ask = lambda worker: None
            aggregator.apply(resealed(bytes(forged)))
            if place % 7 == 0:
                assert_readable(aggregator)


def assert_readable(aggregator: Asking) -> None:
    """Check that what an aggregator shows can be read, whatever it was told."""
    assert json.loads(json.dumps(aggregator.get_stats(), allow_nan=False))
    aggregator.tidy()


@LAW
@given(data=st.data())
def test_any_records(data: st.DataObject) -> None:
    """Of any type and with any content, in any order: nothing but bad frames comes of it."""
    honest = worker()
    frame = frames.decode(honest.frames()[0])
    known = [frame.body[start:end] for _, start, end in frame.records()]
    hello = next(frame.records())[2]
    payloads = st.one_of(st.binary(max_size=60), st.sampled_from(known))
    types = st.sampled_from([1, 2, 3, 10, 11, 12, 13, 14, 0, 200])
    content = data.draw(st.lists(st.tuples(types, payloads), max_size=6))
    aggregator = Asking(honest.registry.clock, [honest])
    records_ = b"".join(frames.record(type_, payload) for type_, payload in content)
    aggregator.apply(frames.encode(frame._replace(body=frame.body[:hello] + records_)))
    assert_readable(aggregator)
    honest.publisher.begin()
    honest.tell(aggregator)

    for name, found in stats_of(honest.registry).items():
        assert_alike(stats_of(aggregator)[name], found)


@LAW
@given(st.binary(max_size=200), st.sampled_from([0, 5, 6, 8, 24]))
def test_any_bytes(message: bytes, beginning: int) -> None:
    """Whatever somebody sends, with however much of it as it should be."""
    aggregator = Asking(ManualClock(1000.0))
    start = (b"tapes" + bytes((1, 1, 0)) + bytes(16))[:beginning]
    aggregator.apply(start + message)

    assert told(aggregator) == {"messages": 1, "bad_frames": 1, "gaps": 0}
    assert aggregator.workers == {}


def test_bad_frames_between_good_ones(whole: bytes) -> None:
    """A fuzzer at the same socket makes no difference to what honest workers tell."""
    source = random.Random(7)
    honest = worker()
    aggregator = Asking(honest.registry.clock, [honest])
    bad: List[bytes] = [whole[: source.randrange(len(whole))] for _ in range(50)]
    for _ in range(100):
        honest.registry.meter("hits").mark()
        apply(aggregator, source.sample(bad, 3))
        honest.tell(aggregator)
        apply(aggregator, [source.randbytes(source.randrange(200))])

    assert_alike(stats_of(aggregator), stats_of(honest.registry))
    assert told(aggregator) == {"messages": 500, "bad_frames": 400, "gaps": 0}
    assert aggregator.asked == []
