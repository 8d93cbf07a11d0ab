"""Asks an aggregator for its pages, on behalf of a worker."""

from __future__ import annotations

import http.client
import socket
from http import HTTPStatus
from typing import Dict, FrozenSet, Mapping
from urllib.parse import quote

from tapes.distributed import trust
from tapes.errors import ReporterError
from tapes.pages.message import Page

_OF_CONNECTION = ("content-length", "content-type", "connection", "cache-control", "server", "date", "keep-alive")


class _Connection(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: str, trusted: FrozenSet[int], timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._trusted = trusted

    def connect(self) -> None:
        """Connect to the socket, if its owner is trusted."""
        fault = trust.socket_fault(self._path, self._trusted)
        if fault is not None:
            raise ReporterError(fault)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        doubt = trust.peer_fault(trust.peer(self.sock.fileno()), self._trusted)
        if doubt is not None:
            raise ReporterError(doubt)


def page_at(socket_path: str, path: str, headers: Mapping[str, str], trusted: FrozenSet[int], timeout: float) -> Page:
    """Return the page that an aggregator has at `path`. Waits at most `timeout` seconds for each of its answers.

    Raises ReporterError if there is none, with the reason.
    """
    connection = _Connection(socket_path, trusted, timeout)
    try:
        connection.request("GET", quote(path, errors="replace"), headers=_latin(headers))
        answer = connection.getresponse()
        body = answer.read()
    except (socket.timeout, TimeoutError, BlockingIOError):  # the last one if too many wait to be accepted
        raise ReporterError("it does not answer: it is suspended or overloaded") from None
    except OSError as error:
        raise ReporterError(f"{socket_path}: {error.strerror or error}") from error
    except http.client.HTTPException as error:
        raise ReporterError(f"it breaks off its answer: {error!r}") from error
    finally:
        connection.close()
    more = tuple((name, value) for name, value in answer.getheaders() if name.lower() not in _OF_CONNECTION)
    return Page(answer.headers.get("Content-Type", "text/plain"), body, more, HTTPStatus(answer.status))


def _latin(headers: Mapping[str, str]) -> Dict[str, str]:
    return {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}
