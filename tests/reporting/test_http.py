"""The page over HTTP: what it says, where it listens, and what goes wrong."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import subprocess
import threading
from typing import Any, Callable, Dict, Iterator, Tuple

import pytest

from tapes import observers
from tapes.errors import ReporterOptionError, UnknownPluginError
from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter

Until = Callable[[Callable[[], object]], None]
RunScript = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def registry() -> Registry:
    """Make a registry that holds one counter."""
    registry = Registry()
    registry.counter("orders").increment(3)
    return registry


@pytest.fixture
def reporter(registry: Registry) -> Iterator[HTTPReporter]:
    """Serve the registry at any free port."""
    with HTTPReporter(0, registry) as reporter:
        yield reporter


PAGE = b'{"orders":{"value":3}}'


def ask(
    port: int, method: str, target: str, body: Any = None, host: str = "127.0.0.1"
) -> Tuple[int, Dict[str, str], bytes]:
    """Send one request; return the status, the headers without those that vary, and the body."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True)
        connection.putheader("Host", "localhost")
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        headers = {name: value for name, value in response.getheaders() if name not in ("Date", "Server")}
        return response.status, headers, response.read()
    finally:
        connection.close()


def test_the_page_is_the_statistics(reporter: HTTPReporter) -> None:
    """GET / answers with what get_stats() shows, its type, its length, and that it is not to be kept."""
    headers = {"Content-Type": "application/json", "Content-Length": "22", "Cache-Control": "no-store"}

    assert ask(reporter.port, "GET", "/") == (200, headers, PAGE)
    assert json.loads(PAGE) == reporter.registry.get_stats()


def test_each_page_is_as_of_its_moment(reporter: HTTPReporter) -> None:
    """Nothing is kept from one request to the next."""
    ask(reporter.port, "GET", "/")

    reporter.registry.counter("orders").increment()

    assert ask(reporter.port, "GET", "/")[2] == b'{"orders":{"value":4}}'


def test_a_query_is_ignored(reporter: HTTPReporter) -> None:
    """The page is the same whatever comes after the question mark, and in the form that proxies are sent."""
    for target in ("/?", "/?a=1&b=/x", "http://some.host/", "http://some.host", "http://some.host/?a=1"):
        assert ask(reporter.port, "GET", target)[::2] == (200, PAGE)


def test_a_head_request_gets_the_headers_only(reporter: HTTPReporter) -> None:
    """HEAD answers as GET does, without the page, and is no report."""
    headers = {"Content-Type": "application/json", "Content-Length": "22", "Cache-Control": "no-store"}

    assert ask(reporter.port, "HEAD", "/") == (200, headers, b"")
    assert reporter.reports == 0


@pytest.mark.parametrize("target", ["/metrics", "/favicon.ico", "/../etc/passwd", "*", "http://host/x", "http://["])
def test_there_is_no_other_page(reporter: HTTPReporter, target: str) -> None:
    """Any other path is 404, with a short plain text."""
    status, headers, body = ask(reporter.port, "GET", target)

    assert (status, headers["Content-Type"], body) == (404, "text/plain; charset=utf-8", b"404 Not Found\n")
    assert reporter.reports == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"])
def test_other_methods_are_refused(reporter: HTTPReporter, method: str) -> None:
    """Any other method is 405, and the answer says which there are."""
    status, headers, body = ask(reporter.port, method, "/", b"some body")

    assert (status, headers["Allow"], body) == (405, "GET, HEAD", b"405 Method Not Allowed\n")


def test_a_connection_serves_several_requests(reporter: HTTPReporter) -> None:
    """Connections are kept, for good requests and for those of other pages."""
    connection = http.client.HTTPConnection("127.0.0.1", reporter.port, timeout=30)

    statuses = []
    for target in ("/", "/x", "/", "/?q"):
        connection.request("GET", target)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
        assert connection.sock is not None
    connection.close()

    assert statuses == [200, 404, 200, 200]
    assert reporter.reports == 3


