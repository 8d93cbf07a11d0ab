"""Samples of the wire format, byte for byte. `docs/wire.md` says what each byte is.

If one of these fails the format has changed: that takes another version, and a word in the changelogs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, NamedTuple

import pytest

from tapes.distributed import frames, journal, presence, records, state_format
from tapes.distributed.frames import END, ENDING, LEAVING, Frame
from tapes.distributed.records import Hello, Series
from tapes.facts import Facts
from tapes.kinds.kind import Kind
from tapes.kinds.slices import HistogramUpdate
from tapes.state.counter import CounterState
from tapes.state.distribution import EMPTY, Distribution
from tapes.state.gauge import MERGES, UNSET, GaugeState
from tapes.state.histogram import NEVER, HistogramState, Slice
from tapes.state.meter import MeterState
from tapes.state.timer import TimerState
from tapes.testing import ManualClock
from tapes.wire import Reader
from tests.distributed.simulated import Asking, Simulated, assert_alike, stats_of
from tests.distributed.states import KINDS, read, seen
from tests.kinds.peak import PEAK, PeakState


def sample(text: str) -> bytes:
    """Return the bytes that are written in hexadecimal, with remarks."""
    return bytes.fromhex("".join(line.partition("#")[0] for line in text.splitlines()))


HELLO = Hello("shop-1", "boot 7", "pid:[4026531836]", 4711, 123456789, 0.5, True)
HELLO_BYTES = sample("""
    01 3d000000                                    # a hello, 61 bytes
    67120000                                       # pid 4711
    15cd5b0700000000                               # started at 123456789
    000000000000e03f                               # interval 0.5 s
    01                                             # settles
    06000000 73686f702d31                          # host "shop-1"
    06000000 626f6f742037                          # machine "boot 7"
    10000000 7069643a5b343032363533313833365d      # processes "pid:[4026531836]"
""")

SERIES = Series(3, "timer", "sum", "shop.checkout", (("country", "dé"), ("page", "")))
SERIES_BYTES = sample("""
    02 39000000                                    # a series, 57 bytes
    03000000                                       # number 3
    04 00                                          # a timer; merged by sum, as all that are no gauges
    0d000000 73686f702e636865636b6f7574            # name "shop.checkout"
    02000000                                       # two tags
    07000000 636f756e747279                        # key "country"
    03000000 64c3a9                                # value "dé"
    04000000 70616765                              # key "page"
    00000000                                       # value ""
""")

ODD_SERIES = Series(0xFFFFFFFF, "gauge", "last", "\U0001f600\ud800", ())
ODD_SERIES_BYTES = sample("""
    02 15000000                                    # a series, 21 bytes
    ffffffff                                       # number 4294967295
    01 04                                          # a gauge, merged by last
    07000000 f09f9880 eda080                       # a name that ends with a lone surrogate
    00000000                                       # no tags
""")

NAMED_SERIES = Series(3, "peak", "sum", "queue", ())
NAMED_SERIES_BYTES = sample("""
    02 1b000000                                    # a series, 27 bytes
    03000000                                       # number 3
    ff 00                                          # a kind that has a name; merged by sum
    04000000 7065616b                              # the kind "peak"
    05000000 7175657565                            # name "queue"
    00000000                                       # no tags
""")

NAMED_STATE_BYTES = sample("""
    0f 0e000000                                    # a state of a kind that has a name, 14 bytes
    03000000                                       # number 3
    01 00 0200000000000000                         # what this kind writes: there is a value, 2
""")

REMOVED_BYTES = sample("""
    03 04000000                                    # removed, 4 bytes
    03000000                                       # number 3
""")

FACTS = Facts("Größe", "bytes")
FACTS_BYTES = sample("""
    04 1d000000                                    # what is said of a name, 29 bytes
    05000000 732e736970                            # name "s.sip"
    07000000 4772c3b6c39f65                        # description "Größe"
    05000000 6279746573                            # unit "bytes"
