"""What changes of a registry cost, and changes of it in the middle of one another."""

from __future__ import annotations

import sys
import tracemalloc
from contextlib import suppress
from typing import Callable, Dict, List

import pytest

from tapes.errors import MetricError
from tapes.facts import NO_FACTS
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.concurrency.interruption import at_every_point, instructions

Change = Callable[[Registry], object]

ITEM = "shop.orders.item"

CHANGES: Dict[str, Change] = {
    "remove": lambda registry: registry.remove(ITEM),
    "remove one series": lambda registry: registry.remove(ITEM, {"k": "v"}),
    "discard": lambda registry: registry.discard([metric for metric in registry if metric.name == ITEM]),
    "create beside": lambda registry: registry.counter("shop.orders.other"),
    "create another series": lambda registry: registry.meter(ITEM, {"k": "w"}),
    "create below": lambda registry: registry.timer(f"{ITEM}.more.below", {"k": "v"}),
    "describe": lambda registry: registry.counter("shop.orders.other", description="Other orders."),
    "clear": lambda registry: registry.clear(),
}

PLACES = ["shop", "shop.orders", ITEM, "shop.orders.other", f"{ITEM}.more", f"{ITEM}.more.below"]


class Interrupted(BaseException):
    """What a signal handler raises to end what the program is at."""


def prepared() -> Registry:
    """Return a registry with two series of one name, which have been asked for before."""
    registry = Registry(clock=ManualClock())
    for tags in ({"k": "v"}, {}, {"k": "v"}, {}):
        registry.meter(ITEM, tags, description="Items that were ordered.")
    return registry


def contradictions(registry: Registry) -> List[str]:
    """Return what is wrong with the indices of a registry: they have to say what iterating over it says."""
    metrics = list(registry)
    found = [
        f"{metric!r} is not found again"
        for metric in metrics
        if getattr(registry, metric.kind)(metric.name, dict(metric.tags)) is not metric
    ]
    if list(registry) != metrics:
        found.append(f"{list(registry)} is not {metrics}")
    kinds = {metric.name: metric.kind for metric in metrics}
    taken = {ITEM: "meter", **kinds}
    for name in kinds:
        with suppress(MetricError):
            found.append(f"{registry.histogram(name)!r} has the name of another kind")
    for name in taken:
        registry.remove(name)
        if getattr(registry, taken[name])(name) not in registry:
            found.append(f"the removed {name!r} is still found")
        registry.remove(name)
    for name in PLACES:
        try:
            registry.histogram(f"{name}.m1")
            registry.remove(f"{name}.m1")
            registry.meter(name)
            if registry.facts(name) != NO_FACTS:
                found.append(f"what was said of the removed {name!r} is still there")
            registry.remove(name)
        except MetricError as error:  # noqa: PERF203  each is to be seen
            found.append(f"{name!r} is not free: {error}")
    return found


@pytest.mark.parametrize("interrupting", ["remove", "create below", "create another series", "clear"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_at_any_point_of_another_leaves_no_contradiction(change: str, interrupting: str) -> None:
    """A signal handler or a finalizer may change the registry that its own thread is just changing."""
    faults: List[str] = []

    def interrupt() -> None:
        CHANGES[interrupting](registry)

    for interruption in at_every_point(interrupt, step=7):
        registry = prepared()
        with interruption:
            CHANGES[change](registry)
        faults += [f"{interruption.where}: {fault}" for fault in contradictions(registry)]

    assert faults == []


@pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="In a handler of an exception Python before 3.11 is damaged by an exception that a trace function raises.",
)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_cut_off_at_any_point_leaves_no_contradiction(change: str) -> None:
    """An exception from a signal handler ends it anywhere."""

    def interrupt() -> None:
        raise Interrupted

    faults: List[str] = []
    for interruption in at_every_point(interrupt, step=2):
        registry = prepared()
        with suppress(Interrupted), interruption:
            CHANGES[change](registry)
        faults += [f"{interruption.where}: {fault}" for fault in contradictions(registry)]

    assert faults == []


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "discard"])
def test_a_change_costs_what_it_changes(change: str) -> None:
    """It is the same number of instructions in a registry with twenty times as many series."""
    costs = []
    for size in (20, 400):
        registry = prepared()
        for number in range(size):
            registry.counter("shop.orders.number", {"number": str(number)})
            registry.counter(f"shop.n{number}.value")
        costs.append(instructions(lambda registry=registry: CHANGES[change](registry)))  # type: ignore[misc]

    assert costs[0] == costs[1]


def test_the_others_are_found_as_fast_as_before_a_removal() -> None:
    """What a program has asked for before stays in the lookup caches when another metric goes."""
    registry = prepared()
    wanted = registry.counter("shop.orders.other", {"k": "v", "l": "w"})
    asking: Callable[[], object] = lambda: registry.counter("shop.orders.other", {"k": "v", "l": "w"})  # noqa: E731
    before = instructions(asking)
    registry.remove(ITEM)
    registry.discard([registry.counter("passing")])

    assert asking() is wanted
    assert instructions(asking) == before


@pytest.mark.parametrize(
    "ask",
    [
        lambda registry: registry.gauge("shop.queue", tags={"k": "v"}, merge="max"),
        lambda registry: registry.gauge("shop.queue", int, tags={"k": "v"}),
        lambda registry: registry.adopt(registry.counter("shop.orders", tags={"k": "v"})),
    ],
)
def test_to_ask_again_takes_no_memory(ask: Change) -> None:
    """Not even where the lookup caches do not help: with a producer, with a way to merge, or for a metric adopted."""
    registry = Registry()
    ask(registry)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(1000):
            ask(registry)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert after - before < 10_000


def test_a_name_costs_what_its_segments_cost() -> None:
    """To make and to remove a metric takes instructions in proportion to them: no path above is looked up anew."""
    registry = Registry()

    def make_and_remove() -> None:
        registry.counter(name)
        registry.remove(name)

    costs = []
    for segments in (16, 32, 64):
        name = ".".join("x" * segments)
        costs.append(instructions(make_and_remove))

    assert costs[2] - costs[1] == 2 * (costs[1] - costs[0])
