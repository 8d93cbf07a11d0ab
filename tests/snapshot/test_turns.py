"""Who reads thousands of series gives up its turn now and then."""

from __future__ import annotations

import json
from typing import Any, List

import pytest

from tapes import turns
from tapes.encoding.json import JsonFormat
from tapes.registry import Registry
from tapes.snapshot.snapshot import Readings
from tapes.testing import ManualClock
from tapes.turns import PIECE, Turns


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
        """Note when."""
        self.breaths.append(self.now)


def timed(monkeypatch: pytest.MonkeyPatch, step: float) -> Time:
    """Let each piece of work take `step` seconds."""
    time = Time(step)
    monkeypatch.setattr(turns, "perf_counter", time.look)
    monkeypatch.setattr(turns, "sleep", time.breathe)
    return time


def test_others_have_their_turn_after_each_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece is longer than it may be by more than one item, and there is no turn for nothing."""
    time = timed(monkeypatch, PIECE / 8)

    work = Turns()
    for _ in range(1000):
        work.go_on()

    lengths = [after - before for before, after in zip(time.breaths, time.breaths[1:])]
    assert 1000 / 10 <= len(time.breaths) <= 1000 / 8
    assert all(PIECE * 0.99 <= length <= PIECE * 1.26 for length in lengths)


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
        work.go_on()

    assert len(tried) >= 4


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
