"""What StatsD is told of each kind of metric, to the letter."""

from __future__ import annotations

from itertools import chain
from typing import Any, List, Literal

import pytest

from tapes.kinds.kind import RATE, SUM, TOTAL, VALUE, Kind
from tapes.registry import Registry
from tapes.reporting.statsd.deliveries import Deliveries
from tapes.reporting.statsd.lines import counters, gauges, names
from tapes.snapshot import Reading, Snapshot
from tapes.testing import ManualClock


@pytest.fixture
def registry() -> Registry:
    """Make a registry whose time stands still."""
    return Registry(clock=ManualClock())


def lines_of(registry: Registry, prefix: str = "", style: Literal["name", "datadog"] = "name") -> List[str]:
    """Write everything that a registry holds, as if nothing had been delivered yet."""
    return written(registry.snapshot(), prefix, style)


def written(snapshot: Snapshot, prefix: str = "", style: Literal["name", "datadog"] = "name") -> List[str]:
    """Write a snapshot: the changes of counters first."""
    named = names(snapshot, prefix, style)
    changes = Deliveries().changes(snapshot.readings)
    return [*chain.from_iterable(counters(changes, named)), *chain.from_iterable(gauges(snapshot, named))]


@pytest.mark.parametrize(
    ("up", "down", "expected"),
    [(3, 0, ["hits.value:+3|c"]), (1, 4, ["hits.value:-3|c"]), (0.5, 0, ["hits.value:+0.5|c"]), (2, 2, []), (0, 0, [])],
)
def test_a_counter_is_its_change(registry: Registry, up: float, down: float, expected: List[str]) -> None:
    """A counter is one line with the sign of its change, and none if it has not changed."""
    registry.counter("hits").increment(up)
    registry.counter("hits").decrement(down)

    assert lines_of(registry) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, ["temperature.value:7|g"]),
        (0, ["temperature.value:0|g"]),
        (1e-7, ["temperature.value:0.0000001|g"]),
        (-2.5, ["temperature.value:0|g\ntemperature.value:-2.5|g"]),
    ],
)
def test_a_gauge_is_its_value(registry: Registry, value: float, expected: List[str]) -> None:
    """A gauge is one line; below zero two that stay together, as a sign alone would make it a change."""
    registry.gauge("temperature").set(value)

    assert lines_of(registry) == expected


def test_a_gauge_without_a_value_is_not_sent(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """A gauge that nobody has set, or whose producer fails, is left out, and the others are sent."""
    registry.gauge("unset")
    registry.gauge("failing", lambda: 1 / 0)
    registry.gauge("fine", lambda: 3)

    assert lines_of(registry) == ["fine.value:3|g"]


def test_a_meter_is_a_total_and_three_rates(registry: Registry) -> None:
    """The total is not called count, which some configurations of Graphite would add up."""
    registry.meter("hits").mark(4)

    assert lines_of(registry) == ["hits.total:4|g", "hits.m1_rate:0|g", "hits.m5_rate:0|g", "hits.m15_rate:0|g"]


def test_a_histogram_is_a_total_and_its_spread(registry: Registry) -> None:
    """All that a histogram shows, but its sum."""
    for value in (1, 1, 1):
        registry.histogram("size").update(value)

    assert lines_of(registry) == [
        "size.total:3|g",
        "size.min:1|g",
        "size.max:1|g",
        "size.mean:1|g",
        "size.stddev:0|g",
        "size.q50:1|g",
        "size.q75:1|g",
        "size.q95:1|g",
        "size.q98:1|g",
        "size.q99:1|g",
        "size.q999:1|g",
    ]


def test_a_timer_is_both_in_milliseconds(registry: Registry) -> None:
    """A timer is a meter and a histogram whose durations are in milliseconds; its rates are a second."""
    registry.timer("latency").update(0.25)

    assert lines_of(registry) == [
        "latency.total:1|g",
        "latency.m1_rate:0|g",
        "latency.m5_rate:0|g",
        "latency.m15_rate:0|g",
        "latency.min:250|g",
        "latency.max:250|g",
        "latency.mean:250|g",
        "latency.stddev:0|g",
        "latency.q50:250|g",
        "latency.q75:250|g",
        "latency.q95:250|g",
        "latency.q98:250|g",
        "latency.q99:250|g",
        "latency.q999:250|g",
    ]


def test_a_kind_that_is_not_known_is_sent_as_it_is() -> None:
    """Whatever another kind of metric shows is sent under its own keys."""
    reading: Any = Reading("odd", (), "odometer", {"km": 12, "miles": None}, None)

    assert written(Snapshot(0.0, (reading,))) == ["odd.km:12|g"]


def test_the_prefix_comes_first(registry: Registry) -> None:
    """Every name begins with the prefix."""
    registry.counter("hits", {"page": "home"}).increment()
    registry.gauge("load").set(-1)

    assert lines_of(registry, prefix="shop.") == [
        "shop.hits.page_home.value:+1|c",
        "shop.load.value:0|g\nshop.load.value:-1|g",
    ]


def test_tags_of_dogstatsd_end_each_line(registry: Registry) -> None:
    """In the style of DogStatsD every line of a series ends with its tags."""
    registry.counter("hits", {"page": "home", "code": "200"}).increment()
    registry.gauge("load", tags={"core": "0"}).set(-1)
    registry.counter("plain").increment()

    assert lines_of(registry, style="datadog") == [
        "hits.value:+1|c|#code:200,page:home",
        "plain.value:+1|c",
        "load.value:0|g|#core:0\nload.value:-1|g|#core:0",
    ]


def test_series_whose_names_would_be_alike_are_kept_apart(registry: Registry) -> None:
    """A series that would have the name of an earlier one gets another, and is said to."""
    registry.counter("hits", {"page": "a_b"}).increment(1)
    registry.counter("hits", {"page_a": "b"}).increment(2)
    registry.counter("hits.page_a_b").increment(3)

    found = names(registry.snapshot(), "", "name")

    assert lines_of(registry) == [
        "hits.page_a_b.value:+1|c",
        "hits.page_a_b_0x_page_a_0x3d_b.value:+2|c",
        "hits.page_a_b_0x_.value:+3|c",
    ]
    assert found.clashes == [1, 2]
    assert names(registry.snapshot(), "", "datadog").clashes == []


class TallyKind(Kind):
    """A kind with a statistic of each role."""

    __slots__ = ()

    statistics = (("seen", TOTAL), ("all", SUM), ("pace", RATE), ("last", VALUE))
    unit = "s"


@pytest.mark.parametrize("kind", [TallyKind("tally"), "tally"])
def test_a_new_kind_is_sent_by_the_roles_of_its_statistics(kind: str) -> None:
    """Durations in milliseconds, and no sum. A reading from another process has the name of its kind alone."""
    reading = Reading("shop.queue", (), kind, {"seen": 3, "all": 4.5, "pace": 0.5, "last": 1.5}, None)
    snapshot = Snapshot(0.0, [reading])

    (lines,) = gauges(snapshot, names(snapshot, "", "name"))
    assert lines == [
        "shop.queue.total:3|g",
        "shop.queue.pace_rate:0.5|g",
        "shop.queue.last:1500|g",
    ]
    assert list(Deliveries().changes([reading])) == []