""")

# A state of the series 3 each.

COUNTER = CounterState(5, 0.5)
COUNTER_BYTES = sample("""
    0a 16000000                                    # a counter, 22 bytes
    03000000                                       # number 3
    00 0500000000000000                            # 5 added
    01 000000000000e03f                            # 0.5 taken away
""")

LARGE_COUNTER = CounterState(1 << 64, (1 << 64) - 1)
LARGE_COUNTER_BYTES = sample("""
    0a 20000000                                    # a counter, 32 bytes
    03000000                                       # number 3
    02 09000000 000000000000000001                 # 2 ** 64 added
    02 09000000 ffffffffffffffff00                 # 2 ** 64 - 1 taken away
""")

GAUGE = GaugeState(2, 3, -1, 4, 4.0, 1.5)
GAUGE_BYTES = sample("""
    0b 34000000                                    # a gauge, 52 bytes
    03000000                                       # number 3
    02000000                                       # two processes have a value
    000000000000f83f                               # the last was set at 1.5
    00 0300000000000000                            # sum 3
    00 ffffffffffffffff                            # minimum -1
    00 0400000000000000                            # maximum 4
    01 0000000000001040                            # last 4.0
""")

UNSET_BYTES = sample("""
    0b 10000000                                    # a gauge, 16 bytes
    03000000                                       # number 3
    00000000                                       # no process has a value
    0000000000000000                               # and none was set
""")

METER = MeterState(7, 11, 2, (2.0, 1.0, 0.5))
METER_BYTES = sample("""
    0c 36000000                                    # a meter, 54 bytes
    03000000                                       # number 3
    00 0700000000000000                            # 7 events
    00 0200000000000000                            # 2 of them in the current tick
    0b00000000000000                               # which is number 11
    0000000000000040                               # m1 2.0
    000000000000f03f                               # m5 1.0
    000000000000e03f                               # m15 0.5
""")

CLOSED = Distribution(1, 2.0, 0.0, 2.0, 2.0, {0x4000: 1})
SPREAD = Distribution(8, 5.0, 2.5, -1.0, 1.046875, {0x3F80: 2, 0x3F82: 1, 0x3F86: 1, 0: 3, 0xBF80: 1})
HISTOGRAM = HistogramState(CLOSED, 0.0, (Slice(50.0, 98.0, SPREAD),))
HISTOGRAM_BYTES = sample("""
    0d b6000000                                    # a histogram, 182 bytes
    03000000                                       # number 3
    03                                             # all there is, with what is closed
    0000000000000000                               # closed through 0
    0200                                           # 2 slices
      0000000000000000 0000000000000000            # the first is what is closed
      0100000000000000                             # 1 value
      0000000000000040                             # sum 2.0
      0000000000000000                             # squares of deviations 0.0
      0000000000000040 0000000000000040            # minimum and maximum 2.0
      00400000 01000000 00000000 01                # one lane of 1 byte from key 0x4000, no pairs
      01                                           # 1 value in it
      0000000000004940 0000000000805840            # the second is from 50 to 98
      0800000000000000                             # 8 values
      0000000000001440                             # sum 5.0
      0000000000000440                             # squares of deviations 2.5
      000000000000f0bf 0000000000c0f03f            # minimum -1.0, maximum 1.046875
      803f0000 04000000 02000000 01                # 4 lanes of 1 byte from key 0x3f80, 2 pairs
      02 01 00 01                                  # 2, 1, 0 and 1 values in them
      00000000 80bf0000                            # the keys of the pairs: zero, and that of -1
      0300000000000000 0100000000000000            # 3 and 1 values
""")

EMPTY_HISTOGRAM = HistogramState(EMPTY, NEVER, ())
EMPTY_HISTOGRAM_BYTES = sample("""
    0d 0f000000                                    # a histogram, 15 bytes
    03000000                                       # number 3
    01                                             # all there is
    000000000000f0ff                               # closed through minus infinity
    0000                                           # no slices
