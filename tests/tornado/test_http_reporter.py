"""The page at a port of its own, and the loop that serves it: one that does not run yet, or any more, or is stuck."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from tornado.ioloop import IOLoop

import tapes
from tapes.errors import ReporterOptionError
from tapes.pages import connections
from tapes.registry import Registry
from tapes.reporting.tornado import serving
from tapes.reporting.tornado.http import MetricsHandler, TornadoHTTPReporter
from tests.conftest import RunScript, Until
from tests.pages.serving import PAGE, FaultyRegistry, application, ask, everything, fetch
from tests.servers.processes import PATIENCE, free_port
from tests.tornado.conftest import LoopThread

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Counting(TornadoHTTPReporter):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        """Count."""
        super().close()
        self.closed += 1


class Blocked:
    """A gauge that blocks whoever reads it, until it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.readers: List[threading.Thread] = []

    def __call__(self) -> int:
        """Block."""
        self.readers.append(threading.current_thread())
        self.release.wait(60)
        return 1


@pytest.fixture
def registry() -> FaultyRegistry:
    """Make a registry that holds one counter."""
    return FaultyRegistry()


@pytest.fixture
def blocked(registry: FaultyRegistry) -> Iterator[Blocked]:
    """Make every page block, and release all in the end."""
    blocked = Blocked()
    registry.gauge("blocked", blocked)
    yield blocked
    blocked.release.set()


@pytest.fixture
def reporter(registry: FaultyRegistry, loop_thread: LoopThread) -> Iterator[Counting]:
    """Serve on a loop that runs in a thread."""
    with Counting(free_port(), registry, io_loop=loop_thread.io_loop) as reporter:  # one that nobody else is given
        yield reporter


def connect(port: int, request: bytes = b"") -> socket.socket:
    """Connect, and send something."""
    client = socket.create_connection(("127.0.0.1", port), 30)
    client.sendall(request)
    return client


def is_free(port: int) -> bool:
    """Whether somebody may listen there."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def get_stuck(stuck: threading.Event, release: threading.Event) -> None:
    """Block the loop until it is released."""
    stuck.set()
    release.wait(60)


# Which loop, and when.


def test_neither_import_nor_construction_touches_a_loop(run_script: RunScript) -> None:
    """A reporter is made, started and stopped where there is no loop, and makes none."""
    done = run_script("""
        import asyncio

        def refuse(*args):
            raise AssertionError("A loop was made, or asked for.")

        asyncio.new_event_loop = asyncio.get_event_loop = asyncio.events.new_event_loop = refuse
        from tapes.reporting.tornado.http import MetricsHandler, TornadoHTTPReporter
        from tornado.ioloop import IOLoop
        reporter = TornadoHTTPReporter(0)
        reporter.start()
        port = reporter.port
        reporter.stop()
        print(port > 0, reporter.running, IOLoop._ioloop_for_asyncio)
    """)

    assert (done.returncode, done.stdout, done.stderr) == (0, "True False {}\n", "")


def test_it_may_be_started_before_its_loop_runs(registry: FaultyRegistry, io_loop: Any) -> None:
    """It listens at once, and who has come before the loop runs is answered when it does."""
    answers: List[bytes] = []
    with Counting(0, registry, io_loop=io_loop) as reporter, connect(reporter.port, REQUEST) as client:

        def read(fd: Any, events: int) -> None:
            answers.append(client.recv(15))
            io_loop.stop()

        io_loop.add_handler(client, read, IOLoop.READ)
        io_loop.asyncio_loop.run_forever()
        io_loop.remove_handler(client)

    assert answers == [b"HTTP/1.1 200 OK"]


def test_it_may_be_started_before_asyncio_makes_the_loop(registry: FaultyRegistry) -> None:
    """Without a loop of its own it takes the first that runs, like one that `asyncio.run()` makes later."""

    async def main(port: int) -> int:
        IOLoop.current()  # as whatever uses Tornado does
        return await asyncio.get_running_loop().run_in_executor(None, fetch, port)

    with Counting(0, registry) as reporter:
        assert asyncio.run(main(reporter.port)) == 200


def test_it_takes_the_loop_that_runs_where_it_is_started(registry: FaultyRegistry) -> None:
    """Started by a coroutine, it is served by the loop of that coroutine."""

    async def main() -> Tuple[int, bool]:
        with Counting(0, registry) as reporter:
            status = await asyncio.get_running_loop().run_in_executor(None, fetch, reporter.port)
            assert reporter._server is not None
            return status, reporter._server._loop is IOLoop.current()

    assert asyncio.run(main()) == (200, True)


def test_it_is_served_by_the_loop_that_it_was_given(registry: FaultyRegistry, loop_thread: LoopThread) -> None:
    """Where several loops run, each reporter keeps to its own."""
    other = LoopThread()
    first = Counting(0, registry, io_loop=loop_thread.io_loop)
    second = Counting(0, registry, io_loop=other.io_loop)

    with first, second:
        statuses = [fetch(first.port), fetch(second.port)]
        assert first._server is not None
        assert second._server is not None
        loops = [first._server._loop, second._server._loop]
    other.close()

    assert statuses == [200, 200]
    assert loops == [loop_thread.io_loop, other.io_loop]


@pytest.mark.parametrize("io_loop", [7, "the loop", asyncio])
def test_what_is_no_loop_is_refused(io_loop: Any) -> None:
    """io_loop is an IOLoop."""
    with pytest.raises(ReporterOptionError, match=r"io_loop is an IOLoop of Tornado, .*, not "):
        TornadoHTTPReporter(0, io_loop=io_loop)


def test_it_is_found_by_its_name(loop_thread: LoopThread) -> None:
    """A config names it tornado-http, with the options of core's reporter."""
    registry = FaultyRegistry()
    options = {"port": 0, "host": "127.0.0.1", "format": "json"}

    handle = loop_thread.call(lambda: tapes.configure({"reporters": {"tornado-http": options}}, registry=registry))
    reporter = handle.reporters["tornado-http"]
    answer = ask(reporter.port, "GET", "/")
    handle.stop()

    assert type(reporter) is TornadoHTTPReporter
    assert answer[2] == PAGE


