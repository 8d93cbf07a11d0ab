"""What `get_stats()` shows, literally, for every kind."""

from __future__ import annotations

import copy
import json
import pickle
from functools import partial
from typing import Any, Callable, List

import pytest
from addict import Dict

from tapes.registry import Registry
from tapes.testing import ManualClock

SPREAD = ["sum", "min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999"]
"""The keys of a distribution besides its count."""

NOTHING = dict.fromkeys(SPREAD, 0.0)


def a_registry_with_every_kind(clock: ManualClock) -> Registry:
    """Return a registry with a metric of each kind, tagged series among them."""
    registry = Registry(clock=clock)
    registry.counter("shop.orders")
    registry.counter("shop.orders", {"country": "de", "by": "card"})
    registry.gauge("shop.open")
    registry.gauge("shop.queue", lambda: 7)
    registry.meter("shop.errors")
    registry.histogram("shop.basket")
    registry.histogram("shop.basket", tags={"kind": "gift"})
    registry.timer("shop.checkout")
    return registry


def test_before_anything_is_recorded() -> None:
    """Every key is there from the beginning: 0, and for a gauge that nobody has set nothing."""
    stats = a_registry_with_every_kind(ManualClock(100.0)).get_stats()

    assert stats == {
        "shop": {
            "orders": {"value": 0, "by=card,country=de": {"value": 0}},
            "open": {"value": None},
            "queue": {"value": 7},
            "errors": {"count": 0, "m1": 0.0, "m5": 0.0, "m15": 0.0},
            "basket": {"count": 0, **NOTHING, "kind=gift": {"count": 0, **NOTHING}},
            "checkout": {"count": 0, "m1": 0.0, "m5": 0.0, "m15": 0.0, **NOTHING},
        }
    }


def test_after_records() -> None:
    """Each kind shows what it was given, in every one of its series."""
    clock = ManualClock(100.0)
    registry = a_registry_with_every_kind(clock)
    registry.counter("shop.orders").increment(5)
    registry.counter("shop.orders").decrement(2)
    registry.counter("shop.orders", {"by": "card", "country": "de"}).increment()
    registry.gauge("shop.open").set(2.5)
    registry.meter("shop.errors").mark(60)
    for value in (-1.0, 1.0, 3.0, 5.0):
        registry.histogram("shop.basket").update(value)
    registry.histogram("shop.basket", {"kind": "gift"}).update(12)
    with registry.timer("shop.checkout").time():
        clock.advance(0.25)
    clock.advance(5)

    stats = registry.get_stats()

    assert stats == {
        "shop": {
            "orders": {"value": 3, "by=card,country=de": {"value": 1}},
            "open": {"value": 2.5},
            "queue": {"value": 7},
            "errors": {
                "count": 60,
                "m1": pytest.approx(0.9594670244, abs=1e-9),
                "m5": pytest.approx(0.1983425541, abs=1e-9),
                "m15": pytest.approx(0.0664818239, abs=1e-9),
            },
            "basket": {
                "count": 4,
                "sum": 8.0,
                "min": -1.0,
                "max": 5.0,
                "mean": 2.0,
                "stddev": pytest.approx(5**0.5),
                "q50": pytest.approx(1.0, rel=0.01),
                "q75": pytest.approx(3.0, rel=0.01),
                **dict.fromkeys(["q95", "q98", "q99", "q999"], 5.0),
                "kind=gift": {"count": 1, **dict.fromkeys(SPREAD, 12.0), "stddev": 0.0},
            },
            "checkout": {
                "count": 1,
                "m1": pytest.approx(0.0159911171, abs=1e-9),
                "m5": pytest.approx(0.0033057092, abs=1e-9),
                "m15": pytest.approx(0.0011080304, abs=1e-9),
                **dict.fromkeys(SPREAD, 0.25),
                "stddev": 0.0,
            },
        }
    }


def test_the_keys_come_in_this_order() -> None:
    """Keys are in the order in which people read them, and metrics in the order in which they were made."""
    stats = a_registry_with_every_kind(ManualClock()).get_stats()

    assert list(stats.shop) == ["orders", "open", "queue", "errors", "basket", "checkout"]
    assert list(stats.shop.errors) == ["count", "m1", "m5", "m15"]
    assert list(stats.shop.basket) == ["count", *SPREAD, "kind=gift"]
    assert list(stats.shop.checkout) == ["count", "m1", "m5", "m15", *SPREAD]


def test_the_tree_is_used_as_a_dict_and_by_attributes() -> None:
    """It is an `addict.Dict` down to its leaves, and JSON as it is."""
    registry = a_registry_with_every_kind(ManualClock())
    registry.counter("shop.orders").increment(3)

    stats = registry.get_stats()

    assert (isinstance(stats, Dict), isinstance(stats, dict)) == (True, True)
    assert stats.shop.orders.value == stats["shop"]["orders"]["value"] == 3
    assert stats.shop.orders["by=card,country=de"].value == 0
    assert json.loads(json.dumps(stats, allow_nan=False)) == stats


def test_a_metric_below_another() -> None:
    """`a.b` and `a.b.c` are both there, in whatever order they were made."""
    registry = Registry(clock=ManualClock())
    registry.counter("a.b.c").increment(3)
    registry.counter("a.b").increment(2)
    registry.meter("a").mark(1)
    registry.counter("a.b", {"c": "d"}).increment(4)

    assert registry.get_stats() == {
        "a": {
            "b": {"c": {"value": 3}, "value": 2, "c=d": {"value": 4}},
            "count": 1,
            "m1": 0.0,
            "m5": 0.0,
            "m15": 0.0,
        }
    }