""")

MANY = Distribution(300, 600.0, 0.0, 2.0, 2.0, {0x4000: 300})
GROWN = HistogramState(CLOSED, 0.0, (HISTOGRAM.slices[0], Slice(100.0, 101.0, MANY)))
GROWN_BYTES = sample("""
    0d 56000000                                    # a histogram, 86 bytes
    03000000                                       # number 3
    00                                             # what has changed
    0000000000000000                               # closed through 0
    0100                                           # 1 slice
      0000000000005940 0000000000405940            # from 100 to 101
      2c01000000000000                             # 300 values
      0000000000c08240                             # sum 600.0
      0000000000000000                             # squares of deviations 0.0
      0000000000000040 0000000000000040            # minimum and maximum 2.0
      00400000 01000000 00000000 02                # one lane of 2 bytes from key 0x4000, no pairs
      2c01                                         # 300 values in it
""")

TIMER = TimerState(MeterState(1, 0, 1, (0.0, 0.0, 0.0)), HistogramState(EMPTY, NEVER, (Slice(0.0, 1.0, CLOSED),)))
TIMER_BYTES = sample("""
    0e 85000000                                    # a timer, 133 bytes
    03000000                                       # number 3
    0100000000000000                               # 1 event
    0100000000000000                               # 1 of them in the current tick
    0000000000000000                               # which is number 0
    0000000000000000                               # m1
    0000000000000000                               # m5
    0000000000000000                               # m15
    01                                             # all there is of the durations
    000000000000f0ff                               # closed through minus infinity
    0100                                           # 1 slice
      0000000000000000 000000000000f03f            # from 0 to 1
      0100000000000000                             # 1 value
      0000000000000040                             # sum 2.0
      0000000000000000                             # squares of deviations 0.0
      0000000000000040 0000000000000040            # minimum and maximum 2.0
      00400000 01000000 00000000 01                # one lane of 1 byte from key 0x4000, no pairs
      01                                           # 1 value in it
""")

# Lanes of four bytes, and counts that have no lane.
WIDE = Distribution(70_000, 0.0, 0.0, 1.0, 2.0**130, {0x3F80: 65_536, 0x3F82: 4_463, 144_320: 1})
WIDE_BYTES = sample("""
    0d 68000000                                    # a histogram, 104 bytes
    03000000                                       # number 3
    01                                             # all there is
    000000000000f0ff                               # closed through minus infinity
    0100                                           # 1 slice
      0000000000000000 000000000000f03f            # from 0 to 1
      7011010000000000                             # 70,000 values
      0000000000000000                             # sum
      0000000000000000                             # squares of deviations
      000000000000f03f 0000000000001048            # minimum 1.0, maximum 2 ** 130
      803f0000 02000000 01000000 04                # 2 lanes of 4 bytes from key 0x3f80, 1 pair
      00000100 6f110000                            # 65,536 and 4,463 values in them
      c0330200                                     # the key of the pair: beyond single precision
      0100000000000000                             # 1 value
""")

BEYOND_LANES = Distribution(1 << 32, 0.0, 0.0, 1.0, 1.0, {0x3F80: 1 << 32})
BEYOND_LANES_BYTES = sample("""
    0d 60000000                                    # a histogram, 96 bytes
    03000000                                       # number 3
    01                                             # all there is
    000000000000f0ff                               # closed through minus infinity
    0100                                           # 1 slice
      0000000000000000 000000000000f03f            # from 0 to 1
      0000000001000000                             # 4,294,967,296 values
      0000000000000000                             # sum
      0000000000000000                             # squares of deviations
      000000000000f03f 000000000000f03f            # minimum and maximum 1.0
      00000000 00000000 01000000 01                # no lanes, 1 pair
      803f0000                                     # the key of the pair
      0000000001000000                             # 4,294,967,296 values
