"""What Prometheus is shown: literal pages, and pages that the parsers of prometheus_client read back."""

from __future__ import annotations

from typing import Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.kinds.kind import Kind
from tapes.registry import Registry
from tapes.reporting.prometheus import PrometheusFormat
from tapes.reporting.prometheus.families import families
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.text import text, written
from tapes.snapshot import Reading, Snapshot
from tapes.state.distribution import Distribution
from tapes.testing import ManualClock
from tests.prometheus.parsing import samples

ORDERS = """\
# HELP shop_orders_total Orders with "quotes", a \\\\ and\u00e4.
# TYPE shop_orders_total counter
shop_orders_total{item="book"} 3
shop_orders_total{item="a \\"b\\" \\\\ \\n"} 1.5
"""

STOCK = """\
# HELP stock_total stock
# TYPE stock_total counter
stock_total 5
stock_total{shelf="a"} 1
# HELP stock_value stock
# TYPE stock_value gauge
stock_value 3
stock_value{shelf="a"} 1
"""

LATENCY = """\
# HELP http_latency_seconds http.latency
# TYPE http_latency_seconds histogram
http_latency_seconds_bucket{le="0.005"} 0
http_latency_seconds_bucket{le="0.01"} 0
http_latency_seconds_bucket{le="0.025"} 0
http_latency_seconds_bucket{le="0.05"} 1
http_latency_seconds_bucket{le="0.1"} 1
http_latency_seconds_bucket{le="0.25"} 3
http_latency_seconds_bucket{le="0.5"} 4
http_latency_seconds_bucket{le="1.0"} 4
http_latency_seconds_bucket{le="2.5"} 4
http_latency_seconds_bucket{le="5.0"} 4
http_latency_seconds_bucket{le="10.0"} 4
http_latency_seconds_bucket{le="+Inf"} 5
http_latency_seconds_sum 60.8125
http_latency_seconds_count 5
"""

OPENMETRICS = """\
# HELP shop_orders Orders \\"today\\".
# TYPE shop_orders counter
shop_orders_total 1
# HELP wait_seconds wait
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
wait_seconds_bucket{le="0.005"} 0
"""


@pytest.fixture
def registry() -> Registry:
    """Return a registry to show."""
    return Registry(clock=ManualClock())


def page(registry: Registry) -> str:
    """Return the text of Prometheus."""
    return PrometheusFormat().encode(registry.snapshot()).decode()


def openmetrics(registry: Registry) -> str:
    """Return the same as OpenMetrics."""
    return text(named_families(registry.snapshot()), openmetrics=True).decode()


RECORDING = {"counter": "increment", "gauge": "set", "timer": "update", "meter": "mark", "histogram": "update"}


def record(registry: Registry, kind: str, name: str, tags: Dict[str, str], value: float = 2) -> None:
    """Record something to a metric."""
    getattr(getattr(registry, kind)(name, tags=tags), RECORDING[kind])(value)


def test_counters(registry: Registry) -> None:
    """They show what was added, with the description, and tags as labels."""
    orders = "shop.orders", 'Orders with "quotes", a \\ and\u00e4.'
    registry.counter(orders[0], tags={"item": "book"}, description=orders[1]).increment(3)
    registry.counter(orders[0], tags={"item": 'a "b" \\ \n'}).increment(1.5)

    assert page(registry) == ORDERS


def test_counters_that_go_down_have_a_gauge_too(registry: Registry) -> None:
    """As soon as anything was taken away from one series, all of its name have both."""
    registry.counter("stock").increment(5)
    registry.counter("stock", tags={"shelf": "a"}).increment()

    assert "stock_value" not in page(registry)

    registry.counter("stock").decrement(2)

    assert page(registry) == STOCK


def test_timers(registry: Registry) -> None:
    """They are histograms of seconds; the bucket of tapes that holds a bound counts as a whole."""
    for duration in (0.03, 0.2, 0.2525, 0.33, 60):
        registry.timer("http.latency").update(duration)

    assert page(registry) == LATENCY


def test_gauges_and_meters(registry: Registry) -> None:
    """A gauge without a value has no sample, and a meter shows its events without rates."""
    registry.gauge("load").set(0.25)
    registry.gauge("unset")
    registry.meter("mails.total").mark(4)

    assert page(registry) == (
        "# HELP load load\n# TYPE load gauge\nload 0.25\n"
        "# HELP mails_total mails.total\n# TYPE mails_total counter\nmails_total 4\n"
    )


def test_histograms_are_since_the_start(registry: Registry) -> None:
    """Their buckets never forget, other than the window of `get_stats()`."""
    clock = registry.clock
    assert isinstance(clock, ManualClock)
    registry.histogram("size").update(100)
    clock.advance(3600)
    registry.histogram("size").update(-3)

    lines = page(registry).splitlines()
    assert {'size_bucket{le="0.001"} 1', 'size_bucket{le="100.0"} 2', 'size_bucket{le="+Inf"} 2'} <= set(lines)
    assert lines[-2:] == ["size_sum 97.0", "size_count 2"]


def test_openmetrics(registry: Registry) -> None:
    """Its counters are named without `_total`, quotes are escaped, units declared, and there is an end."""
    registry.counter("shop.orders.total", description='Orders "today".').increment()
    registry.timer("wait").update(1)

    lines = openmetrics(registry)
    assert lines.startswith(OPENMETRICS)
    assert lines.endswith("wait_seconds_count 1\n# EOF\n")


def test_openmetrics_has_no_sum_that_may_fall(registry: Registry) -> None:
    """Its parsers refuse one that is below zero."""
    registry.histogram("change").update(-3)
    registry.histogram("size").update(3)

    found = {name for name, _ in samples(openmetrics(registry), openmetrics=True)}
    assert found == {"change_bucket", "size_bucket", "size_sum", "size_count"}


