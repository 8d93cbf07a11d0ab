"""No name, tag or value breaks a line, and none makes one series of two."""

from __future__ import annotations

import itertools
from typing import Dict, List, NamedTuple, Union

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.errors import TapesError
from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tests.servers.collectd import Collectd
from tests.servers.statsd import StatsD

KEYS = {"counter": 1, "gauge": 1, "meter": 4, "histogram": 11, "timer": 14}
"""How many names a series of each kind has at StatsD."""

PREFIXES = (f"example{number}" for number in itertools.count())

characters = st.sampled_from(":|@#\n ,;=/_-+.0x5fabAB\t\r\0\\\"'%é漢\ud800\U0001f600") | st.characters()
words = st.text(characters, min_size=1, max_size=6)
names = words.filter(lambda name: "" not in name.split("."))
values = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**70), 2**70)


class Series(NamedTuple):
    """A metric to be made."""

    kind: str
    name: str
    tags: Dict[str, str]
    value: Union[int, float]


# No more tags than fit into a packet when every character is written as its code point.
tags = st.dictionaries(words, st.text(characters, max_size=6), max_size=3)
series = st.builds(Series, st.sampled_from([*KEYS]), names, tags, values)

LOOKALIKES = [
    Series("counter", name, {}, number)
    for number, name in enumerate(
        ("a b", "a_b", "a_0x20_b", "a  b", "a/b", "a-b", "a:b", "a|b", "a\nb", "ab", "aB", "a;b"), 1
    )
]
TAGGED_LOOKALIKES = [
    Series("gauge", "a", {"b": "c"}, 1),
    Series("gauge", "a.b_c", {}, 2),
    Series("gauge", "a", {"b_c": ""}, 3),
    Series("gauge", "a", {"b": "c", "d": "e"}, 4),
    Series("gauge", "a", {"b": "c.d_e"}, 5),
    Series("gauge", "a", {"b": "c,d=e"}, 6),
    Series("gauge", "a.b_c", {"d": "e"}, 7),
    Series("gauge", "a", {"b": "c,d_e"}, 8),
    Series("gauge", "a", {"b": ""}, 9),
]
FOR_OTHERS = [Series("gauge", "a.b:1|g\na.b", {"k|": "v:2|c"}, -1.5), Series("meter", "a:1|c|@0.1|#x:y", {"": ""}, 3)]


def fill(registry: Registry, wanted: List[Series]) -> int:
    """Make the metrics, as far as they can be in one registry, and record to them. Return how many names they have."""
    made = {}
    for one in wanted:
        try:
            metric = getattr(registry, one.kind)(one.name, tags=one.tags)
        except TapesError:
            continue  # what cannot be in the registry, as the name is taken by another kind, is not reported either
        if metric in made:
            continue
        made[metric] = KEYS[one.kind]
        if one.kind == "gauge":
            metric.set(one.value)
        elif one.kind == "counter":
            metric.increment(one.value or 1)  # nothing is sent of a counter at zero
        elif one.kind == "meter":
            metric.mark()
        else:
            metric.update(abs(float(one.value)) % 1e9)
    return sum(made.values())


@settings(max_examples=30)
@given(st.lists(series, min_size=1, max_size=6))
@example(LOOKALIKES)
@example(TAGGED_LOOKALIKES)
@example(FOR_OTHERS)
def test_series_stay_apart_whatever_they_are_called(
    shared_server: StatsD, collectd: Collectd, wanted: List[Series]
) -> None:
    """StatsD holds as many names as there are, it and collectd read every line, and each value is in one of them."""
    registry = Registry()
    expected = fill(registry, wanted)
    prefix = next(PREFIXES)
    set_values = [
        reading.statistics["value"] for reading in registry.snapshot().readings if "value" in reading.statistics
    ]

    for port in (shared_server.port, collectd.port):
        reporter = StatsdReporter(10, "127.0.0.1", port, prefix, registry)
        reporter.report()
        reporter.close()
    shared_server.settle()

    everything = {**shared_server.totals(), **shared_server.gauges()}
    held = {name: value for name, value in everything.items() if name.startswith(f"{prefix}.")}
    assert len(held) == expected
    assert sorted(value for name, value in held.items() if name.endswith(".value")) == sorted(
        map(as_double, set_values)
    )
    assert shared_server.bad_lines() == 0
    assert collectd.rejected() == []


@settings(max_examples=20)
@given(st.lists(series, min_size=1, max_size=6))
def test_datadog_tags_break_no_line(shared_server: StatsD, wanted: List[Series]) -> None:
    """Also with tags in the style of DogStatsD there is no line that StatsD cannot read."""
    registry = Registry()
    fill(registry, wanted)
    before = shared_server.lines()

    reporter = StatsdReporter(10, "127.0.0.1", shared_server.port, next(PREFIXES), registry, tags="datadog")
    reporter.report()
    reporter.close()
    shared_server.settle()

    assert shared_server.lines() > before
    assert shared_server.bad_lines() == 0


def test_collectd_holds_what_it_was_sent(collectd: Collectd, registry: Registry) -> None:
    """The strict parser takes names, signs and numbers for what they are."""
    registry.gauge("stock", tags={"item": "a book"}).set(-2.5)
    registry.gauge("share").set(1e-7)
    registry.counter("orders").increment(3)
    registry.counter("refunds").decrement(3)

    for _ in range(2):
        registry.counter("orders").increment()
        reporter = StatsdReporter(10, "127.0.0.1", collectd.port, "strict", registry)
        reporter.report()
        reporter.close()

    gauges, counters = collectd.gauges(), collectd.counters()
    assert {name: value for name, value in gauges.items() if name.startswith("strict.")} == {
        "strict.share.value": 1e-7,
        "strict.stock.item_a_0x20_book.value": -2.5,
    }
    assert [name for name in counters if name.startswith("strict.")] == ["strict.orders.value", "strict.refunds.value"]
    assert collectd.rejected() == []


def as_double(value: object) -> float:
    """Return a number as a program that computes with doubles has it."""
    assert isinstance(value, (int, float))
    return float(value)


def test_without_care_names_would_not_stay_apart(shared_server: StatsD) -> None:
    """StatsD itself drops what it does not keep of a name, and makes one series of two."""
    shared_server.send("care less:1|c\ncare_less:1|c\ncar\u00e9:1|c\ncar:1|c\n")
    shared_server.settle()

    totals = shared_server.totals()
    assert {name: count for name, count in totals.items() if name.startswith("car")} == {"care_less": 2, "car": 2}