# How it stops.


def test_it_is_stopped_from_another_thread(reporter: Counting, loop_thread: LoopThread) -> None:
    """When stop() returns the port is free, clients are gone, and the loop has nothing of it any more."""
    port = reporter.port
    with connect(port, REQUEST) as client:
        assert client.recv(15) == b"HTTP/1.1 200 OK"

        reporter.stop()

        assert everything(client).endswith(PAGE)
    assert is_free(port)
    assert reporter.closed == 1
    assert len(loop_thread.io_loop.handlers) == 0


def test_it_is_stopped_on_the_thread_of_its_loop(reporter: Counting, loop_thread: LoopThread, until: Until) -> None:
    """There too the port is free when stop() returns, which waits for nothing."""
    port = reporter.port
    with connect(port, REQUEST) as client:
        assert client.recv(15) == b"HTTP/1.1 200 OK"

        def stop() -> bool:
            reporter.stop()
            return is_free(port)

        free = loop_thread.call(stop)

        assert everything(client).endswith(PAGE)
    assert free
    assert reporter.closed == 1
    assert len(loop_thread.io_loop.handlers) == 0


def test_a_stop_on_the_thread_of_the_loop_leaves_it_the_answers_that_are_under_way(
    reporter: Counting, loop_thread: LoopThread, blocked: Blocked, until: Until
) -> None:
    """stop() cannot wait there, but the loop finishes what it has begun."""
    with connect(reporter.port, REQUEST) as client:
        until(lambda: blocked.readers)

        loop_thread.call(reporter.stop)
        running = reporter.running
        blocked.release.set()

        assert everything(client).startswith(b"HTTP/1.1 200 OK\r\n")
    assert not running
    assert reporter.closed == 1


def test_an_answer_that_takes_too_long_is_given_up(
    reporter: Counting, loop_thread: LoopThread, blocked: Blocked, until: Until
) -> None:
    """A client whose page is not there a second after the stop is let go, whoever has stopped."""
    with connect(reporter.port, REQUEST) as client:
        until(lambda: blocked.readers)

        loop_thread.call(reporter.stop)

        assert everything(client) == b""
    until(lambda: not loop_thread.io_loop.handlers)


def test_it_is_stopped_before_its_loop_has_run(registry: FaultyRegistry, io_loop: Any) -> None:
    """Nobody is needed to stop what nobody serves, and a loop that runs later has nothing to do with it."""
    reporter = Counting(0, registry, io_loop=io_loop)
    reporter.start()
    port = reporter.port

    reporter.stop()
    io_loop.add_callback(io_loop.stop)
    io_loop.asyncio_loop.run_forever()

    assert is_free(port)
    assert (reporter.running, reporter.closed) == (False, 1)
    assert len(io_loop.handlers) == 0


