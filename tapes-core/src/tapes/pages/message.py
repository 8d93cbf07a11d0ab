"""Requests, responses and pages: plain values, independent of the server."""

from __future__ import annotations

from http import HTTPStatus
from typing import Hashable, Mapping, NamedTuple, Optional, Tuple

SERVER = "tapes"
"""The `Server` header. Without a version, which would help only attackers."""

METHODS = ("GET", "HEAD")
"""The methods that pages support."""

TEXT = "text/plain; charset=utf-8"
"""The media type of responses without a page."""

Headers = Mapping[str, str]
"""Headers by their names in lower case. Repeated ones are joined by commas."""

Fields = Tuple[Tuple[str, str], ...]
"""Names and values of headers, in order."""


class Request(NamedTuple):
    """A complete and well-formed request."""

    method: str
    path: str
    """The path below the place where the pages are mounted."""
    query: str
    headers: Headers


class Response(NamedTuple):
    """A response. Its headers about the server or the connection are added by the sending code."""

    status: HTTPStatus
    headers: Fields
    body: bytes
    """Empty for HEAD, whatever `Content-Length` says."""


class Wanted(NamedTuple):
    """The page that a request asks for. Requests for an equal one at the same moment share one page."""

    path: str
    variant: Hashable = None
    """What the page depends on besides the path."""


class Page(NamedTuple):
    """A page that a route has made of a snapshot."""

    media_type: str
    body: Optional[bytes]
    """None if the page could not be made."""
    headers: Fields = ()
    """Further headers, for example `Content-Encoding`."""
    status: HTTPStatus = HTTPStatus.OK
    """The status of the response."""


def response_to(method: str, page: Page) -> Response:
    """Return the response with a page, or 500 if it could not be made."""
    if page.body is None:
        return refusal(method, HTTPStatus.INTERNAL_SERVER_ERROR)
    return _response(method, page.status, page.media_type, page.body, page.headers)


def refusal(method: str, status: HTTPStatus) -> Response:
    """Return a response without a page: one line of text with the status."""
    remedy = " (the host that was asked for is not one of allowed_hosts)" if status is HTTPStatus.FORBIDDEN else ""
    body = f"{status.value} {status.phrase}{remedy}\n".encode("ascii")
    return _response(method, status, TEXT, body)


def fields_of(status: int, media_type: str, length: int) -> Fields:
    """Return the headers of a response of `length` bytes, without those about the server or the connection."""
    fields = (("Content-Type", media_type), ("Content-Length", str(length)), ("Cache-Control", "no-store"))
    return (*fields, ("Allow", ", ".join(METHODS))) if status == HTTPStatus.METHOD_NOT_ALLOWED else fields


def _response(method: str, status: HTTPStatus, media_type: str, body: bytes, more: Fields = ()) -> Response:
    return Response(status, (*fields_of(status, media_type, len(body)), *more), b"" if method == "HEAD" else body)
