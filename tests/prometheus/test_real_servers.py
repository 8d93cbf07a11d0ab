"""A real Prometheus and a real Pushgateway take what they are shown, whatever the names are."""

from __future__ import annotations

import json
import random
import urllib.request
from pathlib import Path

import pytest

from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter
from tapes.reporting.prometheus import PrometheusFormat, PushgatewayReporter
from tests.servers.processes import PATIENCE, awaited
from tests.servers.prometheus import complaints, running_prometheus, running_pushgateway

NATIVE = "--enable-feature=native-histograms"

ODD = 'an "odd" \\ value\n\u00e4'


@pytest.fixture
def registry() -> Registry:
    """Return a registry with a metric of each kind, and with tags of which some would be refused."""
    made = Registry()
    made.counter("shop.orders", tags={"le": "1"}, description="Orders.").increment(3)
    made.counter("shop.orders", tags={"item": ""}).increment(2)
    made.counter("shop.orders").increment()
    made.counter("stock", tags={"a-b": ODD}, description="Articles.").decrement(4)
    made.gauge("load", description="Load.").set(0.5)
    made.meter("mails", description="Mails.").mark(7)
    for duration in (0.1, 0.2, 0.3):
        made.timer("wait", description="Waiting.").update(duration)
    made.histogram("body.bytes", unit="bytes", description="Bodies.").update(2_000)
    return made


def test_promtool_has_no_complaints(registry: Registry) -> None:
    """Neither of the syntax nor of the names."""
    assert complaints(PrometheusFormat().encode(registry.snapshot())) == ""


def test_prometheus_scrapes_all_of_it(registry: Registry, tmp_path: Path) -> None:
    """By what it asks for, OpenMetrics, and each series for itself."""
    with HTTPReporter(0, registry) as reporter, running_prometheus(reporter.port, tmp_path) as prometheus:
        up = awaited(lambda: prometheus.query("up"), {'{"__name__": "up"}': 1.0})
        orders = prometheus.query("shop_orders_total")
        others = prometheus.query('{__name__=~"stock_.*|load|mails_total|wait_seconds_count|body_bytes_sum"}')
        median = prometheus.query("histogram_quantile(0.5, wait_seconds_bucket)")

    assert up == {'{"__name__": "up"}': 1.0}
    name = {"__name__": "shop_orders_total"}
    assert orders == {
        json.dumps(name): 1.0,
        json.dumps({**name, "tag_le": "1"}): 3.0,
        json.dumps({**name, "tapes_tags": "item="}): 2.0,
    }
    assert others == {
        json.dumps({"__name__": "stock_total", "a_b": ODD}): 0.0,
        json.dumps({"__name__": "stock_value", "a_b": ODD}): -4.0,
        json.dumps({"__name__": "load"}): 0.5,
        json.dumps({"__name__": "mails_total"}): 7.0,
        json.dumps({"__name__": "wait_seconds_count"}): 3.0,
        json.dumps({"__name__": "body_bytes_sum"}): 2000.0,
    }
    assert 0.1 <= median["{}"] <= 0.25


def test_prometheus_scrapes_native_histograms(registry: Registry, tmp_path: Path) -> None:
    """Over protobuf, which it asks for if it wants them: quantiles are as exact as their buckets."""
    values = [random.Random(1).lognormvariate(-2.5, 0.8) for _ in range(1_000)] + [0.0, -1.0, -1.5, -300.0]
    for value in values:
        registry.histogram("spread").update(value)
    with HTTPReporter(0, registry) as reporter, running_prometheus(reporter.port, tmp_path, NATIVE) as prometheus:
        awaited(lambda: prometheus.query("up"), {'{"__name__": "up"}': 1.0})
        count = prometheus.query("histogram_count(spread)")
        total = prometheus.query("histogram_sum(spread)")
        found = {q: prometheus.query(f"histogram_quantile({q}, spread)")["{}"] for q in (0.5, 0.9, 0.99)}
        orders = prometheus.query('shop_orders_total{tag_le="1"}')

    assert count == {"{}": 1004.0}
    assert total["{}"] == pytest.approx(sum(values))
    for quantile, value in found.items():
        assert value == pytest.approx(sorted(values)[int(quantile * len(values))], rel=0.045)
    assert list(orders.values()) == [3.0]


def test_a_pushgateway_takes_it_and_keeps_it(registry: Registry, tmp_path: Path) -> None:
    """As one group, which the next report replaces."""
    with running_pushgateway(tmp_path) as url:
        for _ in range(2):
            with PushgatewayReporter(60, "nightly", url, registry, grouping={"path": "/var"}) as reporter:
                pass
            registry.counter("shop.orders").increment()
        with urllib.request.urlopen(f"{url}/api/v1/metrics", timeout=PATIENCE) as answer:
            (group,) = json.loads(answer.read())["data"]

    assert (reporter.failures, reporter.last_error) == (0, None)
    assert group["labels"] == {"job": "nightly", "path": "/var"}
    assert {"2"} < {each["value"] for each in group["shop_orders_total"]["metrics"]}
    assert group["wait_seconds"]["metrics"][0]["count"] == "3"
