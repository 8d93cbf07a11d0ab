"""Who reads thousands of series gives up its turn now and then."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any, List, Optional, Tuple

import pytest

from tapes import turns
from tapes.encoding.json import JsonFormat
from tapes.registry import Registry
from tapes.snapshot.snapshot import Readings
from tapes.testing import ManualClock
from tapes.turns import _PATIENCE, _REST, PIECE, Turns

KINDS = ("counter", "gauge", "meter", "histogram", "timer")

cpython = pytest.mark.skipif(
    sys.implementation.name != "cpython" or "free-threading" in sys.version,
    reason="Others look for garbage in other ways.",
)


class Time:
    """A clock that goes on by itself at each look, and notes when others have their turn."""

    def __init__(self, step: float) -> None:
        self.step = step
        self.now = 0.0
        self.breaths: List[float] = []

    def look(self) -> float:
        """Return the time."""
        self.now += self.step
        return self.now

    def breathe(self, seconds: float) -> None:
        """Note when, and let the time pass."""
        self.breaths.append(self.now)
        self.now += seconds


def timed(monkeypatch: pytest.MonkeyPatch, step: float) -> Time:
    """Let each piece of work take `step` seconds."""
    time = Time(step)
    monkeypatch.setattr(turns, "_free_at", 0.0)
    monkeypatch.setattr(turns, "perf_counter", time.look)
    monkeypatch.setattr(turns, "sleep", time.breathe)
    return time


def test_others_have_their_turn_after_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece is longer than it may be by more than one item, and there is no turn for nothing."""
    time = timed(monkeypatch, PIECE / 8)

    work = Turns()
    for _ in range(1000):
        work.yield_if_due()

    lengths = [after - before - _REST for before, after in zip(time.breaths, time.breaths[1:])]
    assert 1000 / 11 <= len(time.breaths) <= 1000 / 8
    assert all(PIECE * 0.99 <= length <= PIECE * 1.51 for length in lengths)


def test_those_who_do_long_work_take_turns_with_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is at a piece, no other begins one, and there is a rest for the application after each."""
    time = timed(monkeypatch, 0.0)
    pieces: List[Tuple[float, float]] = []
    others = [Turns() for _ in range(3)]

    def wait(seconds: float) -> None:
        """Let others try, as the application does while one waits."""
        time.now += seconds
        if others:
            work(others.pop())

    def work(turn: Turns) -> None:
        for _ in range(5):
            time.now = max(time.now, turn.ends)
            turn.yield_if_due()
            pieces.append((time.now, turn.ends))

    monkeypatch.setattr(turns, "sleep", wait)
    work(Turns())

    pieces.sort()
    assert len(pieces) == 20
    assert all(before[1] + _REST <= after[0] + 1e-9 for before, after in zip(pieces, pieces[1:]))


def test_nobody_waits_for_one_that_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its piece is over when it ought to be: a thread may never come back, as when a producer hangs."""
    time = timed(monkeypatch, 0.0)
    hangs, goes_on = Turns(), Turns()
    time.now = PIECE
    hangs.yield_if_due()
    begun = time.now
    goes_on.yield_if_due()

    assert time.now == pytest.approx(begun + PIECE + _REST)


def test_nobody_makes_room_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others there are, who always come first."""
    time = timed(monkeypatch, 0.0)
    turn = Turns()
    begun = time.now = PIECE

    def wait(seconds: float) -> None:
        time.now += seconds
        turns._free_at = time.now + PIECE

    monkeypatch.setattr(turns, "sleep", wait)
    turn.yield_if_due()

    assert begun + _PATIENCE <= time.now <= begun + _PATIENCE + 2 * PIECE


def test_whoever_makes_or_writes_a_snapshot_gives_up_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a metric takes as long as a piece, it does so after each."""
    registry = Registry()
    for number in range(100):
        registry.counter(f"counter{number}").increment(number)
    time = timed(monkeypatch, PIECE)

    snapshot = registry.snapshot()
    made = len(time.breaths)
    assert [reading.state.increments for reading in snapshot.readings] == list(range(100))
    read = len(time.breaths)
    JsonFormat().encode(snapshot)

    assert (made, read) == (100, 200)
    assert len(time.breaths) >= 400  # it goes through the names, and then through what is written


