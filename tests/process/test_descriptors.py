"""Reporters whose descriptors are closed behind their backs, and stand for something of the application's then."""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Union

import pytest

from tapes.process.descriptors import OwnSocket, identity, own
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.http import HTTPReporter
from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tapes.reporting.tornado.http import TornadoHTTPReporter
from tapes.reporting.tornado.statsd import TornadoStatsdReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter
from tests.conftest import PATIENCE, Until
from tests.reporting.lines import statistics
from tests.servers.processes import others_wait
from tests.statsd.listeners import Datagrams, Stream
from tests.tornado.conftest import LoopThread

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs a list of the open descriptors")

SECRET = b"of the application"


FIRST = """
import os, socket
from tapes.process.descriptors import own

os.close(0)
mine, others = own(socket.socket()), socket.socket()
before = mine.lost
os.dup2(others.fileno(), 0)
print(mine.fileno(), before, mine.lost)
mine.detach()
"""


_dup2 = ctypes.PyDLL(None).dup2


class Application:
    """Puts files and connections of its own where the descriptors of a reporter were, and sees what becomes of them."""

    def __init__(self, folder: Path, foreign: str) -> None:
        self._folder = folder
        self._foreign = foreign
        self._taken: Dict[int, object] = {}
        self._peers: List[socket.socket] = []
        self._files: List[Path] = []

    def takes(self, descriptors: Set[int]) -> None:
        """Take these over, as a program does that closes all descriptors and goes on with its own."""
        mine = {descriptor: self._make(descriptor) for descriptor in descriptors}
        # All at once: no other thread is let in, and these calls keep the lock of the interpreter.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1000)
        try:
            for descriptor, made in mine.items():
                assert _dup2(made, descriptor) == descriptor
        finally:
            sys.setswitchinterval(interval)
        for descriptor in mine:
            self._taken[descriptor] = identity(descriptor)
        for made in mine.values():
            os.close(made)

    def is_untouched(self) -> None:
        """Fail if anything has been written, read, shut down or closed."""
        for descriptor, before in self._taken.items():
            assert identity(descriptor) == before, "It has closed a descriptor of the application."
        assert [path.read_bytes() for path in self._files] == [SECRET] * len(self._files)
        for descriptor in self._taken if self._peers else ():
            with socket.socket(fileno=os.dup(descriptor)) as mine:
                assert mine.recv(100, socket.MSG_PEEK | socket.MSG_DONTWAIT) == SECRET
                assert mine.getblocking()
        for peer in self._peers:
            with pytest.raises(BlockingIOError):
                peer.recv(100)

    def _make(self, number: int) -> int:
        if self._foreign == "file":
            path = self._folder / f"application{number}"
            path.write_bytes(SECRET)
            self._files.append(path)
            return os.open(path, os.O_RDWR | os.O_APPEND)
        here, peer = socket.socketpair()
        peer.send(SECRET)
        peer.setblocking(False)
        self._peers.append(peer)
        return here.detach()

    def close(self) -> None:
        """Close what it has."""
        for descriptor in self._taken:
            with suppress(OSError):
                os.close(descriptor)
        for peer in self._peers:
            peer.close()


def open_descriptors() -> Dict[int, object]:
    """Return those of this process, and what each stands for."""
    found = {int(name): identity(int(name)) for name in os.listdir("/proc/self/fd")}
    return {descriptor: what for descriptor, what in found.items() if what is not None}


def opened_since(before: Dict[int, object]) -> Set[int]:
    """Return which descriptors stand for something new, also where a thread of another test has just closed one."""
    return {descriptor for descriptor, what in open_descriptors().items() if before.get(descriptor) != what}


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    """Run a loop for the reporters that need one."""
    running = LoopThread()
    yield running
    running.close()


@pytest.fixture(params=["file", "connection"])
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Application]:
    """Make an application that goes on with files, or with connections."""
    with closing(Application(tmp_path, request.param)) as made:
        yield made


def listening(protocol: str, folder: Path) -> Union[Datagrams, Stream]:
    """Make a StatsD that keeps what it is sent."""
    return Datagrams() if protocol == "udp" else Stream(folder / "statsd.sock" if protocol == "unix" else None)