@pytest.mark.parametrize("closed", [False, True])
def test_it_is_stopped_after_its_loop(reporter: Counting, loop_thread: LoopThread, closed: bool) -> None:
    """A loop that runs no more, or has been closed, is not waited for: the port is free and clients are gone."""
    port = reporter.port
    with connect(port, REQUEST) as client:
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        loop_thread.stop()
        if closed:
            loop_thread.close()

        reporter.stop()

        assert everything(client).endswith(PAGE)
    assert is_free(port)
    assert (reporter.running, reporter.closed) == (False, 1)


def test_a_loop_that_stops_in_the_middle_of_a_stop_is_not_waited_for(
    reporter: Counting, loop_thread: LoopThread, blocked: Blocked, until: Until
) -> None:
    """stop() notices that the loop which was to finish an answer has ended."""
    with connect(reporter.port, REQUEST) as client:
        until(lambda: blocked.readers)
        io_loop = loop_thread.io_loop
        io_loop.add_callback(io_loop.call_later, 0.2, io_loop.stop)

        reporter.stop(60)

        assert everything(client) == b""
    assert reporter.closed == 1


def test_a_loop_that_is_stuck_does_not_keep_the_port(
    reporter: Counting, loop_thread: LoopThread, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    """stop() returns in time although the loop does nothing, the port is free, and the loop clears up when it can."""
    port, release = reporter.port, threading.Event()
    io_loop = loop_thread.io_loop
    stuck = threading.Event()
    io_loop.add_callback(get_stuck, stuck, release)
    assert stuck.wait(30)

    reporter.stop(0.1)
    free = is_free(port)
    while_stuck = list(io_loop.handlers)
    release.set()
    until(lambda: not io_loop.handlers)

    assert free
    assert len(while_stuck) == 1
    assert [record.levelname for record in caplog.records if record.name == "tapes.reporting"] == ["WARNING"]
    until(lambda: reporter.closed == 1)
    assert loop_thread.call(lambda: "still running") == "still running"


def test_it_is_started_again_while_its_loop_is_stuck(reporter: Counting, loop_thread: LoopThread, until: Until) -> None:
    """A run that was given up leaves the next one alone."""
    release, stuck = threading.Event(), threading.Event()
    loop_thread.io_loop.add_callback(get_stuck, stuck, release)
    assert stuck.wait(30)
    reporter.stop(0.1)

    reporter.start()
    release.set()

    assert fetch(reporter.port) == 200
    assert (reporter.running, reporter.closed) == (True, 0)
    assert len(loop_thread.io_loop.handlers) >= 1


def test_several_threads_stop_it_after_its_loop(reporter: Counting, loop_thread: LoopThread) -> None:
    """Whoever comes first closes everything, once."""
    with connect(reporter.port, REQUEST) as client:
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        loop_thread.stop()

        threads = [threading.Thread(target=reporter.stop) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert (reporter.running, reporter.closed) == (False, 1)


def test_a_signal_handler_stops_it(run_script: RunScript) -> None:
    """A signal that cuts in on the thread of the loop may stop it, and the program ends as if nothing had been."""
    done = run_script("""
        import asyncio, logging, os, signal, socket, warnings
        from tapes import Registry
        from tapes.reporting.tornado.http import TornadoHTTPReporter
        logging.basicConfig(level=logging.WARNING)
        warnings.simplefilter("error")

        async def main():
            reporter = TornadoHTTPReporter(0, Registry())
            reporter.start()
            signal.signal(signal.SIGTERM, lambda number, frame: reporter.stop())
            port = reporter.port
            reading, writing = await asyncio.open_connection("127.0.0.1", port)
            writing.write(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
            print(await reading.readline())
            os.kill(os.getpid(), signal.SIGTERM)
            rest = await reading.read()
            writing.close()
            await writing.wait_closed()
            socket.create_server(("127.0.0.1", port)).close()
            print(rest[-2:], reporter.running, reporter.reports)

        asyncio.run(main())
    """)

    assert (done.returncode, done.stdout, done.stderr) == (0, "b'HTTP/1.1 200 OK\\r\\n'\nb'{}' False 1\n", "")


def test_a_program_may_end_without_a_stop(run_script: RunScript) -> None:
    """A reporter that is still running when the program ends, with clients connected, is stopped without a word."""
    done = run_script("""
        import asyncio, gc, logging, socket
        from tapes import Registry
        from tapes.reporting.tornado.http import TornadoHTTPReporter
        logging.basicConfig(level=logging.WARNING)
        client = socket.socket()

        async def main():
            reporter = TornadoHTTPReporter(0, Registry())
            reporter.start()
            client.connect(("127.0.0.1", reporter.port))
            client.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
            while not reporter.reports:
                await asyncio.sleep(0.01)

        asyncio.run(main())
        gc.collect()
        client.close()
        print("end")
    """)

    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_child_closes_what_it_inherits_and_the_parent_serves_on(run_script: RunScript) -> None:
    """A child has no socket of the reporter, may start one of its own, and the parent's loop has lost nothing."""
    done = run_script("""
        import asyncio, os, socket, sys, threading, time, traceback
        from http.client import HTTPConnection
        from tapes import Registry
        from tapes.reporting.tornado.http import TornadoHTTPReporter
        from tornado.ioloop import IOLoop

        def sockets():
            found = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                        found.append(int(name))
                except OSError:
                    pass
            return found

        def run_loop():
            running = threading.Event()
            async def main():
                IOLoop.current()
                running.set()
                await asyncio.Event().wait()
            threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
            running.wait()

        def connect(port):
            connection = HTTPConnection("127.0.0.1", port, timeout=20)
            connection.connect()
            return connection

        def fetch(connection):
            connection.request("GET", "/")
            return connection.getresponse().read()

        run_loop()
        before = set(sockets())
        registry = Registry()
        registry.counter("orders").increment(3)
        reporter = TornadoHTTPReporter(0, registry)
        reporter.start()
        port = reporter.port
        kept = connect(port)
        fetch(kept)
        quiet = set(sockets())
        for _ in range(3):
            while set(sockets()) != quiet:  # the loop has yet to close that of a client which has gone
                time.sleep(0.002)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    kept.close()
                    assert not reporter.running
                    assert set(sockets()) <= before, (sockets(), before)
                    reporter.stop()
                    run_loop()
                    with reporter:
                        assert reporter.port != port
                        connection = connect(reporter.port)
                        assert fetch(connection) == b'{"orders":{"value":0}}'
                        connection.close()
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
            assert reporter.running
            other = connect(port)
            assert fetch(kept) == fetch(other) == b'{"orders":{"value":3}}'
            other.close()
        kept.close()
        reporter.stop()
    """)

    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    "request_",
    [b"GET /%s HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX: %s\r\n", b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n%s"],
)
def test_what_is_too_large_ends_the_connection(
    reporter: Counting, registry: FaultyRegistry, capfd: Any, request_: bytes
) -> None:
    """Of a client that sends more than a request may have no more is read, and nothing is printed."""
    with connect(reporter.port) as client:
        with suppress(ConnectionError):
            client.sendall(request_ % (b"x" * 100_000))
        answer = everything(client)

    assert answer in (b"", b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert (fetch(reporter.port), registry.snapshots) == (200, 1)
    assert capfd.readouterr() == ("", "")


# What the loop is spared.


def longest_pause(loop: LoopThread, work: Callable[[], object]) -> Tuple[float, float]:
    """Return for how long at most the loop did nothing else while `work` was done, and how much there was to do.

    In seconds of a processor, of which other programs take nothing.
    """
    longest = [0.0]
    last = [0.0]
    over = threading.Event()

    def look() -> None:
        now = time.thread_time()
        longest[0] = max(longest[0], now - last[0])
        last[0] = now
        if not over.is_set():
            loop.io_loop.call_later(0.001, look)

    def begin() -> None:
        last[0] = time.thread_time()
        look()

    loop.call(begin)
    began = time.process_time()
    work()
    loop.call(lambda: None)
    took = time.process_time() - began
    over.set()
    return longest[0], took


@pytest.fixture(scope="module")
def many() -> Registry:
    """Make a registry of 10,000 timers."""
    registry = Registry()
    for number in range(10_000):
        registry.timer(f"shop.timer{number}").update(0.1)
    return registry


def assert_not_held(loop: LoopThread, work: Callable[[], object]) -> None:
    """Assert that the loop was never held for a quarter of the work."""
    longest, took = longest_pause(loop, work)
    assert longest < took / 4, f"The loop was held for {longest} of {took} s of work."


def test_a_large_page_does_not_hold_the_loop(many: Registry, loop_thread: LoopThread) -> None:
    """While the page of 10,000 timers is made, the loop goes on with other things."""
    with TornadoHTTPReporter(0, many, io_loop=loop_thread.io_loop) as reporter:
        assert_not_held(loop_thread, lambda: fetch(reporter.port))


@pytest.mark.parametrize("compress", [False, True])
def test_a_large_page_does_not_hold_the_loop_of_an_application(many: Registry, compress: bool) -> None:
    """So it is in an application, and with one that compresses, which is done on the loop."""
    handlers = [("/metrics", MetricsHandler, {"registry": many})]
    with application(handlers, compress_response=compress) as (loop, port):
        assert_not_held(loop, lambda: ask(port, "GET", "/metrics", Accept_Encoding="gzip"))


def test_a_producer_that_blocks_does_not_block_the_loop(
    reporter: Counting, loop_thread: LoopThread, blocked: Blocked, until: Until
) -> None:
    """While a gauge waits for something, the loop runs; the page is made by a daemon thread with a name of tapes."""
    with connect(reporter.port, REQUEST) as client:
        until(lambda: blocked.readers)

        assert loop_thread.call(lambda: "running") == "running"
        assert [(thread.daemon, thread.name) for thread in blocked.readers] == [(True, "tapes-Counting-page")]
        blocked.release.set()
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_the_time_of_clients_is_looked_at_again_and_again(
    reporter: Counting, registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client whose time is not up at the first look is let go at a later one."""
    monkeypatch.setattr(serving, "_TICK", 0.02)
    monkeypatch.setattr(connections, "PAGE_TIMEOUT", 0.3)
    over = threading.Event()
    registry.gauge("slow", lambda: over.wait(PATIENCE))
    with connect(reporter.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert everything(client) == b""
    over.set()


def test_a_thread_that_cannot_be_started_is_tried_again(
    reporter: Counting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there are no more threads, a request waits until there is one, and that is logged once."""
    refused: List[str] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "tapes-Counting-page" and len(refused) < 3:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    assert fetch(reporter.port) == 200
    assert len(refused) == 3
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        (
            "Counting could not make its page, and keeps trying. No thread could be started (can't start new thread). "
            "Raise the limit of threads (ulimit -u), or run fewer."
        )
    ]


def test_requests_that_are_sent_ahead_do_not_hold_the_loop(
    reporter: Counting,
    loop_thread: LoopThread,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    until: Until,
) -> None:
    """Between the requests of one client the loop comes to other things, however many it has sent at once."""
    turns = [0]
    turns_of_requests: List[int] = []
    caplog.set_level(logging.DEBUG, "tapes.reporting")
    monkeypatch.setattr(caplog.handler, "emit", lambda record: turns_of_requests.append(turns[0]))

    def turn() -> None:
        turns[0] += 1
        if len(turns_of_requests) < 200:
            loop_thread.io_loop.add_callback(turn)

    loop_thread.io_loop.add_callback(turn)
    with connect(
        reporter.port, b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 199 + b"GET /x HTTP/1.0\r\n\r\n"
    ) as client:
        answers = everything(client)

    assert answers.count(b"HTTP/1.1 404") == 200
    until(lambda: len(turns_of_requests) == 200)  # a request is logged after its answer
    assert len(set(turns_of_requests)) == 200


@pytest.fixture
def reluctant(loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> List[object]:
    """Let the loop refuse the next socket that it is given. Give a list of those, which a test may empty."""
    refused: List[object] = []
    add_handler = loop_thread.io_loop.add_handler

    def refuse_once(fd: object, *args: Any) -> None:
        if not refused:
            refused.append(fd)
            raise OSError(28, "No space left on device")
        add_handler(fd, *args)

    monkeypatch.setattr(loop_thread.io_loop, "add_handler", refuse_once)
    return refused


def test_a_client_that_the_loop_cannot_take_is_turned_away(
    registry: FaultyRegistry, loop_thread: LoopThread, reluctant: List[object]
) -> None:
    """When the system is out of what it takes to wait for a client, it is let go, and the next is let in."""
    reluctant.append("not the socket that listens")
    with Counting(0, registry, io_loop=loop_thread.io_loop) as reporter:
        loop_thread.call(lambda: None)
        reluctant.clear()

        with connect(reporter.port, REQUEST) as client:
            assert everything(client) == b""

        assert fetch(reporter.port) == 200
        assert reporter.running
        assert reporter.reports in (1, 2)  # by whether the request of the first had come before it was let go


def test_a_loop_that_cannot_take_it_is_asked_again(
    registry: FaultyRegistry, loop_thread: LoopThread, reluctant: List[object]
) -> None:
    """When the system is out of what it takes to wait for clients at all, that is a failure, and tried again."""
    with Counting(0, registry, io_loop=loop_thread.io_loop) as reporter:
        assert fetch(reporter.port) == 200

        assert len(reluctant) == 1
        assert (reporter.failures, reporter.reports) == (1, 1)