""")


def alone(values: Distribution) -> HistogramState:
    """Return the state of a histogram with one slice."""
    return HistogramState(EMPTY, NEVER, (Slice(0.0, 1.0, values),))


class Sample(NamedTuple):
    """A state, the one that the receiver knows, and the bytes of the record."""

    kind: str
    state: Any
    known: Any
    content: bytes


STATES: Dict[str, Sample] = {
    "counter": Sample("counter", COUNTER, None, COUNTER_BYTES),
    "counter that was known": Sample("counter", COUNTER, LARGE_COUNTER, COUNTER_BYTES),
    "large counter": Sample("counter", LARGE_COUNTER, None, LARGE_COUNTER_BYTES),
    "gauge": Sample("gauge", GAUGE, None, GAUGE_BYTES),
    "unset gauge": Sample("gauge", UNSET, None, UNSET_BYTES),
    "meter": Sample("meter", METER, None, METER_BYTES),
    "histogram": Sample("histogram", HISTOGRAM, None, HISTOGRAM_BYTES),
    "empty histogram": Sample("histogram", EMPTY_HISTOGRAM, None, EMPTY_HISTOGRAM_BYTES),
    "histogram that has grown": Sample("histogram", GROWN, HISTOGRAM, GROWN_BYTES),
    "histogram with wide lanes": Sample("histogram", alone(WIDE), None, WIDE_BYTES),
    "histogram with counts beyond lanes": Sample("histogram", alone(BEYOND_LANES), None, BEYOND_LANES_BYTES),
    "timer": Sample("timer", TIMER, None, TIMER_BYTES),
}


def read_state(content: bytes, kind: Kind) -> Any:
    """Return the state of the series 3, or what has changed of it, from its record."""

    def reading(reader: Reader) -> Any:
        assert records.read_number(reader) == 3
        return kind.read(reader)

    return read(content, reading)


@pytest.mark.parametrize("name", STATES)
def test_states_are_written_as_ever(name: str) -> None:
    """Each kind, in each of the forms that it has."""
    kind, state, known, content = STATES[name]

    assert records.state(KINDS[kind], 3, state, known).hex() == content.hex()


@pytest.mark.parametrize("name", [name for name in STATES if name != "histogram that has grown"])
def test_states_are_read_as_ever(name: str) -> None:
    """The sample is the state that it was made of."""
    kind, state, _, content = STATES[name]

    assert seen(KINDS[kind].full_state(read_state(content, KINDS[kind]))) == seen(state)


def test_a_change_of_a_histogram_is_read_as_ever() -> None:
    """The slices that are others than before, and nothing of what was known."""
    update = read_state(GROWN_BYTES, KINDS["histogram"])

    assert seen(update) == seen(HistogramUpdate(False, 0.0, None, [GROWN.slices[1]]))


def test_states_of_a_kind_that_has_a_name() -> None:
    """The kind writes what follows the number of the series."""
    assert records.state(PEAK, 3, PeakState(2), None).hex() == NAMED_STATE_BYTES.hex()
    assert read_state(NAMED_STATE_BYTES, PEAK).peak == 2


@pytest.mark.parametrize(
    ("write", "reading", "said", "content"),
    [
        (records.hello, records.read_hello, HELLO, HELLO_BYTES),
        (records.series, records.read_series, SERIES, SERIES_BYTES),
        (records.series, records.read_series, ODD_SERIES, ODD_SERIES_BYTES),
        (records.series, records.read_series, NAMED_SERIES, NAMED_SERIES_BYTES),
        (lambda said: records.facts(*said), records.read_facts, ("s.sip", FACTS), FACTS_BYTES),
        (records.removed, records.read_removed, 3, REMOVED_BYTES),
    ],
    ids=["hello", "series", "odd series", "series of a named kind", "facts", "removed"],
)
def test_what_is_said_of_workers_and_series(write: Any, reading: Any, said: object, content: bytes) -> None:
    """It is written and read as ever."""
    assert write(said).hex() == content.hex()
    assert read(content, reading) == said


WORKER = bytes(range(16))
FRAME = Frame(WORKER, 0x0102030405, 7, 1000.5, END, REMOVED_BYTES + COUNTER_BYTES)
FRAME_BYTES = sample("""
    7461706573                                     # "tapes"
    01                                             # version 1
    01                                             # END
    00                                             # nothing
    000102030405060708090a0b0c0d0e0f               # the worker
    0504030201000000                               # session 4328719365
    07000000                                       # frame 7 of it
    0000000000448f40                               # all that was recorded before 1000.5
    24000000                                       # 36 bytes of records
    d5ac88f8                                       # CRC-32 of all bytes but these
    03 04000000 03000000                           # removed: number 3
    0a 16000000 03000000 00 0500000000000000 01 000000000000e03f
