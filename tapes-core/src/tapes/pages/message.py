"""Requests, answers and pages: plain values, whatever carries them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Hashable, Mapping, NamedTuple, Optional, Tuple

SERVER = "tapes"
"""What servers call themselves. No version: that is nobody's business."""

METHODS = ("GET", "HEAD")
"""What can be done with a page."""

TEXT = "text/plain; charset=utf-8"
"""The media type of what is answered when there is no page."""

Headers = Mapping[str, str]
"""Headers by their names in lower case. Those that came several times are one, joined by commas."""

Fields = Tuple[Tuple[str, str], ...]
"""Names and values of headers, in order."""


class Request(NamedTuple):
    """A request that is complete and well-formed."""

    method: str
    path: str
    """What is asked for, below the place where the pages are mounted."""
    query: str
    headers: Headers


class Response(NamedTuple):
    """An answer. Headers that are about a server or a connection are up to whoever sends it."""

    status: HTTPStatus
    headers: Fields
    body: bytes
    """Empty for HEAD, whatever `Content-Length` says."""


class Wanted(NamedTuple):
    """A page that a request asks for. All who want the same at the same moment get the same."""

    path: str
    variant: Hashable = None
    """What the page depends on besides."""


class Page(NamedTuple):
    """What a route shows of a snapshot."""

    media_type: str
    body: Optional[bytes]
    """None if it could not be made."""
    headers: Fields = ()
    """Further headers, `Content-Encoding` for instance."""


def response_to(method: str, page: Page) -> Response:
    """Answer with a page, or with 500 if it could not be made."""
    if page.body is None:
        return refusal(method, HTTPStatus.INTERNAL_SERVER_ERROR)
    return _response(method, HTTPStatus.OK, page.media_type, page.body, page.headers)


def refusal(method: str, status: HTTPStatus) -> Response:
    """Answer with a line of text that says the status, in place of a page."""
    remedy = " (the host that was asked for is not one of allowed_hosts)" if status is HTTPStatus.FORBIDDEN else ""
    body = f"{status.value} {status.phrase}{remedy}\n".encode("ascii")
    return _response(method, status, TEXT, body)


def fields_of(status: int, media_type: str, length: int) -> Fields:
    """Return the headers of an answer of `length` bytes, without those that are about a server or a connection."""
    fields = (("Content-Type", media_type), ("Content-Length", str(length)), ("Cache-Control", "no-store"))
    return (*fields, ("Allow", ", ".join(METHODS))) if status == HTTPStatus.METHOD_NOT_ALLOWED else fields


def _response(method: str, status: HTTPStatus, media_type: str, body: bytes, more: Fields = ()) -> Response:
    return Response(status, (*fields_of(status, media_type, len(body)), *more), b"" if method == "HEAD" else body)
