"""A JSON page, asked for over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import time
from http import HTTPStatus
from typing import Any, Dict
from urllib.parse import urlsplit

from tapes.errors import ReporterError
from tapes.reporting.answers import answer_within

_LARGEST = 1 << 30  # bytes
_PIECE = 1 << 16


def stats_at(url: str, timeout: float) -> Dict[str, Any]:
    """Return the statistics of the JSON page at a URL. Raises ReporterError if there is none within `timeout`."""
    host, port, path = _parts(url)
    deadline = time.monotonic() + timeout
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = answer_within(connection, deadline - time.monotonic())
        body = b""
        while piece := answer.read(_PIECE):
            body += piece
            if len(body) > _LARGEST:
                raise ReporterError(f"{url} is larger than {_LARGEST:,} bytes, so it is no page of tapes.")
    except (socket.timeout, TimeoutError):
        raise ReporterError(f"{url} does not answer within {timeout:g} s.") from None
    except OSError as error:
        raise ReporterError(f"{url} cannot be reached: {error.strerror or error}. Is the program there?") from error
    except http.client.HTTPException as error:
        raise ReporterError(f"{url} does not speak HTTP: {error!r}.") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        said = body[:500].decode("utf-8", "replace").strip().partition("\n")[0]
        to = answer.getheader("Location")
        where = f", which redirects to {to}" if to else ""
        raise ReporterError(f"{url} answers with status {answer.status}{where}: {said or answer.reason}")
    return _tree(url, body, answer.getheader("Content-Type", "no type"))


def _parts(url: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ReporterError(f"{url} is no URL: {error}.") from None
    if parts.scheme != "http":
        raise ReporterError(
            f"{url} begins with {parts.scheme}://: only http:// is supported, ask the page on its host."
        )
    if not host or parts.username is not None or not url.isascii() or not url.isprintable() or " " in url:
        raise ReporterError(f"{url} is not like http://127.0.0.1:8889/: give host and port, and no user.")
    return host, port or 80, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _tree(url: str, body: bytes, media_type: str) -> Dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ReporterError(f"{url} is no JSON page but {media_type}: give the URL of the JSON page.") from None
    if not isinstance(found, dict):
        raise ReporterError(f"{url} is a JSON page, but not one of tapes: it has no names of metrics.")
    return found
