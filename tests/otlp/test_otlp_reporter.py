"""The reporter `otlp`: its life, where it sends to, as whom, and what it says of those who refuse it."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterator, Optional

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

import tapes
from tapes import plugins
from tapes.errors import ReporterError, ReporterOptionError
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.otlp import OtlpReporter
from tapes.testing import ReporterContract
from tests.otlp.receiving import point, requests, resource
from tests.servers.http_end import HTTPEnd, dripping


class TestItsLife(ReporterContract):
    """By the contract that every reporter is held to."""

    def setup_method(self) -> None:
        """Listen."""
        self.end = HTTPEnd()
        self.is_up = True

    def teardown_method(self) -> None:
        """Listen no more."""
        if self.is_up:
            self.end.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Report to it."""
        return OtlpReporter(self.interval, f"http://127.0.0.1:{self.end.port}/v1/metrics", registry)

    def break_far_end(self) -> None:
        """Go down."""
        self.end.close()
        self.is_up = False

    def mend_far_end(self) -> None:
        """Be back."""
        self.end.open()
        self.is_up = True

    def hang_far_end(self) -> None:
        """Take requests, and answer none."""
        self.end.hangs.set()


@pytest.fixture
def end() -> Iterator[HTTPEnd]:
    """Listen for a while."""
    made = HTTPEnd()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def sending(registry: Registry, end: HTTPEnd, **options: Any) -> OtlpReporter:
    """Return a reporter that is not started."""
    return OtlpReporter(60, f"http://127.0.0.1:{end.port}/v1/metrics", registry, **options)


def test_it_posts_protobuf(end: HTTPEnd) -> None:
    """Compressed, to the path of the endpoint."""
    registry = Registry()
    registry.counter("orders").increment(2)
    with sending(registry, end, headers={"X-Key": "secret"}):
        pass

    path, headers, _ = end.taken[-1]
    assert path == "/v1/metrics"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert (headers["Content-Encoding"], headers["X-Key"]) == ("gzip", "secret")
    assert point(requests(end)[-1], "orders").as_int == 2


def test_without_compression(end: HTTPEnd) -> None:
    """For receivers that take none."""
    with sending(Registry(), end, compression=False):
        pass

    assert "Content-Encoding" not in end.taken[-1][1]
    assert resource(requests(end)[-1])["service.name"] == "unknown_service:python"


def test_a_process_stays_the_same_instance_and_its_series_start_once(end: HTTPEnd) -> None:
    """A reporter that takes the place of another continues its series: nothing counts twice."""
    registry = Registry()
    registry.counter("orders").increment()
    with sending(registry, end):
        pass
    registry.counter("later").increment()
    with sending(registry, end):
        pass

    first, last = requests(end)[0], requests(end)[-1]
    assert resource(first)["service.instance.id"] == resource(last)["service.instance.id"]
    assert point(first, "orders").start_time_unix_nano == point(last, "orders").start_time_unix_nano
    assert point(last, "later").start_time_unix_nano >= point(first, "orders").time_unix_nano
    assert point(last, "later").start_time_unix_nano <= point(last, "later").time_unix_nano


def test_a_series_that_is_made_again_starts_again(end: HTTPEnd) -> None:
    """So that its total, which is smaller, is no fall."""
    registry = Registry()
    registry.counter("orders").increment(5)
    with sending(registry, end) as reporter:
        reporter.report()
        registry.remove("orders")
        registry.counter("orders").increment()

    first, last = requests(end)[0], requests(end)[-1]
    assert (point(first, "orders").as_int, point(last, "orders").as_int) == (5, 1)
    assert point(last, "orders").start_time_unix_nano >= point(first, "orders").time_unix_nano


def test_a_forked_child_is_another_instance(end: HTTPEnd) -> None:
    """With what it has counted itself."""
    registry = Registry()
    orders = registry.counter("orders")
    orders.increment(5)
    with sending(registry, end) as reporter:
        child = os.fork()
        if not child:
            orders.increment()
            reporter.stop()
            os._exit(0)
        os.waitpid(child, 0)
    by_instance: Dict[str, int] = {}
    for each in requests(end):
        by_instance[resource(each)["service.instance.id"]] = point(each, "orders").as_int

    assert sorted(by_instance.values()) == [1, 5]


