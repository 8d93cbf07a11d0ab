"""Answers of HTTP that come within a time, however slowly a server sends them."""

from __future__ import annotations

import io
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import http.client


def answer_within(connection: http.client.HTTPConnection, seconds: float) -> http.client.HTTPResponse:
    """Return the answer to a request that was sent. It raises `socket.timeout` where it is not complete in time.

    The timeout of a socket begins anew with each byte, so a server could make a client wait for days.
    """
    limited: Any = _Limited(connection.sock, time.monotonic() + seconds)
    connection.sock = limited
    return connection.getresponse()


class _Limited:
    """A socket to read an answer from until a deadline: what `http.client` uses of one."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket = sock
        self._deadline = deadline

    def makefile(self, _: str) -> io.BufferedReader:
        """Return what reads the answer, and holds the socket until that is closed."""
        return io.BufferedReader(_Reader(self._socket.makefile("rb", buffering=0), self._socket, self._deadline))

    def close(self) -> None:
        """Close it, once the answer was read."""
        self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw = raw
        self._socket = sock
        self._deadline = deadline

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> Any:
        """Read what there is."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Let the socket go."""
        self._raw.close()
        super().close()
