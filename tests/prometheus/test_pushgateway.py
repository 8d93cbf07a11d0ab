"""The reporter `pushgateway`: its life, what it sends, and what it says of those who refuse it."""

from __future__ import annotations

from typing import Any, Dict, Optional

import pytest

import tapes
from tapes import plugins
from tapes.errors import ReporterError, ReporterOptionError
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.prometheus import PushgatewayReporter
from tapes.testing import ReporterContract
from tests.servers.http_end import HTTPEnd


class TestItsLife(ReporterContract):
    """By the contract that every reporter is held to."""

    def setup_method(self) -> None:
        """Listen."""
        self.gateway = HTTPEnd()
        self.is_up = True

    def teardown_method(self) -> None:
        """Listen no more."""
        if self.is_up:
            self.gateway.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Report to it."""
        return PushgatewayReporter(self.interval, "contract", f"http://127.0.0.1:{self.gateway.port}", registry)

    def break_far_end(self) -> None:
        """Go down."""
        self.gateway.close()
        self.is_up = False

    def mend_far_end(self) -> None:
        """Be back."""
        self.gateway.open()
        self.is_up = True

    def hang_far_end(self) -> None:
        """Take requests, and answer none."""
        self.gateway.hangs.set()


@pytest.fixture
def gateway() -> Any:
    """Listen for a while."""
    made = HTTPEnd()
    yield made
    made.close()


def pushed(registry: Registry, gateway: HTTPEnd, **options: Any) -> Reporter:
    """Return a reporter that is not started."""
    options.setdefault("url", f"http://127.0.0.1:{gateway.port}")
    return PushgatewayReporter(60, "nightly", registry=registry, **options)


def test_it_puts_the_text_of_prometheus(gateway: HTTPEnd) -> None:
    """At its job, as the whole of what is there."""
    registry = Registry()
    registry.counter("orders").increment(2)
    with pushed(registry, gateway):
        pass

    path, headers, body = gateway.taken[-1]
    assert path == "/metrics/job/nightly"
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert body.decode() == "# HELP orders_total orders\n# TYPE orders_total counter\norders_total 2\n"


@pytest.mark.parametrize(
    ("prefix", "grouping", "path"),
    [
        ("", {"instance": "host 1:80"}, "/metrics/job/nightly/instance/host%201%3A80"),
        ("", {"folder": ".."}, "/metrics/job/nightly/folder@base64/Li4="),
        ("/push/", {"path": "/var", "empty": ""}, "/push/metrics/job/nightly/path@base64/L3Zhcg==/empty@base64/="),
    ],
)
def test_a_group_is_named_by_the_path(gateway: HTTPEnd, prefix: str, grouping: Dict[str, str], path: str) -> None:
    """In base64 where a path cannot hold a value."""
    with pushed(Registry(), gateway, url=f"http://127.0.0.1:{gateway.port}{prefix}", grouping=grouping):
        pass

    assert gateway.taken[-1][0] == path


def test_a_user_and_a_password(gateway: HTTPEnd) -> None:
    """They are sent, and never shown."""
    reporter = pushed(Registry(), gateway, url=f"http://me:sec%2Fret@127.0.0.1:{gateway.port}")
    with reporter:
        pass

    assert gateway.taken[-1][1]["Authorization"] == "Basic bWU6c2VjL3JldA=="
    assert "sec" not in repr(reporter)
    assert repr(reporter).endswith(f"http://127.0.0.1:{gateway.port}/metrics/job/nightly)")


def test_a_refusal_is_said_in_the_words_of_the_pushgateway(gateway: HTTPEnd) -> None:
    """With its status, as a failed report."""
    gateway.status, gateway.said = 400, b"pushed metrics are invalid\n"
    with pushed(Registry(), gateway) as reporter, pytest.raises(ReporterError) as refused:
        reporter.report()  # type: ignore[attr-defined]

    assert str(refused.value) == (
        f"The Pushgateway at http://127.0.0.1:{gateway.port} has refused the report: "
        "400 Bad Request 'pushed metrics are invalid'."
    )


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"job": ""}, "job is the name of the job"),
        ({"job": 3}, "job is the name of the job"),
        ({"url": "localhost:9091"}, "url is the URL of a Pushgateway"),
        ({"url": "ftp://localhost"}, "url is the URL of a Pushgateway"),
        ({"url": "http://localhost:99999"}, "url is the URL of a Pushgateway"),
        ({"url": "http://localhost/?a=1"}, "url is the URL of a Pushgateway"),
        ({"url": None}, "url is the URL of a Pushgateway"),
        ({"grouping": {"job": "a"}}, "grouping is a mapping"),
        ({"grouping": {"a-b": "a"}}, "grouping is a mapping"),
        ({"grouping": {"a": 1}}, "grouping is a mapping"),
        ({"grouping": "a"}, "grouping is a mapping"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options: Dict[str, Any], fault: str) -> None:
    """At once, with what it should be."""
    with pytest.raises(ReporterOptionError, match=fault):
        PushgatewayReporter(**{"interval": 60, "job": "nightly", **options})


def test_it_is_found_by_its_name(gateway: HTTPEnd) -> None:
    """A configuration names it `pushgateway`; with tapes-tornado there is `tornado-pushgateway`, too."""
    registry = Registry()
    options = {"interval": 10, "job": "a", "url": f"http://127.0.0.1:{gateway.port}", "grouping": {"instance": "b"}}

    tapes.configure({"reporters": {"pushgateway": options}}, registry=registry).stop()

    assert gateway.taken[-1][0] == "/metrics/job/a/instance/b"
    assert "tornado-pushgateway" in plugins.driven_names()
