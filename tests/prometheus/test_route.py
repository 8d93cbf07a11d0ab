"""The page `/metrics`: over HTTP, of one process and of many."""

from __future__ import annotations

import gzip
import urllib.request
from typing import Dict, Iterator, Tuple

import pytest

from tapes.pages import wsgi
from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter
from tests.distributed.whole.programs import Place
from tests.prometheus.parsing import samples
from tests.servers.processes import PATIENCE

ORDERS = "# HELP orders_total orders\n# TYPE orders_total counter\norders_total 3\n"

ORDERS_OF_OPENMETRICS = "# HELP orders orders\n# TYPE orders counter\norders_total 3\n# EOF\n"

COMPRESSED = {"Accept-Encoding": "gzip"}
OPENMETRICS = {"Accept": "application/openmetrics-text"}


@pytest.mark.parametrize(
    ("headers", "media_type", "encoding"),
    [
        ({}, "text/plain; version=0.0.4; charset=utf-8", None),
        (COMPRESSED, "text/plain; version=0.0.4; charset=utf-8", "gzip"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8", None),
        ({**OPENMETRICS, **COMPRESSED}, "application/openmetrics-text; version=1.0.0; charset=utf-8", "gzip"),
    ],
)
def test_it_is_served_as_a_client_wants_it(headers: Dict[str, str], media_type: str, encoding: str | None) -> None:
    """By every page, beside the JSON at `/`."""
    registry = Registry()
    registry.counter("orders").increment(3)
    with HTTPReporter(0, registry) as reporter:
        request = urllib.request.Request(f"{reporter.url.rstrip('/')}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            body, found = answer.read(), dict(answer.headers)
    text = (gzip.decompress(body) if encoding else body).decode()

    assert (found["Content-Type"], found.get("Content-Encoding")) == (media_type, encoding)
    assert found["Vary"] == "Accept, Accept-Encoding"
    assert text == (ORDERS_OF_OPENMETRICS if "Accept" in headers else ORDERS)


def test_as_the_format_of_a_page() -> None:
    """By its name, at the root."""
    registry = Registry()
    registry.counter("orders").increment(3)
    page = wsgi(registry, format="prometheus")
    status: list[Tuple[str, list[Tuple[str, str]]]] = []

    body = b"".join(page({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *started: status.append(started)))

    assert body.decode() == ORDERS
    assert ("Content-Type", "text/plain; version=0.0.4; charset=utf-8") in status[0][1]


@pytest.fixture
def place() -> Iterator[Place]:
    """Make a folder in which programs run, none of which outlives the test."""
    with Place() as made:
        yield made


def test_any_worker_shows_all_of_them(place: Place) -> None:
    """With one call in each process: histograms of all of them, merged, in what the client asks for."""
    (place.folder / "tapes.toml").write_text("[aggregator]\nlinger = 1.5\ninterval = 0.1\n")
    program = place.run(
        """
import tapes
configuration = tapes.configure(FOLDER / "tapes.toml")
latency = tapes.timer("latency")
join(*[forked(lambda: latency.update(0.2)) for _ in range(3)])
latency.update(0.2)
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_ACCEPT": "application/openmetrics-text"}
page, answers = configuration.wsgi(), []
while True:
    body = b"".join(page(environ, lambda status, fields: answers.append(status)))
    if answers[-1] == "200 OK":  # before, the aggregator has not begun
        break
    time.sleep(0.05)
print(body.decode())
"""
    )

    assert program.ended() == 0
    found = samples(program.said().strip("\n") + "\n", openmetrics=True)
    buckets = {dict(labels).get("le"): value for (name, labels), value in found.items() if name.endswith("_bucket")}
    assert (buckets["0.1"], buckets["0.25"], buckets["+Inf"]) == (0, 4, 4)
