"""The page over HTTP: what it says, where it listens, and what goes wrong."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from typing import Any, Dict, Iterator, List

import pytest

from tapes import observers
from tapes.errors import ReporterOptionError, UnknownPluginError
from tapes.pages import renderings
from tapes.pages.reporter import PageReporter
from tapes.testing.contract.bench import Hanging
from tests.conftest import RunScript, Until
from tests.pages.serving import (
    EVERYTHING,
    PAGE,
    FaultyRegistry,
    MakeReporter,
    Served,
    ask,
    clients_of,
    fetch,
    served,
)

HEADERS = {
    "Server": "tapes",
    "Content-Type": "application/json",
    "Content-Length": "22",
    "Cache-Control": "no-store",
}


@pytest.fixture(params=EVERYTHING)
def page(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Serve the page, in every way that there is."""
    with served(request.param) as page:
        yield page


def text(status: str, **headers: str) -> Dict[str, str]:
    """Return the headers of a short text in place of the page."""
    return {**HEADERS, "Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(status) + 1), **headers}


def test_the_page_is_the_statistics(page: Served) -> None:
    """GET / answers with what get_stats() shows, its type, its length, and that it is not to be kept."""
    assert ask(page.port, "GET", "/") == (200, HEADERS, PAGE)
    assert json.loads(PAGE) == page.registry.get_stats()


def test_each_page_is_as_of_its_moment(page: Served) -> None:
    """Nothing is kept from one request to the next."""
    ask(page.port, "GET", "/")

    page.registry.counter("orders").increment()

    assert ask(page.port, "GET", "/")[2] == b'{"orders":{"value":4}}'


def test_a_page_is_never_said_to_be_the_same(page: Served) -> None:
    """A client that has the page already gets it once more: there is no 304."""
    conditions = {"If_None_Match": "*", "If_Modified_Since": "Fri, 31 Dec 9999 23:59:59 GMT"}

    assert ask(page.port, "GET", "/", **conditions) == (200, HEADERS, PAGE)


@pytest.mark.parametrize("target", ["/?", "/?a=1&b=/x"])
def test_a_query_is_ignored(page: Served, target: str) -> None:
    """The page is the same whatever comes after the question mark."""
    assert ask(page.port, "GET", target) == (200, HEADERS, PAGE)


@pytest.mark.parametrize("target", ["http://some.host/", "http://some.host", "http://some.host/?a=1"])
def test_the_form_that_proxies_are_sent_is_understood(reporter: PageReporter, target: str) -> None:
    """The page is the same with a host before the path."""
    assert ask(reporter.port, "GET", target) == (200, HEADERS, PAGE)


def test_a_head_request_gets_the_headers_only(page: Served) -> None:
    """HEAD answers as GET does, without the page."""
    assert ask(page.port, "HEAD", "/") == (200, HEADERS, b"")


def test_only_pages_that_are_sent_are_reports(reporter: PageReporter) -> None:
    """Neither HEAD nor what is not the page is a report."""
    for method, target in (("HEAD", "/"), ("GET", "/x"), ("POST", "/"), ("GET", "/")):
        ask(reporter.port, method, target)

    assert (reporter.reports, reporter.failures) == (1, 0)


@pytest.mark.parametrize("target", ["/other", "/favicon.ico", "/../etc/passwd", "*", "http://host/x", "http://["])
def test_there_is_no_other_page(reporter: PageReporter, target: str) -> None:
    """Any other path is 404, with a short plain text."""
    assert ask(reporter.port, "GET", target) == (404, text("404 Not Found"), b"404 Not Found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"])
def test_other_methods_are_refused(page: Served, method: str) -> None:
    """Any other method is 405, and the answer says which there are. Those that do not read the body close."""
    headers = text("405 Method Not Allowed", Allow="GET, HEAD")
    if page.kind in ("HTTPReporter", "asgi"):
        headers["Connection"] = "close"

    assert ask(page.port, method, "/", b"some body") == (405, headers, b"405 Method Not Allowed\n")


def test_other_methods_are_refused_for_other_pages_too(reporter: PageReporter) -> None:
    """An unknown method is 405 on any path."""
    assert ask(reporter.port, "POST", "/x")[::2] == (405, b"405 Method Not Allowed\n")


