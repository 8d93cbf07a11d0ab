"""Requests and answers as they are written in HTTP/1.1: pure, and the same whoever reads and writes the bytes."""

from __future__ import annotations

import logging
import re
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Tuple

from tapes.reporting.reporter import LOGGER_NAME

if TYPE_CHECKING:
    from tapes.pages.message import Page

SERVER = "tapes"
"""What servers call themselves. No version: that is nobody's business."""

METHODS = ("GET", "HEAD")
"""What can be done with the page."""

TEXT = "text/plain; charset=utf-8"
"""The media type of what is answered when there is no page."""

MAX_HEAD = 65536
"""How many bytes the request line and the headers of a request may have together."""

MAX_HEADERS = 100
"""How many headers a request may have."""

_LARGE = 65536

# The form of a target that proxies are sent.
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#\[\]]+|\[[^/?#\[\]]*\](?::[0-9]*)?)(/[^?#]*)?(?:[?#].*)?")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/([0-9]{1,9})\.([0-9]{1,9})")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = (b"", b"\r")


class BadRequestError(Exception):
    """A request that is damaged, or larger than any: it is answered with `status`, and the connection closed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Request(NamedTuple):
    """A request that is complete and well-formed."""

    line: str
    """The request line, for the log."""
    method: str
    path: str
    """What is asked for, without a query."""
    host: str
    """Whom it is asked of, without a port; empty if it does not say."""
    connection: str
    """What the answer says of the connection: `close`, `keep-alive` where the version would close it, or nothing."""

    @property
    def closes(self) -> bool:
        """Whether the connection is closed after the answer."""
        return self.connection == "close"


class Incoming:
    """What a client has sent, cut into requests. Each byte is looked at once, in whatever pieces it comes."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._searched = 0  # up to where there is no end of a line
        self._size = 0  # of the lines
        self._lines: List[bytes] = []

    def __bool__(self) -> bool:
        """Whether anything of a further request has come."""
        return bool(self._received or self._size)

    def feed(self, data: bytes) -> None:
        """Take what a client has sent."""
        self._received += data

    def next(self) -> Optional[Request]:
        """Return the next request if it is complete. Raises BadRequestError as soon as it is known to be none."""
        while True:
            end = self._received.find(b"\n", self._searched)
            self._size += (len(self._received) if end < 0 else end + 1) - self._searched
            if self._size > MAX_HEAD:
                raise BadRequestError(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if self._lines else HTTPStatus.REQUEST_URI_TOO_LONG
                )
            if end < 0:
                self._searched = len(self._received)
                return None
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._searched = 0
            if line not in _BLANK:
                self._add(line[:-1] if line.endswith(b"\r") else line)
            elif self._lines:  # blank lines before a request are left out
                lines, self._lines, self._size = self._lines, [], 0
                return _request(lines)

    def _add(self, line: bytes) -> None:
        if self._lines:
            _check_header(line)
        else:
            _split(line)
        if len(self._lines) > MAX_HEADERS:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._lines.append(line)


def refusal(request: Request, admits: Callable[[str], bool]) -> Optional[HTTPStatus]:
    """Return why a request does not get the page, or None if it does; `admits` says whether it may ask for its host."""
    if not admits(request.host):
        return HTTPStatus.FORBIDDEN
    if request.method not in METHODS:
        return HTTPStatus.METHOD_NOT_ALLOWED
    return None if request.path == "/" else HTTPStatus.NOT_FOUND


def status_of(page: Page) -> HTTPStatus:
    """Return what a page is answered with."""
    return HTTPStatus.INTERNAL_SERVER_ERROR if page[1] is None else HTTPStatus.OK


def host_of(location: str) -> str:
    """Return the host of a location like `localhost:8889`, in lower case."""
    return re.sub(r":[0-9]*\Z", "", location).rstrip(".").lower()


def text_of(status: HTTPStatus) -> bytes:
    """Return what is answered, in place of the page, with `status`."""
    remedy = " (the host that was asked for is not one of allowed_hosts)" if status is HTTPStatus.FORBIDDEN else ""
    return f"{status.value} {status.phrase}{remedy}\n".encode("ascii")


