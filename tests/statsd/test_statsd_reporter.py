"""Reports to StatsD: what is sent, what is kept when it cannot be, and that nobody is bothered meanwhile."""

from __future__ import annotations

import errno
import gc
import logging
import os
import select
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

import pytest

from tapes.errors import ReporterOptionError
from tapes.registry import Registry
from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.statsd.connection import LONGEST_PATH
from tapes.testing import ManualClock
from tests.conftest import PATIENCE, Until
from tests.statsd.listeners import Datagrams, Stream, counted, sender_of


@pytest.fixture
def registry(clock: ManualClock) -> Registry:
    """Make a registry with one counter."""
    registry = Registry(clock=clock)
    registry.counter("hits").increment(3)
    return registry


@pytest.fixture
def statsd() -> Iterator[Datagrams]:
    """Listen for datagrams."""
    listener = Datagrams()
    yield listener
    listener.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    """Listen for TCP connections."""
    listener = Stream()
    yield listener
    listener.close()


Make = Callable[..., StatsdReporter]


@pytest.fixture
def make(registry: Registry) -> Iterator[Make]:
    """Make reporters whose reports are called for one by one, and close them in the end."""
    made: List[StatsdReporter] = []

    def make(port: int = 8125, host: str = "127.0.0.1", **options: Any) -> StatsdReporter:
        reporter = StatsdReporter(10, host, port, registry=registry, **options)
        made.append(reporter)
        reporter.open()
        return reporter

    yield make
    for reporter in made:
        reporter.close()


Addresses = Callable[..., None]


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Addresses:
    """Say what addresses all hosts have."""

    def have(*found: Tuple[Any, ...]) -> None:
        families = [socket.AF_INET6 if ":" in address[0] else socket.AF_INET for address in found]
        entries = [(family, None, None, "", address) for family, address in zip(families, found)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: entries)

    return have


def test_it_reports_from_start_to_stop(registry: Registry, statsd: Datagrams, clock: ManualClock) -> None:
    """It sends what there is at the start, what has changed at each interval, and the rest at the stop."""
    reporter = StatsdReporter(10, "127.0.0.1", statsd.port, "shop", registry)
    sent = []
    with reporter:
        clock.settle()
        sent.append(statsd.read())
        clock.advance(10)
        clock.settle()
        sent.append(statsd.read())
        registry.counter("hits").increment()
    sent.append(statsd.read())

    assert sent == [["shop.hits.value:+3|c"], [], ["shop.hits.value:+1|c"]]
    assert (reporter.reports, reporter.failures) == (3, 0)


