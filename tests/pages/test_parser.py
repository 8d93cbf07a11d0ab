"""Requests cut out of what a client sends, in whatever pieces it comes."""

from __future__ import annotations

from http import HTTPStatus
from typing import List, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.pages import parser
from tapes.pages.message import Request
from tapes.pages.parser import MAX_HEAD, BadRequestError, Incoming, Received

WORDS = [b"GET", b" ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b":", b"Host: a", b"Content-Length: 1"]


def read(*pieces: bytes) -> List[Union[Received, HTTPStatus]]:
    """Return the requests in these pieces, and the status for what is none, after which nothing is read."""
    incoming = Incoming()
    found: List[Union[Received, HTTPStatus]] = []
    try:
        for piece in pieces:
            incoming.feed(piece)
            request = incoming.next()
            while request is not None:
                found.append(request)
                request = incoming.next()
    except BadRequestError as error:
        found.append(error.status)
    return found


def test_a_request_says_what_is_to_be_known_of_it() -> None:
    """Method, path, query, headers and what becomes of the connection."""
    data = (
        b"GET /x?y HTTP/1.1\r\nhost: Example.org:80\r\nX: 1\r\nx:2 \r\n\r\n"
        b"HEAD http://a/?z HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
        b"GET /\n\n"
    )

    assert read(data) == [
        Received(Request("GET", "/x", "y", {"host": "Example.org:80", "x": "1,2"}), "GET /x?y HTTP/1.1", ""),
        Received(Request("HEAD", "/", "z", {"connection": "Keep-Alive"}), "HEAD http://a/?z HTTP/1.0", "keep-alive"),
        Received(Request("GET", "/", "", {}), "GET /", "close"),
    ]


@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=3), max_size=30).map(b"".join), st.integers(1, 9))
def test_pieces_do_not_matter(data: bytes, size: int) -> None:
    """The same bytes are the same requests however they are cut."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    assert read(*pieces) == read(data)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a?b#c", "/a", "b#c"),
        (b"//a", "//a", ""),
        (b"http://a", "/", ""),
        (b"http://a#b?c", "/", ""),
        (b"HTTP://a:80/b?c", "/b", "c"),
        (b"http://[::1]:80?c", "/", "c"),
        (b"http://\xe9/x", "/x", ""),
        (b"http://[", "", ""),
        (b"http:///x", "", ""),
        (b"*", "", ""),
        (b"?a", "", ""),
        (b"a:80", "", ""),
    ],
)
def test_a_target_is_a_path_or_what_proxies_are_sent(target: bytes, path: str, query: str) -> None:
    """Whatever else it is has no path."""
    (received,) = read(b"GET %s HTTP/1.1\r\n\r\n" % target)

    assert isinstance(received, Received)
    assert (received.request.path, received.request.query) == (path, query)


def test_a_request_has_begun_with_its_first_byte() -> None:
    """A blank line before it counts: it cannot be used to put off the end of a client's time."""
    incoming = Incoming()
    begun = [bool(incoming)]
    for piece in (b"\r\n", b"GET / HTTP/1.1\r\n", b"\r\n"):
        incoming.feed(piece)
        incoming.next()
        begun.append(bool(incoming))

    assert begun == [False, True, True, False]


def test_each_header_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that comes byte by byte costs no more than one that comes at once."""
    looked_at: List[bytes] = []
    monkeypatch.setattr(parser, "_check_header", looked_at.append)
    headers = [b"X%d: y" % number for number in range(100)]
    request = b"\r\n".join([b"GET / HTTP/1.1", *headers, b"", b""])

    assert len(read(*(request[index : index + 1] for index in range(len(request))))) == 1
    assert looked_at == headers


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"", HTTPStatus.REQUEST_URI_TOO_LONG),
        (b"\r\n" * MAX_HEAD, HTTPStatus.REQUEST_URI_TOO_LONG),
        (b"GET / HTTP/1.1\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (b"GET / HTTP/1.1\r\n" + b"X:y\r\n" * 101, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
@pytest.mark.parametrize("size", [1000, MAX_HEAD * 3])
def test_no_more_is_kept_than_a_request_may_have(start: bytes, status: HTTPStatus, size: int) -> None:
    """What is larger than any request is refused before it has come in, in one piece or many."""
    data = start + b"x" * (MAX_HEAD + 1)

    assert read(*(data[index : index + size] for index in range(0, len(data), size))) == [status]
