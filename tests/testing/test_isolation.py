"""A clean slate for a test, and a reporter that remembers."""

from __future__ import annotations

import contextlib

import tapes
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.testing import ManualClock, MemoryReporter, isolated_registry

AT_IMPORT = tapes.counter("isolation.at_import")


def test_metrics_made_at_import_time_begin_at_zero_and_get_their_values_back() -> None:
    """A counter that a module holds counts from zero inside, and afterwards goes on from where it was."""
    with isolated_registry():
        AT_IMPORT.increment(5)
        with isolated_registry() as registry:
            assert registry is DEFAULT_REGISTRY
            assert registry.get_stats().isolation.at_import.value == 0
            AT_IMPORT.increment(2)
            assert registry.get_stats().isolation.at_import.value == 2

        AT_IMPORT.increment()
        assert tapes.get_stats().isolation.at_import.value == 6


def test_metrics_made_inside_are_removed() -> None:
    """What a test has made is not there afterwards, even if the test fails."""
    with contextlib.suppress(KeyError), isolated_registry():
        tapes.counter("isolation.made_inside").increment()
        raise KeyError

    assert "made_inside" not in tapes.get_stats().isolation


def test_a_memory_reporter_keeps_what_it_reports() -> None:
    """Each report is a snapshot, and a tree of what it held."""
    registry = Registry(clock=ManualClock(50.0))
    counter = registry.counter("orders")
    reporter = MemoryReporter(registry=registry)

    with reporter:
        registry.clock.settle()  # type: ignore[attr-defined]  # a ManualClock
        counter.increment(4)

    assert reporter.stats == [{"orders": {"value": 0}}, {"orders": {"value": 4}}]
    assert [snapshot.taken_at for snapshot in reporter.snapshots] == [50.0, 50.0]
