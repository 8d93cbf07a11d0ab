"""The JSON page that `python -m tapes show URL` asks for."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Iterator

import pytest

from tapes.commands.output import complain
from tapes.commands.page import stats_at
from tapes.errors import ReporterError
from tapes.registry import Registry
from tapes.reporting.http import HTTPReporter
from tests.servers.http_end import dripping


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer one request so, and return the URL. Nothing at all keeps the client waiting."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_one() -> None:
            with contextlib.suppress(OSError):
                client, _ = server.accept()
                with client:
                    client.recv(65536)
                    client.sendall(answer)
                    if not answer:
                        client.recv(1)

        thread = threading.Thread(target=answer_one)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    thread.join()


def test_the_page_of_a_reporter() -> None:
    """Its tree."""
    registry = Registry()
    registry.counter("served").increment(3)
    with HTTPReporter(0, registry) as reporter:
        assert stats_at(reporter.url, 10.0) == {"served": {"value": 3}}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nserved 3\n", "is no JSON page but text/plain: give "),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "is a JSON page, but not one of tapes: it has no names of metrics."),
        (b"HTTP/1.1 503 No\r\n\r\n503 No aggregator answers.\n", "answers with status 503: 503 No aggregator answers."),
        (b"HTTP/1.1 301 Moved\r\nLocation: https://x/\r\n\r\n", "status 301, which redirects to https://x/: Moved"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":' * 100_000, "is no JSON page but no type: give "),
        (b"SSH-2.0\r\n", "does not speak HTTP: BadStatusLine("),
        (b"", "does not answer within 0.3 s."),
    ],
)
def test_what_is_no_page_of_tapes(answer: bytes, error: str) -> None:
    """The error names the URL and what is there."""
    with answering(answer) as url, pytest.raises(ReporterError) as caught:
        stats_at(url, 0.3 if not answer else 10.0)

    assert str(caught.value).startswith(url)
    assert error in str(caught.value)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_an_answer_that_never_ends(head: bytes) -> None:
    """Its time is that of the whole answer, not of each byte."""
    with dripping(head) as url, pytest.raises(ReporterError, match=r"does not answer within 0\.3 s\."):
        stats_at(url, 0.3)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://127.0.0.1:1/", "begins with https://: only http:// is supported, ask the page on its host."),
        ("http://me:secret@127.0.0.1/", "is not like http://127.0.0.1:8889/: give host and port, and no user."),
        ("http://127.0.0.1:99999/", "is no URL: Port out of range 0-65535."),
        ("http:///x", "is not like http://127.0.0.1:8889/: give host and port, and no user."),
        ("http://127.0.0.1/a b", "is not like http://127.0.0.1:8889/: give host and port, and no user."),
    ],
)
def test_what_is_no_url(url: str, error: str) -> None:
    """Nobody is asked."""
    with pytest.raises(ReporterError) as caught:
        stats_at(url, 10.0)

    assert str(caught.value) == f"{url} {error}"


def test_nobody_listens() -> None:
    """The error says so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"

    with pytest.raises(ReporterError, match="cannot be reached: Connection refused"):
        stats_at(url, 10.0)


def test_what_others_have_said_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends of errors stay."""
    complain(ReporterError("x answers: \x1b]0;owned\x07.\nGive another."))

    assert capsys.readouterr().err == "x answers: ?]0;owned?.\nGive another.\n"
