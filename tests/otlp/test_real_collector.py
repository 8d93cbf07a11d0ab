"""A real collector takes what is sent, and prints it as it was meant."""

from __future__ import annotations

from pathlib import Path

from tapes.registry import Registry
from tapes.reporting.otlp import OtlpReporter
from tests.servers.processes import until
from tests.servers.rotel import running_rotel

TIMER = """\
     -> Name: wait
     -> Description: Waiting.
     -> Unit: s
     -> DataType: ExponentialHistogram
"""

BUCKET = "Bucket (0.1927763531759926, 0.2013112914936568], Count: 2"


def test_it_takes_all_kinds(tmp_path: Path) -> None:
    """Compressed protobuf, with the names, units, attributes and buckets that were sent."""
    registry = Registry()
    for _ in range(2):
        registry.timer("wait", tags={"page": "cart"}, description="Waiting.").update(0.2)
    registry.counter("stock").decrement(4)
    with running_rotel(tmp_path) as (url, collector):
        with OtlpReporter(60, url, registry, service="shop") as reporter:
            pass
        until(lambda: collector.said().count("Name: stock.value") == 2, "it has printed both reports")
        said = collector.said()

    assert (reporter.failures, reporter.last_error) == (0, None)
    assert "service.name: Str(shop)" in said
    assert TIMER in said
    assert "page: Str(cart)" in said
    assert BUCKET in said
    assert "Value: -4" in said
