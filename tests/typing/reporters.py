"""The reporters of the other distributions as type checkers see them. Nothing in here is run."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Optional

import tornado.web
from tornado.ioloop import IOLoop
from typing_extensions import assert_type

from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.http import MetricsHandler, TornadoHTTPReporter
from tapes.reporting.tornado.statsd import TornadoStatsdReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter

registry = Registry()

StatsdReporter(timedelta(seconds=10), "localhost", 8125, "shop", registry, tags="datadog")
StatsdReporter(10, protocol="unix", path="/run/statsd.sock")
StatsdReporter(10, protocol="http")  # type: ignore[arg-type]  # no such protocol
StatsdReporter("10")  # type: ignore[arg-type]  # no number
TornadoStatsdReporter(10, "localhost", 8125, "shop", registry, IOLoop.current(), max_packet=512)
TornadoStreamReporter(10, sys.stdout, registry)
TornadoStreamReporter(10, path="metrics.jsonl", io_loop=None)
TornadoHTTPReporter(8889, registry, "127.0.0.1", None, format="json")
tornado.web.Application([("/metrics", MetricsHandler, {"registry": registry})])

with StatsdReporter(10) as reporter:
    assert_type(reporter, StatsdReporter)
    assert_type(reporter.last_error, Optional[BaseException])


class Plain(TornadoScheduledReporter):
    """A report that is made when it returns."""

    def report(self) -> None:
        """Report."""


class Coroutine(TornadoScheduledReporter):
    """A report that the loop finishes."""

    async def report(self) -> None:
        """Report."""


scheduled: ScheduledReporter = Coroutine(10, registry, io_loop=IOLoop.current())