def test_a_unit_is_declared_where_the_name_ends_in_it(registry: Registry) -> None:
    """Prometheus refuses a page with any other."""
    registry.histogram("request.bytes", unit="bytes").update(1)
    registry.histogram("body", unit="bytes").update(1)

    assert [line for line in openmetrics(registry).splitlines() if "UNIT" in line] == ["# UNIT request_bytes bytes"]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (("counter", "a.b"), ("counter", "a-b"), "a_b_54b5a7f7_total"),
        (("timer", "a"), ("counter", "a.seconds.count"), "a_seconds_count_fbe13998_total"),
        (("timer", "a"), ("gauge", "a.seconds.count"), "a_seconds_count_118e30db"),
        (("gauge", "a.total"), ("counter", "a"), "a_fe6c0212_total"),
        (("counter", "a.total"), ("meter", "a"), "a_d7dae4de_total"),
    ],
)
def test_a_name_that_is_taken_is_replaced(
    registry: Registry, first: Tuple[str, str], second: Tuple[str, str], name: str
) -> None:
    """No two families share the name of a sample; the first keeps its own."""
    for kind, dotted in (first, second):
        record(registry, kind, dotted, {})

    found, problems = families(registry.snapshot())
    assert len({each.name for each in found}) == 2
    assert [each.metric for each in problems] == [second[1]]
    assert name in page(registry)
    assert samples(openmetrics(registry), openmetrics=True)


def test_a_name_that_is_taken_is_logged_once(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """With both names, and what to do."""
    registry.gauge("queue.mail_waiting").set(1)
    registry.gauge("queue.mail.waiting").set(2)
    for _ in range(2):
        page(registry)

    assert [record.getMessage() for record in caplog.records] == [
        (
            "'queue.mail.waiting' is 'queue_mail_waiting_76a97b47' for Prometheus, because another metric is "
            "'queue_mail_waiting' already: rename one of the two."
        )
    ]


class _Broken(Kind):
    """A kind whose distribution fails."""

    is_distribution = True

    def distribution(self, state: object) -> Distribution:
        """Fail."""
        raise ZeroDivisionError("no bucket")


def test_a_kind_that_fails_costs_its_own_metric(registry: Registry) -> None:
    """All others are shown, and it is said once what is left out."""
    orders = registry.counter("orders")
    orders.increment()
    broken = Reading("broken", (), _Broken("unshowable"), None, None, None)

    found, problems = families(Snapshot(0.0, [broken, *registry.snapshot().readings]))

    assert [each.name for each in found] == ["orders"]
    assert [each.text for each in problems] == [
        "cannot be shown by its kind, unshowable: ZeroDivisionError('no bucket'). It is left out."
    ]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([{"le": "1", "quantile": "2", "__name__": "3"}], ['tag__name__="3",tag_le="1",tag_quantile="2"']),
        ([{"a-b": "1"}, {"a_b": "1"}], ['a_b_2="1"', 'a_b="1"']),
        ([{}, {"a": ""}, {"b": ""}], ["", 'tapes_tags="a="', 'tapes_tags="b="']),
        ([{"a": ""}], [""]),
        ([{"a": "\udc80"}, {"a": "\\udc80"}], ['a="\\\\udc80",tapes_tags="a=\\\\udc80"', 'a="\\\\udc80"']),
        (
            [{"tapes_tags": "x"}, {"tapes_tags": "x", "e": ""}],
            ['tag_tapes_tags="x",tapes_tags="tapes_tags=x"', 'tag_tapes_tags="x",tapes_tags="e=,tapes_tags=x"'],
        ),
        ([{"1st": "x"}], ['_1st="x"']),
    ],
    ids=["reserved", "alike", "empty and none", "empty", "no UTF-8", "our own", "a digit"],
)
def test_tags_become_labels(registry: Registry, tags: List[Dict[str, str]], expected: List[str]) -> None:
    """What Prometheus does not allow is replaced, and no two series become one."""
    for each in tags:
        registry.counter("orders", tags=each).increment()

    (found,), _ = families(registry.snapshot())
    assert sorted(map(written, found.labels)) == sorted(expected)


ANY_TEXT = st.text(st.sampled_from('a_.-:1\u00e4\\"\n= ,{}\udc80'), min_size=1, max_size=4)
ANY_NAME = ANY_TEXT.filter(lambda name: ".." not in name and not name.startswith(".") and not name.endswith("."))
ANY_TAGS = st.dictionaries(
    st.one_of(ANY_TEXT, st.sampled_from(["le", "quantile", "__a"])), st.text('a_\\" \n', max_size=2)
)


@given(st.lists(st.tuples(st.sampled_from(["counter", "gauge", "timer", "meter", "histogram"]), ANY_NAME, ANY_TAGS)))
def test_whatever_names_and_tags_are_no_series_is_lost(series: List[Tuple[str, str, Dict[str, str]]]) -> None:
    """Both parsers read the page, and find as many different samples as there are."""
    registry = Registry(clock=ManualClock())
    kinds: Dict[str, str] = {}
    for kind, name, tags in series:
        kind = kinds.setdefault(name, kind)
        record(registry, kind, name, tags)
    found, _ = families(registry.snapshot())
    expected = sum(len(each.labels) * (len(each.bounds.texts) + 2 if each.bounds else 1) for each in found)

    assert sum(len(each.labels) for each in found) == len(list(registry))
    assert len(samples(page(registry), openmetrics=False)) == expected
    assert len(samples(openmetrics(registry), openmetrics=True)) == expected