def headers_of(status: int, media_type: str, length: int) -> Dict[str, str]:
    """Return the headers of an answer of `length` bytes, without those that are about the server or the connection."""
    headers = {"Content-Type": media_type, "Content-Length": str(length), "Cache-Control": "no-store"}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(METHODS)
    return headers


def answer(
    status: HTTPStatus, media_type: str = TEXT, body: Optional[bytes] = None, *, to: Optional[Request] = None
) -> List[bytes]:
    """Return the bytes of an answer, in one piece or two: what is large is not copied.

    Without a `body` it is a line of text that says the status. Without a request that it is an answer `to`, it is one
    to a damaged request, and the last.
    """
    content = body
    if content is None:
        media_type, content = TEXT, text_of(status)
    connection = "close" if to is None else to.connection
    headers = {"Server": SERVER, "Date": formatdate(usegmt=True), **headers_of(status, media_type, len(content))}
    if connection:
        headers["Connection"] = connection
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    if to is not None and to.method == "HEAD":
        return [head]
    return [head + content] if len(content) < _LARGE else [head, content]


def log_answer(address: object, status: HTTPStatus, request: Optional[Request] = None) -> None:
    """Log an answer, at the level for debugging; without a request it is one to a damaged request."""
    log('%s: "%s" %s', address, "" if request is None else request.line, status.value)


def log(message: str, *args: object) -> None:
    """Log what clients do, right or wrong: for debugging only."""
    logging.getLogger(LOGGER_NAME).debug(message, *args)


def _split(line: bytes) -> Tuple[bytes, bytes, Tuple[int, int]]:
    """Return method, target and version of a request line. Without a version it is GET, and older than all versions."""
    words = [word for word in line.split(b" ") if word]
    if _CONTROL.search(line) or not 2 <= len(words) <= 3 or not _TOKEN.fullmatch(words[0]):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if len(words) == 2:
        if words[0] != b"GET":
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        return words[0], words[1], (0, 9)
    version = _VERSION.fullmatch(words[2])
    if version is None:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if int(version[1]) != 1:
        raise BadRequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    return words[0], words[1], (1, int(version[2]))


def _check_header(line: bytes) -> None:
    # So neither a space before the colon passes, nor a line that goes on with the one before.
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)


def _request(lines: List[bytes]) -> Request:
    method, target, version = _split(lines[0])
    headers: Dict[bytes, List[bytes]] = {}
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        headers.setdefault(name.lower(), []).append(value.strip(b" \t"))
    has_body = _has_body(headers)
    if len(headers.get(b"host", ())) > 1:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    tokens = {token.strip().lower() for token in _text(headers, b"connection").split(",")}
    is_old = version < (1, 1)
    closes = "close" in tokens or (is_old and "keep-alive" not in tokens) or version < (1, 0)
    # A body is not read, and must not be taken for the next request. Nor is that of a method that is not known.
    closes = closes or has_body or method.decode() not in METHODS
    connection = "close" if closes else "keep-alive" if is_old else ""
    path, host = _path(target.decode("latin-1")), host_of(_text(headers, b"host"))
    return Request(lines[0].decode("latin-1"), method.decode(), path, host, connection)


def _has_body(headers: Dict[bytes, List[bytes]]) -> bool:
    lengths = {length.strip(b" \t") for value in headers.get(b"content-length", ()) for length in value.split(b",")}
    encoded = b"transfer-encoding" in headers
    if len(lengths) + encoded > 1 or not all(re.fullmatch(rb"[0-9]{1,18}", length) for length in lengths):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    return encoded or any(int(length) for length in lengths)


def _text(headers: Dict[bytes, List[bytes]], name: bytes) -> str:
    return b",".join(headers.get(name, ())).decode("latin-1")


def _path(target: str) -> str:
    if target.startswith("/"):
        return target.partition("?")[0]
    found = _ABSOLUTE.fullmatch(target)
    return "" if found is None else found[1] or "/"
