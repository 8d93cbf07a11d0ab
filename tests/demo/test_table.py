"""The table of the demo shows every series of a tree of statistics."""

from __future__ import annotations

from typing import Any

import pytest

from examples.shop.demo import difference
from examples.shop.table import by_worker, render, series, total_count, total_value

TREE: dict[str, Any] = {
    "shop": {
        "stock": {"value": 1200, "worker=12": {"value": 800}, "worker=7": {"value": 400}},
        "broken": {"value": None},
        "basket": {"count": 2, "sum": 30.0, "mean": 15.0, "q50": 10.0, "q95": 20.0, "q99": 20.0, "max": 20.0},
        "request": {
            "count": 1,
            "m1": 0.25,
            "mean": 0.5,
            "q50": 0.5,
            "q95": 0.5,
            "q99": 0.5,
            "max": 0.5,
            "method=GET,route=/": {"count": 3, "m1": 0.0},
            "method=GET,route=/,worker=7": {"count": 2, "m1": 0.0},
            "worker=7": {"count": 1, "m1": 0.0},
            "retries": {"count": 100},
        },
    }
}

TABLE = """\
metric                            total   m1       mean     median       95 %       99 %        max
---------------------------------------------------------------------------------------------------
shop.basket                           2            15.0       10.0       20.0       20.0       20.0
shop.broken
shop.request                          1  0.2  500.00 ms  500.00 ms  500.00 ms  500.00 ms  500.00 ms
shop.request.retries                100
shop.request{method=GET,route=/}      3  0.0
shop.stock                        1,200"""


def test_every_series_has_a_line() -> None:
    """Untagged and tagged series and metrics below metrics are there, those of single workers are not."""
    assert render(TREE) == TABLE


def test_a_metric_is_told_by_worker() -> None:
    """The series of each worker are added up, whatever else they are tagged with."""
    assert by_worker(TREE, "shop.request", "count") == {7: 3}
    assert by_worker(TREE, "shop.stock", "value") == {12: 800, 7: 400}
    assert by_worker(TREE, "shop.basket", "count") == {}


def test_no_statistics_are_a_table_without_lines() -> None:
    """An empty registry is nothing to stumble over."""
    assert list(series({})) == []
    assert render({}).splitlines()[0].startswith("metric")


def test_the_total_is_over_all_tags_of_one_metric() -> None:
    """Its tagged series count, and not those of metrics below or beside it, nor those of single workers again."""
    assert total_count(TREE, "shop.request") == 4


def test_the_total_of_values_is_over_all_that_match() -> None:
    """The values of those whose names match are added up, and nothing else."""
    tree = {"http": {"Cart": {"requests": {"value": 3}, "errors": {"count": 9}}, "Item": {"requests": {"value": 4}}}}

    assert total_value(tree, "http.*.requests") == 7
    assert total_value(tree, "http.Cart.requests") == 3
    assert total_value(tree, "requests") == 0
    assert total_value(TREE, "shop.stock") == 1200
    assert total_value(TREE, "shop.broken") == 0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"answered": 3, "counted": 3}, None),
        ({"answered": 3, "counted": 2}, "They differ by 1."),
        ({"answered": 0, "counted": 0}, "Not one request was answered."),
        ({"answered": 0, "counted": 5}, "They differ by 5."),
    ],
)
def test_counts_that_differ_by_even_one_are_a_fault(counts: dict[str, int], expected: str | None) -> None:
    """Only counts that are the same, and more than none, are right."""
    assert difference(counts) == expected