def test_options_and_variables(end: HTTPEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of OpenTelemetry count where options say nothing."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{end.port}/base/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1,b=of%20all")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "b=2, c = 3")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=here,service.name=other,service.instance.id=one,broken")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    with OtlpReporter(60, registry=Registry(), headers={"c": "4"}, resource={"host.name": "there"}):
        pass
    path, headers, _ = end.taken[-1]
    found = resource(requests(end)[-1])

    assert path == "/base/v1/metrics"
    assert [headers[name] for name in "abc"] == ["1", "2", "4"]
    assert (found["service.name"], found["host.name"], found["service.instance.id"]) == ("named", "there", "one")

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"http://127.0.0.1:{end.port}/exactly")
    with OtlpReporter(60, registry=Registry(), service="mine"):
        pass

    assert end.taken[-1][0] == "/exactly"
    assert resource(requests(end)[-1])["service.name"] == "mine"


PARTIAL = ExportMetricsServiceResponse(
    partial_success=ExportMetricsPartialSuccess(rejected_data_points=2, error_message="too old")
)


@pytest.mark.parametrize(
    ("status", "said", "expected"),
    [
        (503, b"", "has refused the report: 503 Service Unavailable."),
        (400, b"bad\n", "has refused the report: 400 Bad Request 'bad'."),
        (404, b"", "404 Not Found: the endpoint is the whole URL, mostly with /v1/metrics."),
        (200, PARTIAL.SerializeToString(), "has refused a part of the report: 2 points, 'too old'."),
    ],
)
def test_a_refusal_is_a_failed_report(end: HTTPEnd, status: int, said: bytes, expected: str) -> None:
    """In the words of the collector. The next report has all of it."""
    with sending(Registry(), end) as reporter:
        end.status, end.said = status, said
        with pytest.raises(ReporterError) as refused:
            reporter.report()
        end.status, end.said = 200, b"{}"  # what is no message of protobuf is no refusal
        reporter.report()

    assert str(refused.value).startswith(f"The collector at http://127.0.0.1:{end.port}/v1/metrics has")
    assert str(refused.value).endswith(expected)


def test_an_answer_that_never_ends_is_a_failed_report() -> None:
    """The timeout is that of the whole answer, so the next report comes in time."""
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n") as url:
        reporter = OtlpReporter(3600, url, Registry(), timeout=0.3)
        with pytest.raises(OSError, match="timed out"):
            reporter.report()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"endpoint": "localhost:4317"}, "endpoint is a URL"),
        ({"endpoint": 4318}, "endpoint is a URL"),
        ({"endpoint": "http://localhost/v1 metrics"}, "endpoint is a URL"),
        ({"endpoint": "http://localhost/m\u00e9triques"}, "endpoint is a URL"),
        ({"headers": {"a": 1}}, "headers is a mapping"),
        ({"headers": {"a b": "1"}}, "headers: 'a b' is no header of HTTP"),
        ({"headers": {"a": "\u20ac"}}, "headers: 'a' is no header of HTTP"),
        ({"service": 5}, "service is the name of the service"),
        ({"resource": ["a"]}, "resource is a mapping"),
        ({"compression": "gzip"}, "compression"),
        ({"timeout": -1}, "timeout"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: Dict[str, Any], fault: str) -> None:
    """At once, with what it should be."""
    with pytest.raises(ReporterOptionError, match=fault):
        OtlpReporter(60, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"authorization": "Bearer sesame\n"}},
        {"headers": {"authorization": b"Bearer sesame"}},
        {"endpoint": "http://me:sesame@localhost:99999/"},
        {"endpoint": "http://me:sesame@localhost/?a=1"},
    ],
)
def test_a_refusal_shows_no_secret(options: Dict[str, Any]) -> None:
    """It goes to the log."""
    with pytest.raises(ReporterOptionError) as refused:
        OtlpReporter(60, **options)

    assert "sesame" not in str(refused.value)


def test_it_is_found_by_its_name(end: HTTPEnd) -> None:
    """A configuration names it `otlp`; with tapes-tornado there is `tornado-otlp`, too."""
    registry = Registry()
    options = {"interval": 10, "endpoint": f"http://127.0.0.1:{end.port}/v1/metrics", "resource": {"a": "b"}}

    tapes.configure({"reporters": {"otlp": options}}, registry=registry).stop()

    assert resource(requests(end)[-1])["a"] == "b"
    assert "tornado-otlp" in plugins.driven_names()
