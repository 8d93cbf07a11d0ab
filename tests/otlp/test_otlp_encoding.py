"""Snapshots as requests of OTLP."""

from __future__ import annotations

from typing import Any, List

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tapes.kinds.kind import Kind
from tapes.registry import Registry
from tapes.reporting.otlp.encoding import request
from tapes.snapshot import Reading, Snapshot
from tapes.testing import ManualClock
from tests.otlp.receiving import attributes, metrics, point

COUNTER = """\
name: "shop.orders"
description: "Orders."
unit: "1"
sum {
  data_points {
    attributes { key: "item" value { string_value: "book" } }
    start_time_unix_nano: 7
    time_unix_nano: 1500000000
    as_int: 3
  }
  aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE
  is_monotonic: true
}
"""

TIMER = """\
name: "wait"
unit: "s"
exponential_histogram {
  data_points {
    start_time_unix_nano: 7
    time_unix_nano: 1500000000
    count: 4
    sum: 4.125
    scale: 4
    zero_count: 1
    zero_threshold: 2.938735877055719e-39
    positive { offset: 0 bucket_counts: [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] }
    negative {}
    min: 0
    max: 2.0625
  }
  aggregation_temporality: AGGREGATION_TEMPORALITY_CUMULATIVE
}
"""


@pytest.fixture
def registry() -> Registry:
    """Return a registry to send."""
    return Registry(clock=ManualClock())


def encoded(registry: Registry) -> ExportMetricsServiceRequest:
    """Return the request with what a registry has, all of it started at the same time."""
    body, problems = request(Snapshot(1.5, registry.snapshot().readings), {"service.name": "shop"}, lambda _: 7)
    assert problems == []
    found: ExportMetricsServiceRequest = ExportMetricsServiceRequest.FromString(body)
    return found


def literal(metric: Any, text: str) -> bool:
    """Whether a metric is what a text says."""
    expected = type(metric)()
    text_format.Parse(text, expected)
    assert metric == expected, f"{metric}\nis not\n{expected}"
    return True


def test_counters(registry: Registry) -> None:
    """They are sums that only grow."""
    registry.counter("shop.orders", tags={"item": "book"}, description="Orders.", unit="1").increment(3)

    assert literal(metrics(encoded(registry))["shop.orders"], COUNTER)


def test_counters_that_go_down_have_a_second_sum(registry: Registry) -> None:
    """Of what is left, which may fall."""
    registry.counter("stock").increment(2.5)
    assert set(metrics(encoded(registry))) == {"stock"}

    registry.counter("stock").decrement(4)
    found = encoded(registry)

    assert (point(found, "stock").as_double, point(found, "stock.value").as_double) == (2.5, -1.5)
    assert [metrics(found)[name].sum.is_monotonic for name in ("stock", "stock.value")] == [True, False]


def test_timers(registry: Registry) -> None:
    """They are exponential histograms of seconds."""
    for duration in (1.03125, 1.03125, 2.0625, 0):
        registry.timer("wait").update(duration)

    assert literal(metrics(encoded(registry))["wait"], TIMER)


def test_histograms_of_negative_values_have_no_sum(registry: Registry) -> None:
    """A sum that may fall is none for a cumulative histogram; all counts are there."""
    registry.histogram("change").update(-1.01)

    found = point(encoded(registry), "change")
    assert (found.HasField("sum"), found.count, list(found.negative.bucket_counts)) == (False, 1, [1])
    assert (found.min, found.max) == (-1.01, -1.01)


def test_gauges_and_meters(registry: Registry) -> None:
    """A gauge without a value has no point, and a meter sends its events."""
    registry.gauge("load").set(0.5)
    registry.gauge("unset")
    registry.meter("mails").mark(4)

    found = encoded(registry)
    assert (point(found, "load").as_double, point(found, "mails").as_int) == (0.5, 4)
    assert len(metrics(found)["unset"].gauge.data_points) == 0
    assert metrics(found)["mails"].sum.is_monotonic


def test_integers_that_do_not_fit_are_floats(registry: Registry) -> None:
    """As near as these come."""
    registry.gauge("large").set(2**70)

    assert point(encoded(registry), "large").as_double == 2.0**70


def test_text_that_is_no_utf8_is_escaped(registry: Registry) -> None:
    """Protobuf would refuse the whole report."""
    registry.counter("file.\udc80", tags={"na\udc81me": "\udc82"}, description="\udc83").increment()

    found = encoded(registry)
    assert attributes(point(found, "file.\\udc80")) == {"na\\udc81me": "\\udc82"}
    assert metrics(found)["file.\\udc80"].description == "\\udc83"


@given(st.lists(st.floats(-1e300, 1e300), max_size=30))
def test_no_value_is_lost(values: List[float]) -> None:
    """The counts of all buckets are those of the values."""
    registry = Registry(clock=ManualClock())
    for value in values:
        registry.histogram("values").update(value)
    registry.histogram("values")

    found = point(encoded(registry), "values")
    total = found.zero_count + sum(found.positive.bucket_counts) + sum(found.negative.bucket_counts)
    assert total == found.count == len(values)


class _Broken(Kind):
    """A kind whose distribution fails."""

    is_distribution = True

    def distribution(self, state: object) -> Any:
        """Fail."""
        raise ZeroDivisionError("no bucket")


def test_a_kind_that_fails_costs_its_own_metric(registry: Registry) -> None:
    """All others are sent, and it is said what is left out."""
    registry.counter("orders").increment()
    broken = Reading("broken", (), _Broken("unsendable"), None, None, None)

    body, problems = request(Snapshot(0.0, [broken, *registry.snapshot().readings]), {}, lambda _: 7)

    assert list(metrics(ExportMetricsServiceRequest.FromString(body))) == ["orders"]
    assert [tuple(each) for each in problems] == [
        ("broken", "cannot be sent by its kind, unsendable: ZeroDivisionError('no bucket'). It is left out.")
    ]