def test_a_connection_serves_several_requests(page: Served) -> None:
    """Connections are kept, for good requests and for those of other pages."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)

    statuses = []
    for target in ("/", "/x", "/", "/?q"):
        connection.request("GET", target)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        assert connection.sock is not None or page.kind == "wsgi"  # wsgiref keeps none
    connection.close()

    assert statuses == [200, 404, 200, 200]


def test_requests_may_be_sent_ahead(page: Served) -> None:
    """Requests that are sent without waiting for answers are answered in order."""
    if page.kind == "wsgi":
        pytest.skip("wsgiref answers one.")
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    with socket.create_connection(("127.0.0.1", page.port), 30) as client:
        client.sendall(request * 50 + last)
        answer = client.makefile("rb").read()

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == answer.count(PAGE) == 50
    assert answer.rindex(PAGE) < answer.index(b"HTTP/1.1 404 Not Found\r\n")


def test_a_connection_is_closed_for_those_who_wish(page: Served) -> None:
    """With `Connection: close`, and for HTTP/1.0, the connection is closed after the answer."""
    for version, header in ((b"1.1", b"Connection: close\r\n"), (b"1.0", b"")):
        with socket.create_connection(("127.0.0.1", page.port), 30) as client:
            client.sendall(b"GET / HTTP/%s\r\nHost: localhost\r\n%s\r\n" % (version, header))
            answer = client.makefile("rb").read()

        assert answer[:5] + answer[8:17] == b"HTTP/ 200 OK\r\n"
        assert answer.endswith(b"\r\n\r\n" + PAGE)


def test_the_body_of_a_request_is_not_taken_for_another_request(reporter: PageReporter) -> None:
    """A request with a body is answered, once."""
    inner = b"GET /inner HTTP/1.1\r\n\r\n"

    with socket.create_connection(("127.0.0.1", reporter.port), 30) as client:
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
            % (len(inner), inner)
        )
        answer = client.makefile("rb").read()

    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer


def test_a_page_that_cannot_be_made_is_500(
    page: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """An error while the page is made is answered with 500, and logged once a streak and nowhere else."""
    caplog.set_level(logging.INFO, "tapes.reporting")

    with monkeypatch.context() as patch:
        patch.setattr(page.registry, "fault", SystemExit("from a registry"))
        answers = [ask(page.port, method, "/") for method in ("GET", "GET", "HEAD")]
    ask(page.port, "GET", "/")

    expected = (500, text("500 Internal Server Error"), b"500 Internal Server Error\n")
    assert answers == [expected, expected, (*expected[:2], b"")]
    records = [record for record in caplog.records if record.name != "tornado.access"]
    assert [(record.name, record.levelname) for record in records] == [
        ("tapes.reporting", "WARNING"),
        ("tapes.reporting", "INFO"),
    ]
    assert page.kind in records[0].getMessage()
    assert "500" in records[0].getMessage()
    assert records[0].exc_info is not None
    assert capfd.readouterr() == ("", "")


def test_a_page_that_cannot_be_made_is_a_failed_report(
    reporter: PageReporter, registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, its error is kept, and observers are told."""
    error = SystemExit("from a registry")
    told: List[Any] = []
    monkeypatch.setattr(observers, "report_failed", [lambda *args: told.append(args)])

    with monkeypatch.context() as patch:
        patch.setattr(registry, "fault", error)
        statuses = [fetch(reporter.port), fetch(reporter.port)]
    fetch(reporter.port)

    assert statuses == [500, 500]
    assert (reporter.reports, reporter.failures, reporter.last_error) == (1, 2, error)
    assert told == [(reporter, error, 1), (reporter, error, 2)]


def test_the_access_log_is_for_debugging(
    reporter: PageReporter, caplog: pytest.LogCaptureFixture, capfd: Any, until: Until
) -> None:
    """Requests are logged by tapes.reporting at DEBUG, and nothing is written anywhere else."""
    ask(reporter.port, "GET", "/quiet")
    until(lambda: not clients_of(reporter))  # a request may be logged after its answer
    caplog.set_level(logging.DEBUG, "tapes.reporting")

    ask(reporter.port, "GET", "/loud")
    until(lambda: caplog.records)

    assert '"GET /loud HTTP/1.1" 404' in caplog.records[0].message
    assert (caplog.records[0].name, caplog.records[0].levelno) == ("tapes.reporting", logging.DEBUG)
    assert "quiet" not in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_reaches_the_caller_of_start(
    make: MakeReporter, reporter: PageReporter, registry: FaultyRegistry
) -> None:
    """Where another server listens, start() raises OSError with the address and what to do."""
    second = make(reporter.port, registry)

    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{reporter.port}.*in use.*another port") as caught:
        second.start()

    assert caught.value.errno
    assert str(caught.value).count(repr(second)) == 1
    assert not second.running
    second.stop()
    assert fetch(reporter.port) == 200


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_reaches_the_caller_of_start(make: MakeReporter, host: str) -> None:
    """An address that this machine does not have is refused by start(), which names it."""
    with pytest.raises(OSError, match=host):
        make(0, host=host).start()


def test_a_host_that_is_none_is_refused(make: MakeReporter) -> None:
    """What is no address at all is an option that cannot be."""
    with pytest.raises(ReporterOptionError, match="no host"):
        make(0, host="no host").start()


@pytest.mark.parametrize("port", [-1, 65536, "8889", None, 80.0, True])
def test_a_wrong_port_is_refused_and_named(make: MakeReporter, port: Any) -> None:
    """A port is an int from 0 to 65535."""
    with pytest.raises(ReporterOptionError, match="port") as caught:
        make(port)

    assert repr(port) in str(caught.value)


@pytest.mark.parametrize("options", [{"host": 7}, {"format": 7}, {"host": None}])
def test_wrong_types_of_options_are_refused(make: MakeReporter, options: Any) -> None:
    """Host and format are strings."""
    with pytest.raises(ReporterOptionError, match=next(iter(options))):
        make(0, **options)