def test_a_thread_calls_nothing_that_replaces_what_waits_after_its_start(
    statsd: Datagrams, registry: Registry, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gevent puts in the place of sockets and `time.sleep` later is for greenlets, and hangs a thread."""
    for number in range(2000):  # some packets more than are sent without a pause
        registry.counter(f"other{number}").increment()
    called: List[str] = []

    def replaced(name: str, original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            called.append(f"{name} in {threading.current_thread().name}")
            return original(*arguments, **options)

        return call

    reporter = StatsdReporter(10, "localhost", statsd.port, registry=registry)
    reporter.open()  # as the start does
    for module, name in ((time, "sleep"), (socket, "socket"), (socket, "getaddrinfo"), (select, "poll")):
        monkeypatch.setattr(module, name, replaced(name, getattr(module, name)))
    thread = threading.Thread(target=reporter.report, name="reporting")
    thread.start()
    thread.join()
    reporter.close()

    assert reporter.last_error is None
    assert sum(counted(statsd.read()).values()) == 2003
    assert [call for call in called if call.endswith("reporting")] == []


def test_a_host_is_found_by_its_name(statsd: Datagrams, make: Make) -> None:
    """`localhost` may be IPv6 first; the StatsD is found where it listens."""
    make(statsd.port, "localhost").report()

    assert statsd.read() == ["hits.value:+3|c"]


@pytest.mark.parametrize("anew", [False, True], ids=["the same reporter", "another one in its place"])
def test_a_restart_goes_on_where_it_was(registry: Registry, statsd: Datagrams, anew: bool) -> None:
    """What was sent before a stop is not sent again after the next start, and nothing in between is lost."""
    reporter = StatsdReporter(10, "127.0.0.1", statsd.port, registry=registry)

    for _ in range(3):
        if anew:
            reporter = StatsdReporter(10, "127.0.0.1", statsd.port, registry=registry)
        with reporter:
            registry.counter("hits").increment()
        registry.counter("hits").increment(10)
    reporter.report()
    reporter.close()

    assert counted(statsd.read()) == {"hits.value": 36}


def test_several_reporters_to_the_same_place_share_the_changes(
    make: Make, registry: Registry, stream: Stream, until: Until
) -> None:
    """However many report the same registry to the same place at once, each change is sent by one of them."""

    def work(reporter: StatsdReporter) -> None:
        for _ in range(200):
            registry.counter("hits").increment()
            reporter.report()

    reporters = [make(stream.port, protocol="tcp") for _ in range(4)]
    threads = [threading.Thread(target=work, args=(reporter,), daemon=True) for reporter in reporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    registry.counter("end").increment()
    for reporter in reporters:
        reporter.report()
        reporter.close()

    until(lambda: counted(stream.lines).get("end.value"))
    until(lambda: counted(stream.lines).get("hits.value", 0) >= 803)
    assert counted(stream.lines) == {"hits.value": 803, "end.value": 1}


def test_every_place_is_told_everything(make: Make, statsd: Datagrams) -> None:
    """Another port or another prefix is another place, which has its own totals."""
    other = Datagrams()
    try:
        for reporter in (make(statsd.port), make(other.port), make(statsd.port, prefix="b")):
            reporter.report()

        assert counted(statsd.read()) == {"hits.value": 3, "b.hits.value": 3}
        assert counted(other.read()) == {"hits.value": 3}
    finally:
        other.close()


def test_what_was_refused_is_sent_with_the_next_report(make: Make, registry: Registry, statsd: Datagrams) -> None:
    """While nobody listens reports fail, and when somebody does everything comes at once."""
    reporter = make(statsd.port)
    reporter.report()
    statsd.read()
    statsd.close()
    for _ in range(3):
        registry.counter("hits").increment()
        with pytest.raises(ConnectionRefusedError, match=rf"udp://127\.0\.0\.1:{statsd.port}: Connection refused"):
            reporter.report()
    statsd.reopen()

    reporter.report()

    assert statsd.read() == ["hits.value:+3|c"]


@pytest.mark.parametrize("code", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNREFUSED])
@pytest.mark.parametrize("told", ["by send", "afterwards"])
def test_a_host_that_turns_out_to_be_unreachable_is_told_everything_again(
    make: Make, registry: Registry, statsd: Datagrams, addresses: Addresses, code: int, told: str
) -> None:
    """That a host cannot be reached is known some packets later, so none of the report counts as delivered.

    The rest does not go to another address of the host either.
    """
    other = Datagrams()
    addresses(("127.0.0.1", statsd.port), ("127.0.0.1", other.port))
    for number in range(200):
        registry.counter("other", {"number": str(number)}).increment()
    reporter = make(host="statsd.example")
    connection = sender_of(reporter)._connection
    connection.connect(0)
    real: Any = connection._socket
    sent: List[bytes] = []

    class Unreachable:
        """Says so with the third packet; until then they vanish."""

        close = real.close
        lost = False

        def send(self, data: bytes) -> int:
            sent.append(data)
            if len(sent) == 3 and told == "by send":
                raise OSError(code, os.strerror(code))
            return len(data)

        def getsockopt(self, *_: int) -> int:
            return code if len(sent) == 3 and told == "afterwards" else 0

    connection._socket = Unreachable()  # type: ignore[assignment]  # it does what is needed here
    with pytest.raises(ConnectionError, match=os.strerror(code)):
        reporter.report()
    reporter.report()

    assert len(sent) == 3
    assert sum(counted(statsd.read()).values()) == 203
    assert other.read() == []
    other.close()


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_all_addresses_of_a_host_are_tried(
    make: Make, statsd: Datagrams, stream: Stream, addresses: Addresses, until: Until, protocol: str
) -> None:
    """Where nobody listens at one address of a host the same report goes to another."""
    down = Datagrams()
    down.close()
    addresses(("127.0.0.1", down.port), ("127.0.0.1", statsd.port if protocol == "udp" else stream.port))

    make(8125, "statsd.example", protocol=protocol).report()

    until(lambda: [*statsd.read(), *stream.lines] == ["hits.value:+3|c"])


def test_ipv4_comes_before_ipv6(make: Make, statsd: Datagrams, addresses: Addresses) -> None:
    """The original StatsD listens on IPv4 alone unless it is told otherwise, so that is tried first."""
    addresses(("::1", statsd.port, 0, 0), ("127.0.0.1", statsd.port))
    try:
        sixth = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sixth.bind(("::1", statsd.port))
    except OSError:
        pytest.skip("There is no IPv6 here.")

    make(8125, "statsd.example").report()

    assert statsd.read() == ["hits.value:+3|c"]
    sixth.close()


def reported_in_vain(
    make: Make, registry: Registry, statsd: Datagrams, monkeypatch: pytest.MonkeyPatch
) -> StatsdReporter:
    """Return a reporter that has sent a change to a StatsD that is gone, and whose refusal is still on its way."""
    reporter = make(statsd.port)
    reporter.report()
    statsd.read()
    statsd.close()
    registry.counter("hits").increment(4)
    with monkeypatch.context() as patch:
        patch.setattr(sender_of(reporter)._connection, "refusal", lambda: None)
        reporter.report()
    return reporter


@pytest.mark.parametrize("stopped", [False, True])
def test_a_refusal_that_comes_late_takes_the_report_back(
    make: Make, registry: Registry, statsd: Datagrams, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """From another host a refusal comes after the report: the next one sends the same again, by whatever reporter."""
    reporter = reported_in_vain(make, registry, statsd, monkeypatch)
    if stopped:
        reporter.close()
        reporter = make(statsd.port)
    statsd.reopen()

    reporter.report()

    assert statsd.read() == ["hits.value:+4|c"]


def test_a_child_leaves_a_refusal_to_its_parent(
    make: Make, registry: Registry, statsd: Datagrams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a forked child closes is asked for no error: the system tells it once, and the parent has to know."""
    reporter = reported_in_vain(make, registry, statsd, monkeypatch)
    pid = os.fork()
    if pid == 0:
        try:
            reporter.close_inherited()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    statsd.reopen()

    reporter.report()

    assert statsd.read() == ["hits.value:+4|c"]


def test_trouble_is_logged_once_a_streak(
    registry: Registry, statsd: Datagrams, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A StatsD that is down is one line in the log, and one when it is back."""
    caplog.set_level(logging.INFO, "tapes.reporting")
    statsd.close()
    with StatsdReporter(10, "127.0.0.1", statsd.port, registry=registry) as reporter:
        for _ in range(4):
            clock.settle()
            clock.advance(10)
        clock.settle()
        statsd.reopen()
        clock.advance(10)
        clock.settle()

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    where = f"udp://127.0.0.1:{statsd.port}"
    assert caplog.records[0].getMessage() == (
        f"StatsdReporter(interval=10, {where}) could not report: [Errno {errno.ECONNREFUSED}] {where}: "
        f"{os.strerror(errno.ECONNREFUSED)}. Start the server there, or correct the address. It will try again."
    )
    assert caplog.records[0].exc_info is None
    assert (reporter.failures, reporter.reports) == (5, 2)
    assert statsd.read() == ["hits.value:+3|c"]


def test_a_stream_that_takes_everything_costs_no_waiting(
    make: Make, registry: Registry, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking whether the far end is still there does not wait for it to say something."""
    monkeypatch.setattr("tapes.reporting.statsd.connection.SEND_TIMEOUT", 3600)
    reporter = make(stream.port, protocol="tcp")

    def report() -> None:
        for _ in range(3):
            reporter.report()

    reporting = threading.Thread(target=report, daemon=True)
    reporting.start()
    reporting.join(30)

    assert not reporting.is_alive()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="This is about CPython's collector of garbage.")
@pytest.mark.usefixtures("only_new_objects")
@pytest.mark.parametrize("kind", ["counter", "gauge", "meter", "histogram", "timer"])
def test_a_report_gives_no_cause_to_look_through_everything(
    make: Make, registry: Registry, statsd: Datagrams, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Not even where the collector runs after each burst: next to nothing of a report outlives it."""
    metrics, rounds, kept = 400, 20, 0

    def collect(seconds: Any = 0.0) -> None:
        nonlocal kept
        statsd.read()
        before = len(gc.get_objects(generation=2))
        gc.collect(1)
        kept += len(gc.get_objects(generation=2)) - before

    monkeypatch.setattr("tapes.reporting.statsd.sender._BURST", 8)
    reporter = make(statsd.port)
    sender_of(reporter)._sleep = collect
    method = {"counter": "increment", "gauge": "set", "meter": "mark"}.get(kind, "update")
    for turn in range(5 + rounds):
        for number in range(metrics):
            getattr(getattr(registry, kind)(f"metric{number}"), method)(turn + 1)
        clock.advance(1.0)
        reporter.report()
        collect()
        if turn < 5:
            kept = 0

    assert kept < metrics * rounds / 2


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_stream_is_opened_again(make: Make, registry: Registry, tmp_path: Path, until: Until, kind: str) -> None:
    """When the far end was restarted, the changes since its end come over a new connection, and no other."""
    stream = Stream(tmp_path / "statsd.sock" if kind == "unix" else None)
    where = {"path": tmp_path / "statsd.sock"} if kind == "unix" else {"port": stream.port}
    reporter = make(protocol=kind, **where)
    reporter.report()
    until(lambda: len(stream.lines) == 1)
    stream.close()
    registry.counter("hits").increment(5)
    with pytest.raises(OSError, match=f"^.*{kind}:.*(refused|No such file)"):
        reporter.report()
    stream.reopen()

    reporter.report()
    until(lambda: len(stream.lines) == 2)
    registry.counter("hits").increment(1)
    reporter.report()
    until(lambda: len(stream.lines) == 3)

    assert stream.lines == ["hits.value:+3|c", "hits.value:+5|c", "hits.value:+1|c"]
    assert len(stream.connections) == 1
    stream.close()


def test_what_a_stream_has_not_read_when_it_ends_is_sent_again(
    make: Make, registry: Registry, stream: Stream, until: Until
) -> None:
    """A far end that goes down with something unread resets the connection, and the last report is repeated."""
    stream.reading = False
    reporter = make(stream.port, protocol="tcp")
    reporter.report()
    until(lambda: stream.connections)
    stream.close()
    stream.reading = True
    stream.reopen()

    reporter.report()

    until(lambda: stream.lines == ["hits.value:+3|c"])


def test_a_stream_that_takes_nothing_is_given_up_and_nothing_is_told_twice(
    make: Make, registry: Registry, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a far end hangs, the whole lines that it has taken are delivered, and the others come when it goes on."""
    hanging = Stream(reading=False)
    size = 2000
    registry.clear()
    for number in range(size):
        # So long that the buffers are full before all have been sent, and that one is cut off.
        registry.counter("hits", {"filler": "hits" * 700, "number": str(number)}).increment(number + 1)
    reporter = make(hanging.port, protocol="tcp")
    with monkeypatch.context() as patch:
        patch.setattr("tapes.reporting.statsd.connection.SEND_TIMEOUT", 0.3)
        with pytest.raises(TimeoutError, match=r"takes nothing more"):
            reporter.report()
    hanging.read_on(hanging.connections[0])
    before = len(hanging.lines)
    hanging.reading = True

    reporter.report()

    until(lambda: len(hanging.lines) >= size)
    hanging.close()
    assert 0 < before < size
    assert len(hanging.lines) == len(set(hanging.lines)) == size
    assert sum(counted(hanging.lines).values()) == sum(range(1, size + 1))


def test_a_snapshot_that_others_have_overtaken_is_not_sent(
    make: Make, registry: Registry, statsd: Datagrams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report that hangs before it sends does not tell again what another one has told meanwhile."""
    hits = registry.counter("hits")
    slow, fast = make(statsd.port), make(statsd.port)
    hangs, goes_on = threading.Event(), threading.Event()
    connect = sender_of(slow)._connection.connect

    def hang(now: float) -> None:
        hangs.set()
        goes_on.wait(PATIENCE)
        connect(now)

    monkeypatch.setattr(sender_of(slow)._connection, "connect", hang)
    thread = threading.Thread(target=slow.report)
    thread.start()
    assert hangs.wait(PATIENCE)
    hits.increment(4)
    fast.report()
    goes_on.set()
    thread.join(PATIENCE)
    hits.increment(10)
    slow.report()

    assert statsd.read() == ["hits.value:+7|c", "hits.value:+10|c"]


def test_what_is_refused_in_isolation_is_taken_back_there(
    registry: Registry, statsd: Datagrams, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal that is noticed when the isolation is over says nothing of what was told before it."""
    registry.clear()
    hits = registry.counter("hits")
    hits.increment(40)
    reporter = make(statsd.port)
    reporter.report()
    with registry.isolated():
        hits.increment(3)
        reporter.report()
    statsd.read()
    monkeypatch.setattr(sender_of(reporter)._connection, "refusal", ConnectionRefusedError)
    reporter.report()

    assert statsd.read() == []


class NameServer:
    """Says where a StatsD is, or fails, and notes when it is asked."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.port = 0
        self.fault: Optional[OSError] = None
        self.asked: List[float] = []
        self.answers = threading.Event()
        self.answers.set()

    def __call__(self, host: str, port: int, **options: Any) -> Any:
        """Look a host up."""
        assert (host, port) == ("statsd.example", 8125)
        self.asked.append(self._clock.monotonic())
        self.answers.wait(PATIENCE)
        if self.fault:
            raise self.fault
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", self.port))]


@pytest.fixture
def names(clock: ManualClock, statsd: Datagrams, monkeypatch: pytest.MonkeyPatch) -> NameServer:
    """Have all hosts looked up here, and found where the StatsD is."""
    server = NameServer(clock)
    server.port = statsd.port
    monkeypatch.setattr(socket, "getaddrinfo", server)
    return server


def test_the_host_is_looked_up_now_and_then(
    make: Make, clock: ManualClock, statsd: Datagrams, names: NameServer
) -> None:
    """A host is looked up once a minute, not at every report, and every ten seconds while reports fail."""
    reporter = make(host="statsd.example", clock=clock)
    reporter.registry.gauge("busy").set(1)

    def asked_in(seconds: int) -> List[float]:
        names.asked.clear()
        for _ in range(seconds):
            with suppress(ConnectionRefusedError):
                reporter.report()
            clock.advance(1)
        return list(names.asked)

    well = asked_in(130)
    statsd.close()
    ill = asked_in(30)
    statsd.reopen()

    assert well == [0, 60, 120]
    assert ill == [131, 141, 151]
    assert asked_in(62) == [211]


def test_a_host_that_moves_is_followed(
    make: Make, registry: Registry, clock: ManualClock, statsd: Datagrams, names: NameServer
) -> None:
    """When a lookup gives another address, the reports go there."""
    new_home = Datagrams()
    reporter = make(host="statsd.example", clock=clock)
    reporter.report()
    names.port = new_home.port
    clock.advance(60)
    registry.counter("hits").increment()

    reporter.report()

    assert (statsd.read(), new_home.read()) == (["hits.value:+3|c"], ["hits.value:+1|c"])
    new_home.close()


def test_a_host_that_cannot_be_found_is_no_fault_of_the_caller(
    registry: Registry, clock: ManualClock, statsd: Datagrams, names: NameServer
) -> None:
    """An unknown host makes failed reports that name it, and good ones when it is known."""
    names.fault = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with StatsdReporter(10, "statsd.example", 8125, registry=registry) as reporter:
        clock.settle()
        assert "'statsd.example' cannot be found: [Errno -2] Name or service not known" in str(reporter.last_error)
        names.fault = None
        clock.advance(10)
        clock.settle()
        assert (reporter.failures, reporter.reports) == (1, 1)

    assert statsd.read() == ["hits.value:+3|c"]


def test_an_address_that_was_known_is_kept_when_the_lookup_fails(
    make: Make, registry: Registry, clock: ManualClock, statsd: Datagrams, names: NameServer
) -> None:
    """A name server that is down later on costs no report."""
    reporter = make(host="statsd.example", clock=clock)
    reporter.report()
    names.fault = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    clock.advance(1000)
    registry.counter("hits").increment()

    reporter.report()

    assert statsd.read() == ["hits.value:+3|c", "hits.value:+1|c"]


def test_a_name_server_that_hangs_holds_nobody_up(registry: Registry, names: NameServer, until: Until) -> None:
    """While a lookup hangs the application goes on, and stop() returns within its deadline."""
    names.answers.clear()
    reporter = StatsdReporter(10, "statsd.example", registry=registry)
    reporter.start()
    until(lambda: names.asked)
    registry.counter("hits").increment()
    began = time.monotonic()
    reporter.stop(0.1)

    assert time.monotonic() - began < 20
    assert not reporter.running
    names.answers.set()


def test_a_host_that_cannot_even_be_asked_for_is_a_failed_report(make: Make) -> None:
    """A name that no name server could know is a failure like any other."""
    with pytest.raises(OSError, match=r"cannot be found: .*label"):
        make(8125, "a" * 64 + ".example").report()


def test_a_line_that_fits_into_no_packet_is_left_out(
    make: Make, registry: Registry, statsd: Datagrams, caplog: pytest.LogCaptureFixture
) -> None:
    """A line that is too long is never cut: it is left out, the others are sent, and that is logged once."""
    registry.counter("c" * 100).increment()
    registry.counter("d" * 100).increment()
    registry.gauge("g" * 40).set(-1)  # each of its two lines would fit
    reporter = make(statsd.port, max_packet=64)
    for _ in range(3):
        reporter.report()

    assert statsd.read() == ["hits.value:+3|c"]
    assert [record.getMessage().partition(")")[2] for record in caplog.records] == [
        f" leaves out lines that do not fit into max_packet=64, like this one of 111 bytes: '{'c' * 80}'..."
    ]


def test_series_that_would_be_alike_are_logged_once(
    make: Make, registry: Registry, statsd: Datagrams, caplog: pytest.LogCaptureFixture
) -> None:
    """When tags in names make two series alike, the second has another name, and the log says so once."""
    registry.counter("a", {"b": "c"}).increment(1)
    registry.counter("a.b_c").increment(2)
    reporter = make(statsd.port)
    for _ in range(3):
        reporter.report()

    assert statsd.read() == ["hits.value:+3|c", "a.b_c.value:+1|c", "a.b_c_0x_.value:+2|c"]
    assert [record.getMessage().partition(")")[2] for record in caplog.records] == [
        (
            " sends 'a.b_c' with the tags {} as 'a.b_c_0x_', because another series already has its name: rename one "
            "of the two, or use tags='datadog'."
        )
    ]


def test_it_opens_nothing_before_its_first_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a reporter asks no name server and makes no socket."""

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("Something was opened.")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "socket", refuse)

    reporter = StatsdReporter(10, "statsd.example")

    assert repr(reporter) == "StatsdReporter(interval=10, udp://statsd.example:8125)"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "StatsdReporter(interval=10, udp://localhost:8125)"),
        ({"host": "::1", "port": 1, "prefix": "a.b"}, "StatsdReporter(interval=10, udp://[::1]:1, prefix='a.b')"),
        ({"host": "fe80::1%lo", "port": 1}, "StatsdReporter(interval=10, udp://[fe80::1%25lo]:1)"),
        ({"protocol": "unix", "path": "/run/s"}, "StatsdReporter(interval=10, unix:/run/s)"),
    ],
)
def test_it_says_where_it_reports_to(options: Any, text: str) -> None:
    """Its representation names the destination and the prefix."""
    assert repr(StatsdReporter(10, **options)) == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": ""}, "host is the name or the address of a host, like 'localhost', not '' (str)."),
        ({"port": 0}, "port is an int from 1 to 65535, not 0 (int)."),
        (
            {"prefix": "a:b"},
            "prefix is a dotted name of letters, digits, '_' and '-', like 'shop.web', not 'a:b' (str).",
        ),
        ({"protocol": "http"}, "protocol is 'udp', 'tcp' or 'unix', not 'http' (str)."),
        (
            {"protocol": "unix"},
            "protocol='unix' needs the path of the socket: give path='/run/statsd.sock' or the like.",
        ),
        ({"path": "/s"}, "path ('/s') is the socket of a StatsD and goes with protocol='unix', not with 'udp'."),
        (
            {"protocol": "unix", "path": "/" + "x" * 120},
            (
                f"path is '/{'x' * 120}', of 121 bytes. The path of a unix socket has at most 107 bytes: "
                "choose a shorter one, like one in /run or /tmp."
            ),
        ),
        (
            {"protocol": "unix", "path": "/s\0"},
            "path is a path that is not empty, of at most 4,096 bytes and without NUL, not '/s\\x00' (str).",
        ),
        ({"protocol": "unix", "path": 7}, "path is a str or a path object, not 7 (int)."),
        ({"tags": "graphite"}, "tags is 'name' or 'datadog', not 'graphite' (str)."),
        ({"max_packet": 63}, "max_packet is how many bytes a packet may have, an int from 64 to 65507, not 63 (int)."),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, message: str) -> None:
    """Each option is checked when the reporter is made, and the error says what it may be."""
    with pytest.raises(ReporterOptionError) as caught:
        StatsdReporter(10, **options)

    assert str(caught.value) == message


def test_a_unix_socket_where_there_are_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without unix sockets is told when the reporter is made, and not by every report."""
    monkeypatch.delattr(socket, "AF_UNIX")

    with pytest.raises(ReporterOptionError, match="this system does not have: use 'udp' or 'tcp'"):
        StatsdReporter(10, protocol="unix", path="/run/s")


def test_a_unix_socket_may_have_the_longest_path(tmp_path: Path, until: Until) -> None:
    """What is accepted is no path that the system refuses."""
    path = str(tmp_path / "s")
    path += "s" * (LONGEST_PATH - len(path))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with StatsdReporter(10, protocol="unix", path=path) as reporter:
            until(lambda: reporter.reports)
