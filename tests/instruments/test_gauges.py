"""What a gauge does besides recording."""

from __future__ import annotations

from typing import Any

import pytest

from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock


def seen(gauge: Any, clock: ManualClock) -> Any:
    """Return the gauge's statistics."""
    return Reading.of(gauge, clock.monotonic()).statistics


@pytest.mark.parametrize(("merge", "value"), [("sum", 10), ("min", 3), ("max", 7), ("mean", 5.0), ("last", 3)])
def test_gauges_of_two_processes(merge: str, value: float) -> None:
    """Their values are combined as the gauge says; the last is the one that was set last."""
    clock = ManualClock()
    one, other = (Registry(clock=clock).gauge("a", merge=merge) for _ in range(2))
    one.set(7)
    clock.advance(1)
    other.set(3)
    clock.advance(1)
    now = clock.monotonic()

    assert one.read(now).merge(other.read(now)).value(one.merge) == value
    assert other.read(now).merge(one.read(now)).value(one.merge) == value
    assert seen(one, clock) == {"value": 7}


def test_progress_is_tracked_beside_other_changes() -> None:
    """What is set meanwhile is what the leaving ones are taken from."""
    gauge = Registry().gauge("a")
    with gauge.track_in_progress():
        gauge.set(10)

    assert seen(gauge, ManualClock()) == {"value": 9}
