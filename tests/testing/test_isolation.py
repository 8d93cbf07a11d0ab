"""A clean slate for a test, and a reporter that remembers."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, List, Tuple

import pytest

import tapes
from tapes.errors import MetricError
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.testing import ManualClock, MemoryReporter, isolated_registry
from tests.concurrency.alone import forked

AT_IMPORT = tapes.counter("isolation.at_import")


def test_metrics_made_at_import_time_begin_at_zero_and_get_their_values_back() -> None:
    """A counter that a module holds counts from zero inside, and afterwards goes on from where it was, each time."""
    with isolated_registry():
        AT_IMPORT.increment(5)
        for number in range(3):
            with isolated_registry() as registry:
                assert registry is DEFAULT_REGISTRY
                assert registry.get_stats().isolation.at_import.value == 0
                AT_IMPORT.increment(2)
                assert registry.get_stats().isolation.at_import.value == 2

            AT_IMPORT.increment()
            assert tapes.get_stats().isolation.at_import.value == 6 + number


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


KINDS = ("counter", "gauge", "histogram", "meter", "timer")

MODULE = """
import tapes

orders = tapes.counter("late.orders")
failures = tapes.meter("late.failures", tags={"k": "v"})
sizes = tapes.histogram("late.sizes")
busy = tapes.gauge("late.busy")
tapes.gauge("late.pool", lambda: 3, merge="max")

@tapes.timer("late.latency").time()
@failures.mark_exceptions(KeyError)
def buy(size):
    orders.increment()
    sizes.update(size)
    busy.set(size)
    if size > 10:
        raise KeyError

class Handler(metaclass=tapes.metered_meta([("errors", "late.{}.errors", tapes.counter)])):
    pass
