"""What the original StatsD holds after a report is what the registry holds."""

from __future__ import annotations

from datetime import timedelta

from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tapes.testing import ManualClock
from tests.servers.statsd import Protocol, StatsD
from tests.statsd.conftest import MakeReporter

QUANTILES = ("q50", "q75", "q95", "q98", "q99", "q999")


def test_every_kind_of_metric_arrives(
    server: StatsD, protocol: Protocol, registry: Registry, clock: ManualClock, make_reporter: MakeReporter
) -> None:
    """Counters are totals; the rest is gauges with all digits; durations are in milliseconds; tags are in names."""
    orders = registry.counter("shop.orders")
    orders.increment(5)
    orders.decrement(2)
    registry.counter("shop.refunds", tags={"to": "card", "by": "web"}).decrement(7)
    registry.counter("shop.untouched")
    registry.gauge("shop.stock").set(0.1 + 0.2)
    registry.gauge("shop.queue", producer=lambda: 3)
    registry.gauge("shop.broken", producer=lambda: 1 // 0)
    meter = registry.meter("shop.visits")
    sizes = registry.histogram("shop.size", tags={"unit": "kB"})
    latency = registry.timer("shop.latency")
    for number in range(1, 2001):
        meter.mark(3)
        sizes.update(-number)
        latency.update(timedelta(milliseconds=number))
    clock.advance(5)
    stats = registry.get_stats()["shop"]
    visits, size, took = stats["visits"], stats["size"]["unit=kB"], stats["latency"]

    with make_reporter(protocol):
        pass
    server.settle()

    assert server.totals() == {"shop.orders.value": 3, "shop.refunds.by_web.to_card.value": -7}
    assert server.gauges() == {
        "shop.stock.value": 0.30000000000000004,
        "shop.queue.value": 3,
        "shop.visits.total": 6000,
        **{f"shop.visits.{key}_rate": visits[key] for key in ("m1", "m5", "m15")},
        "shop.size.unit_kB.total": 2000,
        "shop.size.unit_kB.min": -2000,
        "shop.size.unit_kB.max": -1,
        "shop.size.unit_kB.mean": -1000.5,
        **{f"shop.size.unit_kB.{key}": size[key] for key in ("stddev", *QUANTILES)},
        "shop.latency.total": 2000,
        **{f"shop.latency.{key}_rate": took[key] for key in ("m1", "m5", "m15")},
        "shop.latency.min": 1,
        "shop.latency.max": 2000,
        **{f"shop.latency.{key}": took[key] * 1000 for key in ("mean", "stddev", *QUANTILES)},
    }
    for held in (visits, size, took):
        assert len(set(held.values())) == len(held), "Two statistics are the same, so they may have been mixed up."
    assert server.bad_lines() == 0


def test_numbers_keep_their_value(
    server: StatsD, protocol: Protocol, registry: Registry, make_reporter: MakeReporter
) -> None:
    """Tiny, huge and precise numbers are held by StatsD, in doubles, as they are here."""
    values = {
        "tiny": 1e-7,
        "tinier": -5e-324,
        "huge": 1e21,
        "largest": -1.7976931348623157e308,
        "precise": 0.1 + 0.2,
        "third": -1 / 3,
        "odd": 2**53 + 1,
        "below": -(2**63),
        "nothing": -0.0,
    }
    for name, value in values.items():
        registry.gauge(f"gauge.{name}").set(value)
    counted = ("tiny", "huge", "precise", "third", "odd", "below")
    for name in counted:
        registry.counter(f"counter.{name}").increment(values[name])

    make_reporter(protocol).report()
    server.settle()

    assert server.gauges() == {f"gauge.{name}.value": float(value) for name, value in values.items()}
    assert server.totals() == {f"counter.{name}.value": float(values[name]) for name in counted}
    assert server.bad_lines() == 0


def test_datadog_tags_are_read(server: StatsD, registry: Registry) -> None:
    """Tags in the style of DogStatsD are not part of the name, and StatsD reads them as its own."""
    registry.counter("orders", tags={"item": "book", "shop": "a b"}).increment(2)
    registry.gauge("stock", tags={"item": "book"}).set(-4)
    reporter = StatsdReporter(10, server.host, server.port, "eu.shop", registry, tags="datadog")

    with reporter:
        pass
    server.settle()

    assert server.totals() == {"eu.shop.orders.value;item=book;shop=a_0x20_b": 2}
    assert server.gauges() == {"eu.shop.stock.value;item=book": -4}
    assert server.bad_lines() == 0
