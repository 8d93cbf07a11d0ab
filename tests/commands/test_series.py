"""The tables of `python -m tapes show`."""

from __future__ import annotations

import pytest

import tapes
from tapes.commands.series import series_in, tables, tree_of
from tapes.kinds.counter import COUNTER
from tapes.kinds.gauge import GAUGE
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.meter import METER
from tapes.kinds.timer import TIMER
from tapes.testing import ManualClock

KINDS = (COUNTER, GAUGE, HISTOGRAM, METER, TIMER)

TREE = {
    "shop": {
        "value": 7,
        "orders": {"item=book,why=a.b": {"value": 2}, "item=lamp": {"value": None}},
        "hits": {"count": 12, "m1": 0.5, "m5": 0.25, "m15": 1234.56},
        "odd": {"level": 3, "colour": "red\x1b"},
    },
    "load": {"value": 0.123456},
}


def recorded() -> tapes.Registry:
    """Return a registry with something of everything."""
    registry = tapes.Registry(clock=ManualClock())
    registry.counter("shop.orders", tags={"item": "book"}).increment(2)
    registry.counter("shop.orders").increment(5)
    registry.gauge("load").set(0.5)
    registry.meter("shop.hits").mark(3)
    for value in (1, 2, 3):
        registry.histogram("shop.basket.size").update(value)
        registry.timer("shop.latency").update(value / 1000)
    return registry


def test_tables_of_all_kinds() -> None:
    """Each kind has its own, with its most important statistics."""
    lines = tables(series_in(recorded().get_stats()), KINDS, 80)

    assert lines == [
        "COUNTER OR GAUGE        value",
        "load                      0.5",
        "shop.orders                 5",
        "shop.orders{item=book}      2",
        "",
        "HISTOGRAM         count  mean    q50  q95  q99  max",
        "shop.basket.size      3     2  2.016    3    3    3",
        "",
        "METER      count  m1  m5  m15",
        "shop.hits      3   0   0    0",
        "",
        "TIMER         count  m1   mean       q50    q95    q99    max",
        "shop.latency      3   0  0.002  0.001999  0.003  0.003  0.003",
    ]


def test_tables_of_a_tree_from_anywhere() -> None:
    """Statistics of an unknown kind are shown all, and nothing in them steers the terminal."""
    lines = tables(series_in(TREE), KINDS, 120)

    assert lines == [
        "COUNTER OR GAUGE                 value",
        "load                            0.1235",
        "shop                                 7",
        "shop.orders{item=book,why=a.b}       2",
        "shop.orders{item=lamp}               -",
        "",
        "METER      count   m1    m5     m15",
        "shop.hits     12  0.5  0.25  1234.6",
        "",
        "SERIES    level  colour",
        "shop.odd      3    red?",
    ]


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("*", ["load", "shop", "shop.hits", "shop.odd", "shop.orders{item=book,why=a.b}", "shop.orders{item=lamp}"]),
        ("shop.o*", ["shop.odd", "shop.orders{item=book,why=a.b}", "shop.orders{item=lamp}"]),
        ("shop.orders", ["shop.orders{item=book,why=a.b}", "shop.orders{item=lamp}"]),
        ("*item=lamp*", ["shop.orders{item=lamp}"]),
        ("?oad", ["load"]),
        ("nothing", []),
    ],
)
def test_names_are_chosen_by_a_pattern(pattern: str, labels: list[str]) -> None:
    """By the name, or by the name with its tags."""
    assert [series.label for series in series_in(TREE, pattern)] == labels


def test_the_tree_of_all_series_is_the_tree() -> None:
    """So JSON of a part is like that of all."""
    assert tree_of(series_in(TREE)) == TREE
    assert tree_of(series_in(TREE, "load")) == {"load": {"value": 0.123456}}


def test_the_tree_of_a_page_that_contradicts_itself() -> None:
    """A name with series below it is shown as such."""
    assert tree_of(series_in({"a": {"b": 5, "value": 1}, "a.b": {"c": 1}})) == {"a": {"b": {"c": 1}, "value": 1}}


def test_the_most_important_statistics_are_some_of_all() -> None:
    """A timer has those of a histogram, too."""
    assert [kind for kind in KINDS if not set(kind.brief) <= set(kind.keys)] == []
    assert set(HISTOGRAM.brief) < set(TIMER.brief)
