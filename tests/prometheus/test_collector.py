"""The metrics of tapes on a page of prometheus_client."""

from __future__ import annotations

from typing import Any, Callable

import prometheus_client
import pytest
from prometheus_client.openmetrics import exposition as of_openmetrics

from tapes.errors import ReporterOptionError
from tapes.registry import Registry
from tapes.reporting.prometheus import TapesCollector
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.text import text
from tests.prometheus.parsing import samples


@pytest.mark.parametrize(
    ("generate", "openmetrics"),
    [(prometheus_client.generate_latest, False), (of_openmetrics.generate_latest, True)],
    ids=["text", "openmetrics"],
)
def test_its_page_shows_what_ours_shows(generate: Callable[[Any], bytes], openmetrics: bool) -> None:
    """Sample by sample, as the parser reads both, beside the metrics of the other library."""
    registry = Registry()
    registry.counter("orders", tags={"item": 'a "b"'}, description="Orders.").increment(2)
    registry.counter("stock").decrement()
    registry.gauge("load").set(0.5)
    registry.meter("mails").mark()
    registry.timer("wait", tags={"le": "x"}).update(0.2)
    registry.histogram("body.bytes", unit="bytes").update(-2)
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("their_own", "Something else.", registry=theirs).set(3)
    theirs.register(TapesCollector(registry))
    ours = text(named_families(registry.snapshot()), openmetrics=openmetrics).decode()

    if not openmetrics:  # the text of Prometheus has the sum of negative values, too
        ours = ours.replace("body_bytes_sum -2.0\nbody_bytes_count 1\n", "")

    found = samples(generate(theirs).decode(), openmetrics=openmetrics)

    assert found.pop(("their_own", frozenset())) == 3
    assert found == samples(ours, openmetrics=openmetrics)


def test_what_is_no_registry_is_refused() -> None:
    """When the collector is made, not when somebody scrapes."""
    with pytest.raises(ReporterOptionError, match="registry"):
        TapesCollector("registry")  # type: ignore[arg-type]