def told(statsd: Union[Datagrams, Stream]) -> List[str]:
    """Return the lines that a StatsD was sent until now."""
    if isinstance(statsd, Stream):
        return statsd.lines
    statsd.read()
    return "\n".join(statsd.packets).split("\n")


def clients(statsd: Union[Datagrams, Stream], options: Dict[str, Any]) -> Set[int]:
    """Return the descriptors of this process that are connected to a StatsD."""
    where = options.get("path", ("127.0.0.1", statsd.port))
    return {descriptor for descriptor in open_descriptors() if address(descriptor, "getpeername") == where}


def address(descriptor: int, which: str) -> object:
    """Return an address of a socket; None if it has none, or is no socket."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return getattr(found, which)()
    except OSError:
        return None


STATSD = {"threaded": StatsdReporter, "tornado": TornadoStatsdReporter}
STREAM = {"threaded": ThreadedStreamReporter, "tornado": TornadoStreamReporter}
HTTP = {"threaded": HTTPReporter, "tornado": TornadoHTTPReporter}


def reports(reporter: Reporter, until: Until, number: int = 2) -> None:
    """Wait for as many further reports."""
    enough = reporter.reports + number
    until(lambda: reporter.reports >= enough)


@pytest.mark.parametrize("driver", STREAM)
def test_a_file_is_opened_again_and_the_application_left_alone(
    driver: str, application: Application, loop_thread: LoopThread, tmp_path: Path, until: Until
) -> None:
    """A log goes on in the same file under another descriptor."""
    path = tmp_path / "stats.json"
    registry = Registry()
    registry.counter("orders").increment()
    armed: List[Set[int]] = []

    def take() -> int:
        if armed:
            application.takes(armed.pop())
        return 1

    registry.gauge("taken", take)  # asked by who reports, before it writes
    before = open_descriptors()
    with STREAM[driver](0.02, registry=registry, path=path) as reporter:
        reports(reporter, until)
        armed.append(opened_since(before))
        until(lambda: not armed)
        registry.counter("orders").increment()
        reports(reporter, until)

    application.is_untouched()
    assert reporter.failures == 0
    assert statistics(path.read_text())[-1] == {"orders": {"value": 2}, "taken": {"value": 1}}


@pytest.mark.parametrize("driver", STATSD)
@pytest.mark.parametrize("protocol", ["udp", "tcp", "unix"])
def test_a_statsd_is_connected_to_again_and_the_application_left_alone(
    driver: str, protocol: Any, application: Application, loop_thread: LoopThread, tmp_path: Path, until: Until
) -> None:
    """Changes go to StatsD over another connection, and those that it was told are not told again."""
    registry = Registry()
    options: Any = {"path": str(tmp_path / "statsd.sock")} if protocol == "unix" else {}
    with closing(listening(protocol, tmp_path)) as statsd:
        reporter = STATSD[driver](0.02, "127.0.0.1", statsd.port, None, registry, protocol=protocol, **options)
        with reporter:
            registry.counter("first").increment()
            until(lambda: "first.value:+1|c" in told(statsd))
            application.takes(clients(statsd, options))
            registry.counter("second").increment(2)
            until(lambda: "second.value:+2|c" in told(statsd))
        lines = told(statsd)

    application.is_untouched()
    assert lines.count("first.value:+1|c") == 1
    assert reporter.failures == 0


@pytest.mark.parametrize("protocol", ["udp", "tcp", "unix"])
def test_what_was_taken_before_a_descriptor_is_lost_is_told_once(
    protocol: Any, application: Application, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, until: Until
) -> None:
    """The application takes over when a datagram is sent and looked after, or when a stream has taken half a packet."""
    registry = Registry()
    options: Any = {"path": str(tmp_path / "statsd.sock")} if protocol == "unix" else {}
    send, getsockopt = OwnSocket.send, OwnSocket.getsockopt

    def send_half_and_lose(connected: OwnSocket, data: bytes) -> int:
        taken = send(connected, data[: len(data) // 2])
        monkeypatch.undo()
        application.takes({connected.fileno()})
        return taken

    def lose_and_look(connected: OwnSocket, *arguments: Any) -> Any:
        monkeypatch.undo()
        application.takes({connected.fileno()})
        return getsockopt(connected, *arguments)

    with closing(listening(protocol, tmp_path)) as statsd:
        with StatsdReporter(3600, "127.0.0.1", statsd.port, None, registry, protocol=protocol, **options) as reporter:
            until(lambda: reporter.reports)  # it reports once at its start
            for name in ("first", "second", "third"):
                registry.counter(name).increment()
            if protocol == "udp":
                monkeypatch.setattr(OwnSocket, "getsockopt", lose_and_look)
                reporter.report()
            else:
                monkeypatch.setattr(OwnSocket, "send", send_half_and_lose)
                with pytest.raises(OSError, match="has closed the descriptor"):
                    reporter.report()
            registry.counter("fourth").increment()
        until(lambda: "fourth.value:+1|c" in told(statsd))
        lines = told(statsd)

    application.is_untouched()
    assert [lines.count(f"{name}.value:+1|c") for name in ("first", "second", "third")] == [1, 1, 1]


@pytest.mark.parametrize("driver", HTTP)
def test_a_page_ends_and_the_application_is_left_alone(
    driver: str, application: Application, loop_thread: LoopThread, caplog: pytest.LogCaptureFixture, until: Until
) -> None:
    """The server says that its sockets are gone, ends its connections, and stops in no time."""
    before = open_descriptors()
    reporter = HTTP[driver](0, Registry())
    reporter.start()
    own_ones = opened_since(before)
    served = ("127.0.0.1", reporter.port)
    with closing(HTTPConnection(*served, timeout=PATIENCE)) as client:
        client.request("GET", "/")
        assert client.getresponse().read() == b"{}"

        theirs = own_ones | {each for each in open_descriptors() if address(each, "getsockname") == served}
        until(lambda: all(others_wait() for _ in range(20)))  # nobody is about to read or write
        application.takes(theirs)
        with suppress(OSError):  # the server's end may be closed by now
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: reporter.failures)
        with pytest.raises(ConnectionRefusedError):
            HTTPConnection(*served, timeout=PATIENCE).connect()
    begun = time.monotonic()
    reporter.stop(PATIENCE)

    assert time.monotonic() - begun < PATIENCE / 2
    application.is_untouched()
    assert "The program has closed" in str(reporter.last_error)
    assert len(caplog.records) == 1


def test_a_socket_that_is_waited_for_is_looked_at_again() -> None:
    """A connection that is taken over while it is waited for is not read from."""
    here, peer = socket.socketpair()
    mine = own(here)
    mine.settimeout(PATIENCE)
    foreign, other = socket.socketpair()
    other.send(SECRET)
    threading.Timer(0.1, lambda: os.dup2(foreign.fileno(), mine.fileno())).start()

    with pytest.raises(OSError, match="has closed the descriptor"):
        mine.recv(100)

    assert foreign.recv(100) == SECRET
    descriptor = mine.fileno()
    mine.close()
    os.close(descriptor)  # which it has left open
    for each in (peer, foreign, other):
        each.close()


def test_a_socket_does_what_sockets_do() -> None:
    """It times out, refuses to block, is read as a file, and closes its descriptor, also when it is forgotten."""
    here, peer = socket.socketpair()
    mine = own(here)
    mine.settimeout(0.01)
    with pytest.raises(socket.timeout):
        mine.recv(1)
    mine.setblocking(False)
    with pytest.raises(BlockingIOError):
        mine.recv(1)
    mine.settimeout(PATIENCE)
    with mine.makefile("rwb") as file:
        mine.close()
        file.write(b"ping\n")
        file.flush()
        assert peer.recv(100) == b"ping\n"
        peer.send(b"pong\n")
        assert file.readline() == b"pong\n"
    assert peer.recv(100) == b""
    peer.close()

    here, peer = socket.socketpair()
    mine = own(here)
    del mine
    gc.collect()
    assert peer.recv(100) == b""
    peer.close()


def test_the_first_descriptor_is_one_like_others() -> None:
    """A daemon that has closed its standard input may have a socket there, and lose it."""
    ran = subprocess.run(
        [sys.executable, "-c", FIRST], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )

    assert ran.stdout.split() == ["0", "False", "True"]