def test_whoever_looks_at_statistics_gives_up_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed then: an encoder that has sorted all readings before holds up nobody else either."""
    registry = Registry()
    for number in range(100):
        registry.timer(f"timer{number}").update(number)
    time = timed(monkeypatch, PIECE)
    readings = list(registry.snapshot().readings)
    made = len(time.breaths)

    assert [reading.statistics["max"] for reading in readings] == list(range(100))
    looked = len(time.breaths)
    assert [reading.statistics["max"] for reading in readings] == list(range(100))
    assert looked - made == 100
    assert len(time.breaths) == looked  # nothing is left to do


def test_where_nobody_can_wait_there_are_no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a callback of gevent's loop, where its `sleep` raises."""
    timed(monkeypatch, PIECE)
    tried: List[float] = []

    def refuse(seconds: float) -> None:
        tried.append(seconds)
        raise AssertionError("Nobody can wait here.")

    monkeypatch.setattr(turns, "sleep", refuse)

    work = Turns()
    for _ in range(10):
        work.yield_if_due()

    assert len(tried) >= 4


@cpython
@pytest.mark.usefixtures("collector", "only_new_objects")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_new_is_looked_at_a_few_at_a_time(kind: str) -> None:
    """Next to nothing of a snapshot is left for whatever looks next, which may be in the midst of a request."""
    registry = Registry(clock=ManualClock())
    metrics = [getattr(registry, kind)(f"{kind}.{number}") for number in range(10_500)]
    record = {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update")
    for number in range(2):
        for metric in metrics:
            getattr(metric, record)(1 + number)
        gc.collect()
        snapshot = registry.snapshot()

    assert len(snapshot.readings) == 10_500
    assert len(gc.get_objects(generation=0)) < 10_500 / 10


@cpython
@pytest.mark.parametrize(
    ("threshold", "looks"), [(0, 0), (100, 10), (2_000, 4), (1_000_000, 0), (None, 0)], ids=lambda value: str(value)
)
def test_the_interpreter_looks_no_more_often_than_the_program_lets_it(
    monkeypatch: pytest.MonkeyPatch, threshold: Optional[int], looks: int
) -> None:
    """A program that has turned it off, or has it look seldom, has its reasons. None stands for off."""
    seen: List[int] = []
    monkeypatch.setattr(gc, "collect", seen.append)
    monkeypatch.setattr(gc, "isenabled", lambda: threshold is not None)
    monkeypatch.setattr(gc, "get_threshold", lambda: (700 if threshold is None else threshold, 10, 10))
    work = Turns()
    for _ in range(10_000):
        work.yield_if_due()

    assert seen == [0] * looks


def test_a_long_page_is_what_get_stats_shows() -> None:
    """Wherever the parts are cut that it is put together of."""
    registry = Registry(clock=ManualClock())
    for number in range(1_500):
        registry.timer(f"timer.number{number}").update(number)

    assert json.loads(JsonFormat().encode(registry.snapshot())) == registry.get_stats().to_dict()


def test_a_snapshot_lets_go_of_its_numbers_bit_by_bit() -> None:
    """To free hundreds of thousands at once keeps every other thread from running."""

    class Watched(List[Any]):
        def __delitem__(self, which: Any) -> None:
            before = len(self)
            super().__delitem__(which)
            sizes.append(before - len(self))

    sizes: List[int] = []
    readings = Readings(())
    readings._numbers = Watched([()] * 27_500)
    del readings

    assert sum(sizes) == 27_500
    assert max(sizes) <= 1_000