def test_the_body_of_a_request_is_not_taken_for_another_request(reporter: HTTPReporter) -> None:
    """A request with a body is answered, and its connection closed, because the body is not read."""
    with socket.create_connection(("127.0.0.1", reporter.port), 30) as client:
        inner = b"GET /inner HTTP/1.1\r\n\r\n"
        client.sendall(b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(inner), inner))
        answer = client.makefile("rb").read()

    assert answer.count(b"HTTP/1.1") == 1
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in answer


def test_the_answer_does_not_tell_the_version_of_python(reporter: HTTPReporter) -> None:
    """The server calls itself tapes, and no more."""
    connection = http.client.HTTPConnection("127.0.0.1", reporter.port, timeout=30)
    connection.request("GET", "/")

    assert connection.getresponse().getheader("Server") == "tapes"
    connection.close()


def test_a_page_that_cannot_be_made_is_500_and_a_failed_report(
    reporter: HTTPReporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    """An error while the page is made is answered, counted, logged once a streak, and told to observers."""
    caplog.set_level(logging.INFO, "tapes.reporting")
    error = SystemExit("from an encoder")
    told = []

    def fail(snapshot: object) -> bytes:
        raise error

    monkeypatch.setattr(observers, "report_failed", [lambda *args: told.append(args)])
    with monkeypatch.context() as patch:
        patch.setattr(reporter, "_format", type("Bad", (), {"media_type": "text/x", "encode": staticmethod(fail)}))
        answers = [ask(reporter.port, "GET", "/") for _ in range(2)]
    ask(reporter.port, "GET", "/")

    assert [(status, body) for status, _, body in answers] == [(500, b"500 Internal Server Error\n")] * 2
    assert (reporter.reports, reporter.failures, reporter.last_error) == (1, 2, error)
    assert told == [(reporter, error, 1), (reporter, error, 2)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "500" in caplog.records[0].message
    assert capfd.readouterr() == ("", "")


def test_the_access_log_is_for_debugging(
    reporter: HTTPReporter, caplog: pytest.LogCaptureFixture, capfd: Any, until: Until
) -> None:
    """Requests are logged by tapes.reporting at DEBUG, and nothing is written anywhere else."""
    ask(reporter.port, "GET", "/quiet")
    caplog.set_level(logging.DEBUG, "tapes.reporting")

    ask(reporter.port, "GET", "/loud")
    until(lambda: caplog.records)

    assert '"GET /loud HTTP/1.1" 404' in caplog.records[0].message
    assert caplog.records[0].levelno == logging.DEBUG
    assert "quiet" not in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_reaches_the_caller_of_start(reporter: HTTPReporter, registry: Registry) -> None:
    """Where another server listens, start() raises OSError with the address and what to do."""
    second = HTTPReporter(reporter.port, registry)

    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{reporter.port}.*in use.*another port") as caught:
        second.start()

    assert caught.value.errno
    assert not second.running
    second.stop()
    assert ask(reporter.port, "GET", "/")[0] == 200


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_reaches_the_caller_of_start(host: str) -> None:
    """An address that this machine does not have is refused by start(), which names it."""
    with pytest.raises(OSError, match=host):
        HTTPReporter(0, host=host).start()


def test_a_host_that_is_none_is_refused() -> None:
    """What is no address at all is an option that cannot be."""
    with pytest.raises(ReporterOptionError, match="no host"):
        HTTPReporter(0, host="no host").start()


@pytest.mark.parametrize("port", [-1, 65536, "8889", None, 80.0, True])
def test_a_wrong_port_is_refused_and_named(port: Any) -> None:
    """A port is an int from 0 to 65535."""
    with pytest.raises(ReporterOptionError, match="port") as caught:
        HTTPReporter(port)

    assert repr(port) in str(caught.value)


@pytest.mark.parametrize("options", [{"host": 7}, {"format": 7}, {"host": None}])
def test_wrong_types_of_options_are_refused(options: Any) -> None:
    """Host and format are strings."""
    with pytest.raises(ReporterOptionError, match=next(iter(options))):
        HTTPReporter(0, **options)


def test_an_unknown_format_is_refused() -> None:
    """A format that no plugin provides is told when the reporter is made."""
    with pytest.raises(UnknownPluginError, match="'no-such-format'"):
        HTTPReporter(0, format="no-such-format")


def test_the_port_and_the_url_are_told(registry: Registry) -> None:
    """With port 0 the port that was chosen is known while it runs, and 0 is chosen again later."""
    reporter = HTTPReporter(0, registry)
    assert (reporter.port, repr(reporter)) == (0, "HTTPReporter(127.0.0.1:0)")

    with reporter:
        port = reporter.port
        assert port > 0
        assert reporter.url == f"http://127.0.0.1:{port}/"

    assert reporter.port == 0


def test_the_port_is_free_after_a_stop(registry: Registry) -> None:
    """After stop() nobody listens at the port, and another server may."""
    reporter = HTTPReporter(0, registry)
    reporter.start()
    port = reporter.port
    assert ask(port, "GET", "/")[0] == 200

    reporter.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 30)
    with HTTPReporter(port, registry):
        assert ask(port, "GET", "/")[0] == 200


def test_it_listens_on_ipv6(registry: Registry) -> None:
    """An IPv6 address is listened on, and is in brackets in the URL."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("There is no IPv6 here.")

    with HTTPReporter(0, registry, "::1") as reporter:
        assert reporter.url == f"http://[::1]:{reporter.port}/"
        assert ask(reporter.port, "GET", "/", host="::1")[2] == PAGE


def test_it_is_reached_from_this_machine_only_by_default(reporter: HTTPReporter) -> None:
    """Without a host it listens on 127.0.0.1 and not on every address."""
    assert reporter._listener is not None

    assert reporter._listener.getsockname() == ("127.0.0.1", reporter.port)


def test_starting_looks_up_no_name(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither starting nor serving asks a name server, which may take its time."""

    def refuse(*args: object) -> None:
        raise AssertionError("A name was looked up.")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "gethostname", "getnameinfo"):
        monkeypatch.setattr(socket, function, refuse)

    with HTTPReporter(0, registry) as reporter:
        assert ask(reporter.port, "GET", "/")[0] == 200


