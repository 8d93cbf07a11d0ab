"""One request and its answer, as they are written in HTTP/1.1: the same whoever reads and writes the bytes."""

from __future__ import annotations

import logging
from abc import abstractmethod
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Dict, Optional
from urllib.parse import urlsplit

from tapes.reporting.reporter import LOGGER_NAME

if TYPE_CHECKING:
    from tapes.reporting.page import Page

SERVER = "tapes"
"""What servers call themselves. No version: that is nobody's business."""

METHODS = ("GET", "HEAD")
"""What can be done with the page."""

TEXT = "text/plain; charset=utf-8"
"""The media type of what is answered when there is no page."""


def text_of(status: HTTPStatus) -> bytes:
    """Return what is answered, in place of the page, with `status`."""
    return f"{status.value} {status.phrase}\n".encode("ascii")


def headers_of(status: int, media_type: str, length: int) -> Dict[str, str]:
    """Return the headers of an answer of `length` bytes, without those that are about the server or the connection."""
    headers = {"Content-Type": media_type, "Content-Length": str(length), "Cache-Control": "no-store"}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(METHODS)
    return headers


class Exchange(BaseHTTPRequestHandler):
    """Reads a request from `rfile` and answers it to `wfile`, as `http.server` does, but for what is said here.

    Those that derive from it say what the files are, and how to `fetch()` the page.
    """

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # so that even the worst request is answered with a status line

    def do_GET(self) -> None:
        """Called by http.server."""
        self.answer()

    def do_HEAD(self) -> None:
        """Called by http.server."""
        self.answer()

    def answer(self) -> None:
        """Answer a request that is well-formed."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # the body is not read, and must not be taken for the next request
        if self._path() == "/":
            self.fetch()
        else:
            self._send_status(HTTPStatus.NOT_FOUND)

    @abstractmethod
    def fetch(self) -> None:
        """Have the page made, and call `answer_with()` when it is there."""

    def answer_with(self, page: Page) -> None:
        """Answer with `page`."""
        media_type, body = page
        if body is None:
            self._send_status(HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self._send(HTTPStatus.OK, media_type, body)

    def send_error(self, code: int, message: Optional[str] = None, explain: Optional[str] = None) -> None:
        """Called by http.server when a request is wrong; what it has to say repeats what the client has sent."""
        self.close_connection = True
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:  # how http.server calls methods that it finds no function for
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._send_status(status)

    def version_string(self) -> str:
        """Return what the header `Server` says."""
        return SERVER

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as it is called in http.server
        """Called by http.server for each answer, and for what is wrong with a request."""
        log("%s: " + format, self.client_address, *args)

    def _path(self) -> str:
        if self.path.startswith("/"):
            return self.path.partition("?")[0]
        try:
            return urlsplit(self.path).path or "/"  # the absolute form, as it is sent to proxies
        except ValueError:
            return ""

    def _send_status(self, status: HTTPStatus) -> None:
        self._send(status, TEXT, text_of(status))

    def _send(self, status: HTTPStatus, media_type: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in headers_of(status, media_type, len(body)).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()


def log(message: str, *args: object) -> None:
    """Log what clients do, right or wrong: for debugging only."""
    logging.getLogger(LOGGER_NAME).debug(message, *args)