@pytest.mark.parametrize(
    "name", ["items", "keys.values", "update.copy.get", "shop.to_dict", "a.__class__", "_x.__parent"]
)
def test_segments_named_like_methods_of_a_dict(name: str) -> None:
    """No name is too strange to be found in the tree by its segments."""
    registry = Registry(clock=ManualClock())
    registry.counter(name).increment(1)
    registry.counter(name + ".more").increment(2)

    node: Any = registry.get_stats()
    for segment in name.split("."):
        node = node[segment]

    assert node == {"value": 1, "more": {"value": 2}}


def test_readings_tell_what_they_are_of() -> None:
    """A snapshot holds one reading a series, with its name, tags and kind, in the order of creation."""
    clock = ManualClock(17.0)
    snapshot = a_registry_with_every_kind(clock).snapshot()

    assert snapshot.taken_at == 17.0
    assert [(reading.name, reading.tags, reading.kind) for reading in snapshot.readings] == [
        ("shop.orders", (), "counter"),
        ("shop.orders", (("by", "card"), ("country", "de")), "counter"),
        ("shop.open", (), "gauge"),
        ("shop.queue", (), "gauge"),
        ("shop.errors", (), "meter"),
        ("shop.basket", (), "histogram"),
        ("shop.basket", (("kind", "gift"),), "histogram"),
        ("shop.checkout", (), "timer"),
    ]


def a_tree(registry: Registry) -> Any:
    """Return a tree with metrics, paths, and tags above and below one another."""
    registry.timer("shop.checkout.step.one")  # a path below what becomes a metric afterwards
    registry.timer("shop.checkout")
    registry.counter("shop.orders", {"k": "v"})
    registry.counter("shop.orders")
    return registry.get_stats()


def test_a_statistic_that_there_is_not() -> None:
    """At a metric's own node it is an error that names those that there are, by attribute and by item."""
    stats = a_tree(Registry())

    with pytest.raises(AttributeError) as by_attribute:
        _ = stats.shop.orders.valeu
    assert str(by_attribute.value) == "There is no 'valeu' in the statistics of a metric that has k=v, value."
    with pytest.raises(KeyError) as by_item:
        stats["shop"]["orders"]["valeu"]
    assert by_item.value.args == by_attribute.value.args
    with pytest.raises(KeyError, match="There is no 'k=w' in the statistics"):
        stats.shop.orders["k=w"]
    with pytest.raises(
        AttributeError, match=r"There is no 'q90' .* has step, count, m1, m5, m15, sum, min, max, mean,"
    ):
        _ = stats.shop.checkout.q90
    with pytest.raises(AttributeError, match="There is no 'vale' in the statistics of a metric that has value"):
        _ = stats.shop.orders["k=v"].vale
    assert not hasattr(stats.shop.orders, "valeu")
    assert stats.shop.orders.get("valeu") is None


def test_many_tags_are_not_all_listed() -> None:
    """An error has an end."""
    registry = Registry()
    for number in range(500):
        registry.counter("m", {"k": str(number)})
    registry.counter("m")

    with pytest.raises(KeyError, match="k=19 and 481 more"):
        registry.get_stats().m["k=500"]


def test_the_tree_above_metrics_is_an_addict() -> None:
    """A name that is not there is an empty dict, above metrics and on paths below them."""
    stats = a_tree(Registry())

    assert type(stats) is type(stats.shop) is type(stats.shop.checkout.step) is Dict
    assert stats.nothing.at.all == stats.shop.checkout.step.two == stats.shop["items"].size == {}
    assert isinstance(stats.shop.orders, Dict)


COPIES: List[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    lambda stats: stats.copy(),
    lambda stats: stats.deepcopy(),
    *[partial(lambda n, stats: pickle.loads(pickle.dumps(stats, n)), number) for number in range(2, 6)],
]


@pytest.mark.parametrize("copied", COPIES)
def test_copies_of_the_tree_are_like_it(copied: Callable[[Any], Any]) -> None:
    """As a whole and from a metric on, however they are copied or pickled."""
    stats = a_tree(Registry())

    assert copied(stats) == stats
    assert copied(stats.shop.checkout) == stats.shop.checkout
    with pytest.raises(AttributeError, match="has k=v, value"):
        _ = copied(stats.shop.orders).valeu


def test_plain_dicts_of_the_tree() -> None:
    """They are dicts through and through, and so is JSON."""
    stats = a_tree(Registry())

    def types(node: Any) -> Any:
        found = {type(node)}
        for child in node.values() if isinstance(node, dict) else ():
            found |= types(child)
        return found

    for node in (stats, stats.shop.checkout, stats.shop.orders):
        assert node.to_dict() == node == json.loads(json.dumps(node))
        assert types(node.to_dict()) <= {dict, int, float}


def test_a_tree_may_be_changed() -> None:
    """It is the reader's own."""
    stats = a_tree(Registry())
    stats.shop.orders.value = 3
    stats.shop.orders.note = "x"
    stats.shop.orders.update({"k=v": {"more": 1}})
    stats.shop.extra.deep = 1

    assert stats.shop.orders == {"k=v": {"value": 0, "more": 1}, "value": 3, "note": "x"}
    assert stats.shop.extra == {"deep": 1}