""")


def test_a_frame() -> None:
    """It is written and read as ever."""
    assert frames.encode(FRAME).hex() == FRAME_BYTES.hex()
    assert frames.decode(FRAME_BYTES) == FRAME
    assert [kind for kind, _, _ in FRAME.records()] == [3, 10]


def test_numbers_that_stand_for_something() -> None:
    """They are part of the format, as is their order."""
    assert (frames.VERSION, state_format.VERSION) == (1, 1)
    assert (END, LEAVING, ENDING) == (1, 2, 4)
    assert (records.HELLO, records.SERIES, records.REMOVED, records.FACTS) == (1, 2, 3, 4)
    assert {str(kind): kind.code for kind in KINDS.values()} == {
        "counter": 0,
        "gauge": 1,
        "meter": 2,
        "histogram": 3,
        "timer": 4,
    }
    assert (records.STATE, records.NAMED_STATE, records.NAMED) == (10, 15, 255)
    assert MERGES == ("sum", "min", "max", "mean", "last")


LOCAL = Hello("h", "boot 7", "p", 1, 2, 1.0, True)
FIRST = bytes(16)
SECOND = b"\xff" * 16
STATE_BYTES = sample("""
    74617065732d7374617465                         # "tapes-state"
    01                                             # version 1
    0ebd8fda                                       # CRC-32 of all that follows
    000102030405060708090a0b0c0d0e0f               # the registry
    0000000000000000                               # the generation
    06000000 626f6f742037                          # the machine "boot 7"
    01000000                                       # one worker that has gone
      00000000000000000000000000000000             # who it was
      0100000000000000 01000000                    # all before frame 1 of session 1 is known of it
    01000000                                       # one worker
      ffffffffffffffffffffffffffffffff             # who it is
      0100000000000000 01000000                    # all before frame 1 of session 1 is known of it
      01                                           # and none is missing
      0000000000448f40                             # all that it had recorded before 1000.5 is known
      2e000000                                     # a hello, 46 bytes with its head
      01 29000000                                  # which is of 41
      01000000 0200000000000000 000000000000f03f 01 01000000 68 06000000 626f6f742037 01000000 70
      02000000                                     # it has named two series
      00000000 00000000 01000000 01000000          # the numbers of both, and their places below
    02000000                                       # two series
      14000000                                     # the first, 20 bytes with its head
      02 0f000000                                  # which is of 15
      00000000 00 00 01000000 61 00000000          # the counter "a"
      12000000                                     # the state of what is gone, 18 bytes
      00 0500000000000000 00 0000000000000000      # 5
      01000000                                     # one share
      00000000 ffffffff                            # of the first worker, and no part of it
      12000000                                     # 18 bytes
      00 0200000000000000 00 0000000000000000      # 2
      1e000000                                     # the second, 30 bytes with its head
      02 19000000                                  # which is of 25
      00000000 04 00 01000000 74 01000000 01000000 6b 01000000 76    # the timer "t" with a tag
      81000000                                     # what is merged, 129 bytes
      0100000000000000 0100000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000
      01 000000000000f0ff 0100                     # one slice, with the values of both workers, since it is over
      0000000000000000 000000000000f03f 0200000000000000 0000000000001040 0000000000000000
      0000000000000040 0000000000000040 00400000 01000000 00000000 01 02
      01000000                                     # one share
      00000000 ffffffff                            # of the first worker, and no part of it
      81000000                                     # 129 bytes
      0100000000000000 0100000000000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000
      03 0000000000000000 0100                     # what has been merged of it, and up to where
      0000000000000000 0000000000000000 0100000000000000 0000000000000040 0000000000000000
      0000000000000040 0000000000000040 00400000 01000000 00000000 01 01
