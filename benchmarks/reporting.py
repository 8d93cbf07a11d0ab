"""What a report of many metrics costs, and how long it keeps an event loop from running."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from benchmarks.report import Report
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.http import MetricsHandler
from tapes.reporting.tornado.statsd import TornadoStatsdReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter

TIMERS = 10_000
LONG = 3600.0  # so that there is one report, at the start

_FETCH = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    urllib.request.urlopen(sys.argv[1]).read()
"""


def costs(runs: int) -> dict[str, Report]:
    """Return what a report of 10,000 timers costs by each reporter; of `runs` the median."""
    registry = filled()
    return {
        "read on the loop, to compare": _median(runs, lambda: _report(_OnTheLoop(LONG, registry))),
        "`TornadoStreamReporter`": _median(
            runs, lambda: _report(TornadoStreamReporter(LONG, None, registry, path=os.devnull))
        ),
        "`TornadoStatsdReporter`": _median(runs, lambda: _to_statsd(registry)),
        "`MetricsHandler`": _median(runs, lambda: _page(registry)),
    }


class _OnTheLoop(TornadoScheduledReporter):
    """What happens if nothing is done about it."""

    def report(self) -> None:
        for reading in self.registry.snapshot().readings:
            reading.statistics  # noqa: B018 -- which computes them


def filled() -> Registry:
    """Return a registry of 10,000 timers that have been read before."""
    registry = Registry()
    for number in range(TIMERS):
        timer = registry.timer(f"benchmark.area{number % 100}.timer{number}")
        for value in (0.0123, 0.1, 0.2, 0.3234234):
            timer.update(value * (1 + number / TIMERS))
    registry.snapshot()  # folded, as after an earlier report
    return registry


def _median(runs: int, measure: Callable[[], Report]) -> Report:
    measured = sorted(measure() for _ in range(runs))
    by_stretch = sorted(measured, key=lambda cost: cost.longest)
    return Report(measured[runs // 2].cpu, by_stretch[runs // 2].longest)


def _report(reporter: ScheduledReporter) -> Report:
    async def report() -> None:
        reporter.start()
        while not reporter.reports:
            await asyncio.sleep(0.001)

    cost = _watched(report)
    reporter.stop()
    return cost


def _to_statsd(registry: Registry) -> Report:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        return _report(TornadoStatsdReporter(LONG, "127.0.0.1", sink.getsockname()[1], registry=registry))


def _page(registry: Registry) -> Report:
    async def serve() -> None:
        server = HTTPServer(Application([("/", MetricsHandler, {"registry": registry})]))
        listening, port = bind_unused_port()
        server.add_socket(listening)
        client = subprocess.Popen([sys.executable, "-c", _FETCH, f"http://127.0.0.1:{port}/", "1"])
        while client.poll() is None:
            await asyncio.sleep(0.001)
        server.stop()
        if client.returncode:
            raise RuntimeError(f"The page could not be fetched: exit code {client.returncode}.")

    return _watched(serve)


def _watched(job: Callable[[], Coroutine[None, None, None]]) -> Report:
    """Run a job on a loop, and look how long that loop does not run meanwhile."""
    longest = 0.0

    async def main() -> None:
        nonlocal longest
        working = asyncio.ensure_future(job())
        last = time.perf_counter()
        while not working.done():
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        working.result()

    started = time.process_time()
    asyncio.run(main())
    return Report(time.process_time() - started, longest)
