"""A reporter that is made to report on another registry."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Optional

import pytest

from tapes.errors import ReporterStateError
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting.http import HTTPReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.testing import ManualClock, MemoryReporter
from tests.conftest import Until


def registry_of(value: int) -> Registry:
    """Return a registry with a counter of this value."""
    registry = Registry()
    registry.counter("metric").increment(value)
    return registry


def test_not_while_it_is_running(until: Until) -> None:
    """That is refused, naming it, and it goes on as it was; after its stop it is possible."""
    reporter = MemoryReporter(3600, registry_of(1))
    other = registry_of(2)
    with reporter:
        until(lambda: reporter.reports)
        with pytest.raises(ReporterStateError, match=r"MemoryReporter.* is running: stop"):
            reporter.report_on(other)
    reporter.report_on(other)
    with reporter:
        until(lambda: reporter.reports == 3)

    assert [stats.metric.value for stats in reporter.stats] == [1, 1, 2, 2]


@pytest.mark.parametrize("made_with", [None, registry_of(1)], ids=["no registry", "another registry"])
def test_it_reports_on_the_other_one_from_then_on(made_with: Optional[Registry]) -> None:
    """Each start is on the registry that it was given last, whatever registry it was made with."""
    first, second = registry_of(1), registry_of(2)
    reporter = MemoryReporter(timedelta(hours=1), made_with)
    for registry in (second, first, second):
        reporter.report_on(registry)
        with reporter:
            pass
        assert reporter.registry is registry

    assert [stats.metric.value for stats in reporter.stats] == [2, 2, 1, 1, 2, 2]


def test_a_stream() -> None:
    """What it writes is of the other registry."""
    stream = io.StringIO()
    reporter = ThreadedStreamReporter(3600, stream)
    reporter.report_on(registry_of(7))
    with reporter:
        pass

    assert {json.loads(line)["metric"]["value"] for line in stream.getvalue().splitlines()} == {7}
    assert reporter.registry is not DEFAULT_REGISTRY


def test_a_server() -> None:
    """What it serves is of the other registry."""
    import http.client

    reporter = HTTPReporter(0)
    reporter.report_on(registry_of(7))
    with reporter:
        connection = http.client.HTTPConnection("127.0.0.1", reporter.port, timeout=20)
        connection.request("GET", "/")
        page = json.load(connection.getresponse())
        connection.close()

    assert page == {"metric": {"value": 7}}


def test_the_schedule_goes_by_the_clock_of_the_other_one() -> None:
    """A reporter without a clock of its own takes the time from the registry that it reports on."""
    clock = ManualClock()
    registry = Registry(clock=clock)
    reporter = MemoryReporter(10)
    reporter.report_on(registry)
    with reporter:
        clock.settle(timeout=60)
        clock.advance(10)
        clock.settle(timeout=60)

        assert reporter.reports == 2