def test_an_unknown_format_is_refused(make: MakeReporter) -> None:
    """A format that no plugin provides is told when the reporter is made."""
    with pytest.raises(UnknownPluginError, match="'no-such-format'"):
        make(0, format="no-such-format")


def test_the_port_and_the_url_are_told(make: MakeReporter, registry: FaultyRegistry) -> None:
    """With port 0 the port that was chosen is known while it runs, and 0 is chosen again later."""
    reporter = make(0, registry)
    name = type(reporter).__name__
    assert (reporter.port, repr(reporter)) == (0, f"{name}(127.0.0.1:0)")

    with reporter:
        port = reporter.port
        assert port > 0
        assert reporter.url == f"http://127.0.0.1:{port}/"
        assert repr(reporter) == f"{name}(127.0.0.1:{port})"

    assert reporter.port == 0


def test_the_port_is_free_after_a_stop(make: MakeReporter, registry: FaultyRegistry) -> None:
    """After stop() nobody listens at the port, and another server may."""
    reporter = make(0, registry)
    reporter.start()
    port = reporter.port
    assert fetch(port) == 200

    reporter.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 30)
    with make(port, registry):
        assert fetch(port) == 200


def test_it_listens_on_ipv6(make: MakeReporter, registry: FaultyRegistry) -> None:
    """An IPv6 address is listened on, and is in brackets in the URL."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("There is no IPv6 here.")

    with make(0, registry, "::1") as reporter:
        assert reporter.url == f"http://[::1]:{reporter.port}/"
        assert ask(reporter.port, "GET", "/", host="::1")[2] == PAGE


def test_the_zone_of_an_address_is_escaped_in_the_url(make: MakeReporter) -> None:
    """A URL has %25 before the zone, and whatever is for people has what they wrote."""
    reporter = make(8889, host="fe80::1%eth0")

    assert reporter.url == "http://[fe80::1%25eth0]:8889/"
    assert repr(reporter) == f"{type(reporter).__name__}([fe80::1%eth0]:8889)"


def test_it_is_reached_from_this_machine_only_by_default(reporter: PageReporter) -> None:
    """Without a host it listens on 127.0.0.1 and not on every address."""
    assert reporter._listener is not None

    assert reporter._listener.getsockname() == ("127.0.0.1", reporter.port)


def test_starting_looks_up_no_name(
    make: MakeReporter, registry: FaultyRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither starting nor serving asks a name server, which may take its time."""

    def refuse(*args: object) -> None:
        raise AssertionError("A name was looked up.")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "gethostname", "getnameinfo"):
        monkeypatch.setattr(socket, function, refuse)

    with make(0, registry) as reporter:
        assert fetch(reporter.port) == 200


def test_a_page_that_hangs_does_not_keep_others_for_ever(
    page: Served, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that takes very long is not waited for by those who have asked after it was begun."""
    monkeypatch.setattr(renderings, "PATIENCE", 0.1)
    release, waiting = threading.Event(), threading.Event()
    first = [True]

    def slow() -> int:
        if first:
            first.clear()
            waiting.set()
            release.wait(30)
        return 1

    page.registry.gauge("slow", slow)
    statuses: List[int] = []
    thread = threading.Thread(target=lambda: statuses.append(fetch(page.port)), daemon=True)
    thread.start()
    until(waiting.is_set)

    others = [fetch(page.port) for _ in range(3)]
    unfinished = list(statuses)
    release.set()
    thread.join(30)

    assert (others, unfinished, statuses) == ([200] * 3, [], [200])


def test_an_answer_that_is_under_way_is_finished_at_a_stop(
    make: MakeReporter, registry: FaultyRegistry, until: Until
) -> None:
    """A client that is about to get its page gets it although the reporter is being stopped."""
    slow = Hanging(lambda: 1, 6)
    registry.gauge("slow", slow)
    answers: List[int] = []
    reporter = make(0, registry)
    reporter.start()
    port = reporter.port
    thread = threading.Thread(target=lambda: answers.append(fetch(port)), daemon=True)
    thread.start()
    until(slow.begun.is_set)
    idle = socket.create_connection(("127.0.0.1", port), 30)
    until(lambda: clients_of(reporter) == 2)
    stopper = threading.Thread(target=reporter.stop, daemon=True)
    stopper.start()
    assert idle.recv(1) == b""
    idle.close()

    slow.release()
    thread.join(30)
    stopper.join(30)

    assert answers == [200]


@pytest.mark.parametrize("kind", ["http:HTTPReporter", "tornado.http:TornadoHTTPReporter"])
def test_a_reporter_that_has_not_started_needs_no_plugins(run_script: RunScript, kind: str) -> None:
    """To make one that serves JSON does not load them; to start it does, as the first request must not."""
    done = run_script(
        """
        import importlib, sys
        module, name = sys.argv[1].split(":")
        reporter = getattr(importlib.import_module("tapes.reporting." + module), name)(0)
        print("pluggy" in sys.modules, "tapes.plugins" in sys.modules)
        with reporter:
            print("pluggy" in sys.modules, "tapes.plugins" in sys.modules)
        """,
        kind,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "False False\nTrue True\n", "")