""")


def aggregated() -> Asking:
    """Return an aggregator that knows of a worker that has gone, and of one that has not."""
    aggregator = Asking(ManualClock(1001.0))
    aggregator.identity = WORKER
    for identity, added in ((FIRST, 5), (SECOND, 2)):
        body = records.hello(LOCAL)
        body += records.series(Series(0, "counter", "sum", "a", ()))
        body += records.state(KINDS["counter"], 0, CounterState(added, 0), None)
        body += records.series(Series(1, "timer", "sum", "t", (("k", "v"),)))
        body += records.state(KINDS["timer"], 1, TIMER, None)
        aggregator.apply(frames.encode(Frame(identity, 1, 0, 1000.5, END, body)))
    aggregator.retire(aggregator.workers[FIRST])
    return aggregator


def test_the_state_of_an_aggregator(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written and read as ever."""
    monkeypatch.setattr(state_format, "machine", lambda: "boot 7")
    monkeypatch.setattr(presence, "machine", lambda: "boot 7")
    aggregator = aggregated()

    assert state_format.encode(aggregator).hex() == STATE_BYTES.hex()
    other = Asking(ManualClock(1001.0))
    state_format.fill(other, state_format.decode(STATE_BYTES))
    assert_alike(stats_of(other), stats_of(aggregator))


DESCRIBED_BYTES = sample("""
    01000000                                       # what is said of one name
    22000000                                       # its record, 34 bytes with its head
    04 1d000000 05000000 732e736970 07000000 4772c3b6c39f65 05000000 6279746573
""")


def test_what_is_said_of_names_in_a_state() -> None:
    """It comes last. Where nothing is said there is no table, as in files from before there was anything to say."""
    clock = ManualClock(1000.0)
    aggregator, other = Asking(clock), Asking(clock)
    worker = Simulated(clock)
    worker.registry.counter("s.sip").increment()
    worker.tell(aggregator)
    without = state_format.encode(aggregator)
    worker.registry.counter("s.sip", description=FACTS.description, unit=FACTS.unit)
    worker.tell(aggregator)
    kept = state_format.encode(aggregator)
    state_format.fill(other, state_format.decode(kept))

    assert kept.endswith(DESCRIBED_BYTES)
    assert len(kept) == len(without) + len(DESCRIBED_BYTES)
    assert state_format.decode(without).facts == []
    assert other.all_facts() == {"s.sip": FACTS}


JOURNAL_BYTES = sample("""
    74617065732d6a6f75726e616c                     # "tapes-journal"
    01                                             # version 1
    0700000000000000                               # the generation
    0000000000488f40                               # what came when the clock showed 1001
    34000000                                       # 52 bytes: a frame without records
    7461706573 01 01 00 000102030405060708090a0b0c0d0e0f
    0100000000000000 00000000 0000000000448f40 00000000 bacd1694
""")


def test_the_journal_of_a_state(tmp_path: Path) -> None:
    """It is written and read as ever."""
    frame = frames.encode(Frame(WORKER, 1, 0, 1000.5, END, b""))
    written = journal.Journal(str(tmp_path / "state"), 7)
    written.add(1001.0, frame)
    written.flush()
    written.close()

    assert (tmp_path / "state.journal-7").read_bytes().hex() == JOURNAL_BYTES.hex()
    assert journal.read(str(tmp_path / "state"), 7) == journal.Past([(1001.0, frame)], 0)
