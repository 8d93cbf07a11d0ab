"""What a destination has been told of counters."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any, Dict, Hashable, Iterator, List

import pytest

from tapes.registry import Registry
from tapes.reporting.statsd.deliveries import Changes, Deliveries, deliveries
from tapes.snapshot import Reading
from tapes.state.counter import CounterState


@pytest.fixture
def registry() -> Registry:
    """Make an empty registry."""
    return Registry()


def notes_of(registry: Registry) -> Dict[Hashable, Any]:
    """Return what readers have noted of a registry."""
    assert registry.notes is not None
    return registry.notes


def book(registry: Registry) -> Deliveries:
    """Return what one destination has been told of a registry."""
    return deliveries(notes_of(registry), "here")


def changes(told: Deliveries, registry: Registry) -> Changes:
    """Look at what is to be told."""
    return told.changes(registry.snapshot().readings)


def deliver(told: Deliveries, registry: Registry) -> List[float]:
    """Tell everything that there is to tell, and return by how much the counters have changed."""
    found = changes(told, registry)
    for change in found:
        told.delivered(change)
    return [change.value for change in found]


def test_a_change_is_told_once(registry: Registry) -> None:
    """What was delivered is not to be told again, and what comes later is a change from there."""
    told = Deliveries()
    registry.counter("a").increment(3)
    registry.counter("a").decrement(1)

    first = deliver(told, registry)
    nothing = deliver(told, registry)
    registry.counter("a").increment()
    registry.counter("b").decrement(5)

    assert (first, nothing, deliver(told, registry)) == ([2], [], [1, -5])


def test_a_change_that_was_not_delivered_stays(registry: Registry) -> None:
    """What was looked at only is still to be told, together with what has come since."""
    told = Deliveries()
    registry.counter("a").increment(3)
    changes(told, registry)
    registry.counter("a").increment()

    assert deliver(told, registry) == [4]


def test_many_small_changes_leave_no_remainder(registry: Registry) -> None:
    """Rounding makes no change of its own: after each delivery there is nothing to tell."""
    told = Deliveries()

    for _ in range(100):
        registry.counter("a").increment(0.1)
        registry.counter("a").decrement(0.3)
        assert len(deliver(told, registry)) == 1
        assert deliver(told, registry) == []


def test_what_was_refused_is_told_again(registry: Registry) -> None:
    """Another reporter may have gone on from there; what it has delivered stays delivered."""
    told = Deliveries()
    registry.counter("a").increment(3)
    refused = changes(told, registry)
    deliver(told, registry)
    registry.counter("a").increment(10)
    registry.counter("a").decrement(1)
    deliver(told, registry)

    told.take_back(refused)

    assert deliver(told, registry) == [3]


def test_a_counter_that_was_removed_and_made_again_begins_at_zero(registry: Registry) -> None:
    """The new counter is another one, even if it has counted more than the old had."""
    told = Deliveries()
    registry.counter("a").increment(3)
    refused = changes(told, registry)
    deliver(told, registry)
    registry.remove("a")
    registry.counter("a").increment(5)

    told.take_back(refused)  # of the old one, which is of no interest any more

    assert deliver(told, registry) == [5]


def test_what_was_refused_of_an_old_counter_is_nothing_to_a_new_one(registry: Registry) -> None:
    """A refusal that comes after a counter was removed and made again changes nothing for the new one."""
    told = Deliveries()
    registry.counter("a").increment(3)
    refused = changes(told, registry)
    deliver(told, registry)
    registry.remove("a")
    registry.counter("a").increment(5)
    deliver(told, registry)

    told.take_back(refused)

    assert deliver(told, registry) == []


def test_a_counter_that_begins_anew_in_place_is_told_whole(registry: Registry) -> None:
    """Counts only grow: one that has become less has begun at zero, as in an isolated registry."""
    told = Deliveries()
    registry.counter("a").increment(3)
    deliver(told, registry)

    with registry.isolated():
        registry.counter("a").increment(2)
        assert deliver(told, registry) == [2]


def test_counters_that_are_gone_are_forgotten(registry: Registry) -> None:
    """Memory follows the counters that there are."""
    told = Deliveries()
    for number in range(50):
        registry.counter("a", {"number": str(number)}).increment()
    deliver(told, registry)

    registry.clear()
    deliver(told, registry)

    assert told._counts == {}


def test_a_look_that_is_cut_off_forgets_nothing(registry: Registry) -> None:
    """When the readings end in an error, what was told before is known as before."""
    told = Deliveries()
    registry.counter("a").increment(3)
    deliver(told, registry)

    def cut_off() -> Iterator[Reading]:
        yield from ()
        raise KeyError("no more")

    with pytest.raises(KeyError):
        told.changes(cut_off())

    assert deliver(told, registry) == []


def test_what_was_told_is_kept_by_registry_and_destination(registry: Registry) -> None:
    """The same registry and destination have the same book, and others have others."""
    mine = book(registry)

    assert deliveries(notes_of(registry), "here") is mine
    assert deliveries(notes_of(registry), "there") is not mine
    assert deliveries(notes_of(Registry()), "here") is not mine


def test_a_registry_is_not_kept_alive() -> None:
    """When a registry is gone, so is what was told of it."""
    registry = Registry()
    registry.counter("a").increment()
    told = book(registry)
    deliver(told, registry)
    gone = weakref.ref(told)

    del registry, told
    gc.collect()

    assert gone() is None


def test_what_was_told_before_an_isolation_is_kept_for_after_it(registry: Registry) -> None:
    """Inside nothing has been told yet, and nothing of it counts for what is told outside."""
    counter = registry.counter("a")
    counter.increment(40)
    outside = deliver(book(registry), registry)
    with registry.isolated():
        counter.increment()
        inside = [deliver(book(registry), registry) for _ in range(2)]
    after = deliver(book(registry), registry)
    counter.increment(2)

    assert (outside, inside, after, deliver(book(registry), registry)) == ([40], [[1], []], [], [2])


def test_a_child_process_has_told_nothing(registry: Registry) -> None:
    """In a forked child counters begin at zero, and so does what was told of them, even while the parent tells."""
    counter = registry.counter("a")
    counter.increment(3)
    told = book(registry)
    deliver(told, registry)

    told.lock.acquire()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            counter.increment(1)
            of_child = book(registry)
            if of_child.lock.acquire(timeout=60) and deliver(of_child, registry) == [1]:
                status = 0
        finally:
            os._exit(status)
    told.lock.release()

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert deliveries(notes_of(registry), "here") is told


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_that_is_rounded_in_another_way_has_not_begun_anew(sign: int) -> None:
    """What is added up in another order, as when a worker leaves, may fall a little. That is nothing to tell."""
    told = Deliveries()
    sums = [0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1, 0.75]
    assert sums[1] < sums[0]

    found = []
    for each in sums:
        state = CounterState(each, 0.0) if sign > 0 else CounterState(0.0, each)
        for change in told.changes([Reading("spent", (), "counter", None, state)]):
            told.delivered(change)
            found.append(change.value)

    assert found == [sign * sums[0], sign * (sums[2] - sums[0])]
