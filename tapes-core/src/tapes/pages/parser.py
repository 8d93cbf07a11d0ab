"""Requests and responses as bytes of HTTP/1.1. Pure functions, independent of sockets."""

from __future__ import annotations

import logging
import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Dict, List, NamedTuple, Optional, Tuple

from tapes.pages.message import METHODS, SERVER, Request, Response
from tapes.reporting.reporter import LOGGER_NAME

MAX_HEAD = 65536
"""The most bytes of the request line and headers of a request."""

MAX_HEADERS = 100
"""The most headers of a request."""

_LARGE = 65536

# The absolute form of a target, which clients send to proxies.
_ABSOLUTE = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#\[\]]+|\[[^/?#\[\]]*\](?::[0-9]*)?)(/[^?#]*)?(?:\?(.*)|#.*)?"
)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/([0-9]{1,9})\.([0-9]{1,9})")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = (b"", b"\r")


class BadRequestError(Exception):
    """A malformed or too large request: it is answered with `status`, and the connection is closed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Received(NamedTuple):
    """A request, and how to answer it on its connection."""

    request: Request
    line: str
    """The request line, for the log."""
    connection: str
    """The `Connection` header of the response: `close`; `keep-alive` if the version would close by default; else ""."""

    @property
    def closes(self) -> bool:
        """True if the connection is closed after the response."""
        return self.connection == "close"


class Incoming:
    """Splits the bytes of a client into requests. It scans each byte once, however the bytes arrive."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._searched = 0  # no line ends before this position
        self._size = 0  # bytes of the lines so far
        self._lines: List[bytes] = []

    def __bool__(self) -> bool:
        """Return whether part of a further request has arrived."""
        return bool(self._received or self._size)

    def feed(self, data: bytes) -> None:
        """Add bytes from the client."""
        self._received += data

    def next(self) -> Optional[Received]:
        """Return the next request if it is complete, else None. Raises BadRequestError as soon as it is invalid."""
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
            elif self._lines:  # blank lines before a request are ignored
                lines, self._lines, self._size = self._lines, [], 0
                return _received(lines)

    def _add(self, line: bytes) -> None:
        if self._lines:
            _check_header(line)
        else:
            _split(line)
        if len(self._lines) > MAX_HEADERS:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self._lines.append(line)


def written(response: Response, connection: str) -> List[bytes]:
    """Return the bytes of a response, in one piece or two: a large body is not copied."""
    headers = [("Server", SERVER), ("Date", formatdate(usegmt=True)), *response.headers]
    if connection:
        headers.append(("Connection", connection))
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return [head + response.body] if len(response.body) < _LARGE else [head, response.body]


def log_answer(address: object, status: HTTPStatus, line: str) -> None:
    """Log the response to a request with this request line, at level DEBUG."""
    log('%s: "%s" %s', address, line, status.value)


def log(message: str, *args: object) -> None:
    """Log a client's action at level DEBUG."""
    logging.getLogger(LOGGER_NAME).debug(message, *args)


def _split(line: bytes) -> Tuple[bytes, bytes, Tuple[int, int]]:
    """Return method, target and version of a request line. One without a version is a GET of HTTP/0.9."""
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
    # This also refuses a space before the colon, and a line that continues the one before.
    name, colon, value = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)


def _received(lines: List[bytes]) -> Received:
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
    # Bodies are not read, and must not be taken for the next request. An unknown method may have one, too.
    closes = closes or has_body or method.decode() not in METHODS
    connection = "close" if closes else "keep-alive" if is_old else ""
    path, query = path_and_query(target.decode("latin-1"))
    texts = {name.decode("latin-1"): _text(headers, name) for name in headers}
    request = Request(method.decode(), path, query, texts)
    return Received(request, lines[0].decode("latin-1"), connection)


def _has_body(headers: Dict[bytes, List[bytes]]) -> bool:
    lengths = {length.strip(b" \t") for value in headers.get(b"content-length", ()) for length in value.split(b",")}
    encoded = b"transfer-encoding" in headers
    if len(lengths) + encoded > 1 or not all(re.fullmatch(rb"[0-9]{1,18}", length) for length in lengths):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    return encoded or any(int(length) for length in lengths)


def _text(headers: Dict[bytes, List[bytes]], name: bytes) -> str:
    return b",".join(headers.get(name, ())).decode("latin-1")


def path_and_query(target: str) -> Tuple[str, str]:
    """Return the path and the query of the target of a request, which may have a host before it."""
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query
    found = _ABSOLUTE.fullmatch(target)
    return ("", "") if found is None else (found[1] or "/", found[2] or "")