def test_pages_are_served_at_the_same_time(registry: Registry, until: Until) -> None:
    """A page that takes long does not keep another from being served, and all are counted."""
    release, waiting = threading.Event(), threading.Event()
    first = [True]

    def slow() -> int:
        if first:
            first.clear()
            waiting.set()
            release.wait(30)
        return 1

    registry.gauge("slow", slow)
    with HTTPReporter(0, registry) as reporter:
        thread = threading.Thread(target=ask, args=(reporter.port, "GET", "/"), daemon=True)
        thread.start()
        until(waiting.is_set)

        for _ in range(3):
            assert ask(reporter.port, "GET", "/")[0] == 200
        assert reporter.reports == 3
        release.set()
        thread.join(30)

        assert reporter.reports == 4


def test_an_answer_that_is_under_way_is_finished_at_a_stop(registry: Registry, until: Until) -> None:
    """A client that is about to get its page gets it although the reporter is being stopped."""
    release, waiting = threading.Event(), threading.Event()

    def slow() -> int:
        waiting.set()
        release.wait(30)
        return 1

    registry.gauge("slow", slow)
    answers = []
    reporter = HTTPReporter(0, registry)
    reporter.start()
    port = reporter.port
    thread = threading.Thread(target=lambda: answers.append(ask(port, "GET", "/")), daemon=True)
    thread.start()
    until(waiting.is_set)
    idle = socket.create_connection(("127.0.0.1", port), 30)
    until(lambda: len(reporter._connections) == 2)
    stopper = threading.Thread(target=reporter.stop, daemon=True)
    stopper.start()
    assert idle.recv(1) == b""
    idle.close()

    release.set()
    thread.join(30)
    stopper.join(30)

    assert [answer[0] for answer in answers] == [200]


def test_json_needs_no_plugins(run_script: RunScript) -> None:
    """Serving JSON does not load plugins."""
    done = run_script("""
        import sys
        from tapes.reporting.http import HTTPReporter
        HTTPReporter(0).start()
        print("pluggy" in sys.modules, "tapes.plugins" in sys.modules)
    """)

    assert (done.returncode, done.stdout, done.stderr) == (0, "False False\n", "")
