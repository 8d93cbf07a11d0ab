"""Reporters that outlive the loop that drove them, and go on with the next one."""

from __future__ import annotations

import asyncio
import io
import json
import math
import urllib.request
from functools import partial
from http.client import HTTPConnection
from typing import Any, Callable, Dict

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.tornado import TornadoScheduledReporter, loops
from tapes.reporting.tornado.driver import LoopDriven
from tapes.reporting.tornado.http import TornadoHTTPReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter
from tests.conftest import PATIENCE, Until


class Plain(TornadoScheduledReporter):
    """Reports on the loop."""

    def report(self) -> None:
        """Report nothing."""


class Coroutine(TornadoScheduledReporter):
    """Reports in coroutines, one of which is under way when the loop ends."""

    async def report(self) -> None:
        """Take some time."""
        await asyncio.sleep(0.05)


MAKE: Dict[str, Callable[[], Reporter]] = {
    "plain": lambda: Plain(0.02, Registry()),
    "coroutine": lambda: Coroutine(0.02, Registry()),
    "apart": lambda: TornadoStreamReporter(0.02, io.StringIO(), Registry()),
}


def drive(main: Callable[[], Any]) -> Any:
    """Run a coroutine on a loop of its own, for which there is an IOLoop."""

    async def run() -> Any:
        IOLoop.current()
        return await main()

    return asyncio.run(asyncio.wait_for(run(), PATIENCE))


def fetching(reporter: TornadoHTTPReporter) -> Callable[[], Any]:
    """Return a coroutine function that fetches the page, while the loop that runs it goes on."""

    def fetch() -> Any:
        with urllib.request.urlopen(reporter.url, timeout=PATIENCE) as answer:
            return json.load(answer)

    async def main() -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, fetch)

    return main


@pytest.mark.parametrize("started", ["before the loop", "on the loop"])
@pytest.mark.parametrize("kind", MAKE)
def test_it_reports_on_the_next_loop(kind: str, started: str, until: Until) -> None:
    """It reports at its interval on each of three loops, one after the other."""
    reporter = MAKE[kind]()
    if started == "before the loop":
        reporter.start()

    async def main() -> None:
        if not reporter.running:
            reporter.start()
        enough = reporter.reports + 3
        while reporter.reports < enough:
            await asyncio.sleep(0.005)

    for _ in range(3):
        drive(main)
    if isinstance(reporter, LoopDriven):
        until(lambda: reporter.idle)  # its thread may be in the middle of a report when the loop has ended
    before = reporter.reports
    reporter.stop()

    assert reporter.reports == before + 1
    assert reporter.failures == 0


def test_a_page_is_served_by_the_next_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens all the time, and answers on each of three loops. None waits for one before it that is closed."""
    monkeypatch.setattr(loops, "_PATIENCE", math.inf)
    reporter = TornadoHTTPReporter(0, Registry())
    reporter.start()

    main = fetching(reporter)
    pages = [drive(main) for _ in range(3)]
    reporter.stop()

    assert pages == [{}, {}, {}]
    assert (reporter.reports, reporter.failures) == (3, 0)


def test_a_page_is_served_by_a_loop_that_runs_again() -> None:
    """When another one has had it in the meantime, as this one had stopped for a while."""
    reporter = TornadoHTTPReporter(0, Registry())
    reporter.start()

    main = fetching(reporter)
    first = IOLoop(make_current=False)
    pages = [first.run_sync(main, PATIENCE), drive(main), first.run_sync(main, PATIENCE)]
    reporter.stop()
    first.close()

    assert pages == [{}, {}, {}]
    assert (reporter.reports, reporter.failures) == (3, 0)


def test_who_is_connected_when_a_loop_ends_is_let_go() -> None:
    """The next loop does not serve them, and they do not wait for it."""
    reporter = TornadoHTTPReporter(0, Registry())
    reporter.start()

    def ask(connection: HTTPConnection) -> bytes:
        connection.request("GET", "/")
        return connection.getresponse().read()

    async def main(connection: HTTPConnection) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(None, ask, connection)

    connections = [HTTPConnection("127.0.0.1", reporter.port, timeout=PATIENCE) for _ in range(2)]
    pages = [drive(partial(main, connection)) for connection in connections]
    first = connections[0].sock
    assert first is not None, "It may ask again."
    rest = first.recv(1)
    for connection in connections:
        connection.close()
    reporter.stop()

    assert pages == [b"{}", b"{}"]
    assert rest == b""


def test_a_loop_that_closes_everything_takes_the_page_along() -> None:
    """The next loop has nothing to serve, which is a failure that says what to do."""
    reporter = TornadoHTTPReporter(0, Registry())
    reporter.start()

    async def fetch() -> None:
        await AsyncHTTPClient().fetch(reporter.url, request_timeout=PATIENCE)

    async def main() -> None:
        while not reporter.failures:
            await asyncio.sleep(0.005)

    first = IOLoop(make_current=False)
    first.run_sync(fetch, PATIENCE)
    first.close(all_fds=True)
    drive(main)
    error = str(reporter.last_error)
    reporter.stop()

    assert error == "The loop that has ended has closed the socket that listens: start again."