"""


def late_stats(buy: Any) -> Any:
    """Use everything that a module has made, and return what is shown of it."""
    with contextlib.suppress(KeyError):
        buy["buy"](11)
    buy["Handler"].errors.increment(2)
    late = tapes.get_stats().late
    return (
        *(late.orders.value, late.failures["k=v"]["count"], late.sizes.sum, late.latency["count"]),
        *(late.busy.value, late.pool.value, late.Handler.errors.value),
    )


@pytest.mark.parametrize("inside", [True, False])
def test_a_module_that_is_imported_inside_goes_on_afterwards(inside: bool) -> None:
    """Its metrics are as those of a module that was imported before: in the next test, and where no test is."""
    module: Any = {}
    with isolated_registry():
        exec(MODULE, module)
        assert late_stats(module) == (1, 1, 11.0, 1, 11, 3, 2)
    for _ in range(3):
        with isolated_registry() if inside else contextlib.nullcontext():
            seen = late_stats(module)
            if inside:
                assert seen == (1, 1, 11.0, 1, 11, 3, 2)

    assert inside or seen == (3, 3, 33.0, 3, 11, 3, 6)
    DEFAULT_REGISTRY.discard(metric for metric in DEFAULT_REGISTRY if metric.name.startswith("late."))


@pytest.fixture
def registry() -> Registry:
    """Return a registry."""
    return Registry(clock=ManualClock())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_made_inside_is_there_again_when_it_is_asked_for(registry: Registry, kind: str) -> None:
    """The same object, at zero, shown from then on. Before, it is not shown."""
    with isolated_registry(registry):
        made = getattr(registry, kind)("m", tags={"k": "v"})
        getattr(made, {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update"))(1)
    assert (registry.get_stats(), len(registry), list(registry)) == ({}, 0, [])
    assert made in registry

    assert getattr(registry, kind)("m", tags={"k": "v"}) is made
    (reading,) = registry.snapshot().readings
    assert not any(reading.statistics.values())


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a.value"), ("a.m1", "a")])
def test_what_was_made_inside_is_in_nobodys_way(registry: Registry, names: Tuple[str, str]) -> None:
    """Another test may use the name for another kind, or one that would collide."""
    with isolated_registry(registry):
        held = registry.counter(names[0])
    for _ in range(2):
        with isolated_registry(registry):
            other = registry.meter(names[1])
            other.mark()
            held.increment()
            assert list(registry) == [other]
            assert len(registry.snapshot().readings) == 1


def test_gauges_that_were_made_inside(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """One with a producer goes on being asked, until another test makes of its name what it likes."""
    with isolated_registry(registry):
        registry.gauge("g", lambda: 1, merge="max")
    assert registry.get_stats().g.value == 1
    with isolated_registry(registry):
        assert registry.gauge("g").merge == "max"
        assert registry.get_stats().g.value == 1
    with isolated_registry(registry):
        assert registry.gauge("g", lambda: 2, merge="min").merge == "min"
        assert registry.get_stats().g.value == 2
    with isolated_registry(registry):
        with registry.gauge("g").track_in_progress():
            assert registry.get_stats().g.value == 1
        with pytest.raises(MetricError):
            registry.gauge("g").set("x")  # type: ignore[arg-type]  # which is no number, and changes nothing
        assert registry.get_stats().g.value == 1
        registry.gauge("g").set(5)
        assert registry.get_stats().g.value == 5

    assert registry.get_stats() == {"g": {"value": 1}}
    assert caplog.records == []


def test_isolation_asks_no_producer(registry: Registry) -> None:
    """It puts away what was recorded, with the registry locked: no code of the program is called."""
    asked: List[int] = []
    registry.gauge("g", lambda: asked.append(1))
    with isolated_registry(registry):
        registry.gauge("h", lambda: asked.append(2))

    assert asked == []


def test_a_producer_that_a_test_gives_to_a_gauge(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """At the end the gauge has its own again, and its way to be merged."""
    gauge, plain = registry.gauge("g", lambda: 1, merge="max"), registry.gauge("plain")
    with isolated_registry(registry):
        registry.gauge("g", lambda: 2)
        registry.gauge("plain", lambda: 3, merge="min")
        assert registry.get_stats() == {"g": {"value": 2}, "plain": {"value": 3}}
    plain.set(5)

    assert registry.get_stats() == {"g": {"value": 1}, "plain": {"value": 5}}
    assert (gauge.merge, plain.merge) == ("max", "sum")


def test_removing_what_was_made_inside(registry: Registry) -> None:
    """Inside it comes back at the end, as everything does; outside it is gone for good."""
    with isolated_registry(registry):
        made = registry.counter("m")
    removals: List[Callable[[], object]] = [
        registry.clear,
        lambda: registry.remove("m"),
        lambda: registry.discard([metric for metric in [registry.counter("m")] if metric is made]),
    ]
    for remove in removals:
        with isolated_registry(registry):
            remove()
            made.increment()
            assert registry.get_stats() == {}
        assert registry.counter("m") is made
        with isolated_registry(registry):
            pass
        remove()
        made.increment()
        assert registry.get_stats() == {}
        with isolated_registry(registry):
            made = registry.counter("m")


def test_what_is_logged_once_is_logged_in_each_test(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever other tests have logged before, and without an effect on the program after them."""
    registry = Registry(max_tag_sets=1)
    for _ in range(2):
        with isolated_registry(registry):
            for user in "abc":
                registry.counter("m", {"user": user})
    for user in "abc":
        registry.counter("m", {"user": user})

    assert len(caplog.records) == 3


def test_a_fork_inside_takes_nothing_along(registry: Registry) -> None:
    """A child that leaves the isolation does not count again what its parent has counted before."""
    counter = registry.counter("m")
    counter.increment(40)
    isolation = isolated_registry(registry)

    def leave() -> int:
        isolation.__exit__(None, None, None)
        return int(registry.get_stats().m.value)

    with isolation:
        counter.increment(2)
        child = forked(leave)

    assert (registry.get_stats().m.value, child) == (40, 0)


def test_notes_of_readers(registry: Registry) -> None:
    """What they have noted is put away and comes back, and a child begins with none."""
    notes = registry.notes
    assert notes == {}
    notes["reader"] = "told"
    with isolated_registry(registry):
        assert registry.notes == {}
        with isolated_registry(registry):
            assert registry.notes is not None
            registry.notes["reader"] = "told inside"

    assert registry.notes is notes
    assert notes == {"reader": "told"}
    registry.after_fork()
    assert registry.notes == {}
