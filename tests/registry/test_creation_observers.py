"""Who is told of new metrics."""

from __future__ import annotations

import threading
from typing import List, Tuple

import pytest

from tapes import observers
from tapes.errors import MetricError
from tapes.instruments import Instrument
from tapes.registry import Registry
from tapes.testing import ManualClock

Created = List[Tuple[Registry, Instrument]]


def test_each_new_metric_is_told_once(created: Created) -> None:
    """With its registry, and each series by itself; what is there already is not told."""
    first, second = Registry(), Registry()
    made = [first.counter("a"), first.counter("a", {"k": "v"}), first.timer("t"), second.gauge("a", dict)]
    first.counter("a")
    first.counter("a", {"k": "v"})
    second.gauge("a")

    assert created == list(zip([first, first, first, second], made))


def test_what_is_refused_is_not_told(created: Created) -> None:
    """There is no metric."""
    registry = Registry()
    registry.meter("a")
    for name in ("a", "a.count", ""):
        with pytest.raises(MetricError):
            registry.counter(name)

    assert [metric.name for _, metric in created] == ["a"]


def test_the_overflowing_series_is_told_once(created: Created) -> None:
    """However many tags lead to it."""
    registry = Registry(max_tag_sets=1)
    for user in range(5):
        registry.counter("a", {"user": str(user)})

    assert [metric.tags for _, metric in created] == [(("user", "0"),), (("overflow", "true"),)]


def test_a_metric_that_is_made_anew_is_told_again(created: Created) -> None:
    """After its removal it is another one."""
    registry = Registry()
    registry.counter("a")
    registry.remove("a")
    registry.counter("a")

    assert len(created) == 2


def test_observers_are_called_with_no_lock_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is at it, another thread can make metrics in the same registry."""
    registry = Registry()
    made: List[Instrument] = []

    def observe(observed: Registry, metric: Instrument) -> None:
        if metric.name == "a":
            thread = threading.Thread(target=lambda: made.append(observed.counter("b")), daemon=True)
            thread.start()
            thread.join(60)

    monkeypatch.setattr(observers, "metric_created", [observe])
    registry.counter("a")

    assert [metric.name for metric in made] == ["b"]


def test_observers_may_make_and_read_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they make is told to them, too."""
    registry = Registry()
    seen: List[str] = []

    def observe(observed: Registry, metric: Instrument) -> None:
        seen.append(metric.name)
        observed.get_stats()
        observed.counter("made.by.observer")

    monkeypatch.setattr(observers, "metric_created", [observe])
    registry.counter("a")

    assert seen == ["a", "made.by.observer"]


def test_a_metric_that_comes_into_being_twice_at_once(created: Created) -> None:
    """A signal handler that asks for the metric that is just being made: there is one, and it is told once."""

    class Interrupting(ManualClock):
        armed = False

        def monotonic(self) -> float:
            if self.armed:
                self.armed = False
                made.append(registry.counter("a"))
            return super().monotonic()

    clock = Interrupting()
    made: List[Instrument] = []
    registry = Registry(clock=clock)
    clock.armed = True

    made.append(registry.counter("a"))

    assert made[0] is made[1] is registry.counter("a")
    assert [metric for _, metric in created] == [made[0]]
