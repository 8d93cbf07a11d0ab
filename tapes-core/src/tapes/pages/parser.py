"""Requests and answers as they are written in HTTP/1.1: pure, and the same whoever reads and writes the bytes."""

from __future__ import annotations

import logging
import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Dict, List, NamedTuple, Optional, Tuple

from tapes.pages.message import METHODS, SERVER, Request, Response
from tapes.reporting.reporter import LOGGER_NAME

MAX_HEAD = 65536
"""How many bytes the request line and the headers of a request may have together."""

MAX_HEADERS = 100
"""How many headers a request may have."""

_LARGE = 65536

# The form of a target that proxies are sent.
_ABSOLUTE = re.compile(
    r"[A-Za-z][A-Za-z0-9+.\-]*://(?:[^/?#\[\]]+|\[[^/?#\[\]]*\](?::[0-9]*)?)(/[^?#]*)?(?:\?(.*)|#.*)?"
)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/([0-9]{1,9})\.([0-9]{1,9})")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK = (b"", b"\r")


class BadRequestError(Exception):
    """A request that is damaged, or larger than any: it is answered with `status`, and the connection closed."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Received(NamedTuple):
    """A request, and what is to be known of it besides to answer it on its connection."""

    request: Request
    line: str
    """The request line, for the log."""
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

    def next(self) -> Optional[Received]:
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
    """Return the bytes of an answer, in one piece or two: what is large is not copied."""
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
    """Log an answer to the request with that request line, at the level for debugging."""
    log('%s: "%s" %s', address, line, status.value)


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
    # A body is not read, and must not be taken for the next request. Nor is that of a method that is not known.
    closes = closes or has_body or method.decode() not in METHODS
    connection = "close" if closes else "keep-alive" if is_old else ""
    path, query = _path_and_query(target.decode("latin-1"))
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


def _path_and_query(target: str) -> Tuple[str, str]:
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query
    found = _ABSOLUTE.fullmatch(target)
    return ("", "") if found is None else (found[1] or "/", found[2] or "")
