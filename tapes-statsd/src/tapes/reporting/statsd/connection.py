"""The connection to a StatsD: its socket, and the lookup of its host."""

from __future__ import annotations

import encodings.idna  # noqa: F401 -- lookups need it, in a thread that must not import: see docs/design.md
import errno
import os
import select
import socket
import sys
from typing import Any, List, Literal, NamedTuple, Optional, Tuple

from tapes.process.descriptors import OwnSocket, own
from tapes.reporting.listening import location

Protocol = Literal["udp", "tcp", "unix"]

SEND_TIMEOUT = 2.0
"""Seconds of real time for connecting, and for the far end to take any bytes at all."""

REFUSAL_TIMEOUT = 0.25
"""Seconds of real time to wait for a refusal of the first datagram after a failure."""

LOOKUP_INTERVAL = 60.0
"""Seconds after which the address of a host is looked up again."""

LOOKUP_INTERVAL_IN_TROUBLE = 10.0
"""The same while the address does not answer."""

LONGEST_PATH = 107 if sys.platform == "linux" else 103
"""The most bytes in the path of a unix socket."""

# For datagrams these errors, too, arrive some time after the send, and concern all that were sent since.
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)

_Address = Tuple[int, Any]  # the family of the address, and the address


class Destination(NamedTuple):
    """The address of a StatsD."""

    protocol: Protocol
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        if self.protocol == "unix":
            return f"unix:{self.path}"
        return f"{self.protocol}://{location(self.host, self.port, in_url=True)}"


class Connection:
    """A connection to a StatsD that is opened when needed, and again after it has broken.

    A refusal is a `ConnectionError`: the far end reports that it does not take what was sent, or the network that the
    far end cannot be reached. For datagrams that is an ICMP message, which arrives before `send()` returns from the
    same host, and some time later from another. A far end that ends with unread bytes resets a stream. Not thread-safe.
    """

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._is_datagram = destination.protocol == "udp"
        self._pid = os.getpid()
        self._socket: Optional[OwnSocket] = None
        self.trouble: OSError = TimeoutError(f"{destination} takes nothing more.")
        """Why the last packet that was not taken completely was not."""
        self._address: Optional[_Address] = None
        self._untried: List[_Address] = []  # other addresses of the host, until something was sent to this one
        self._known: List[_Address] = []
        self._looked_up_at = 0.0
        self._in_trouble = False
        # The blocking calls, looked up now, when the reporting thread starts. gevent may patch them later, and a real
        # thread that calls the patched ones may hold the import lock of the whole process for ever.
        self._make_socket, self._look_up = socket.socket, socket.getaddrinfo
        self._make_poll = getattr(select, "poll", None)

    def refusal(self) -> Optional[OSError]:
        """Return the refusal that has arrived since the last call, and close the connection; None if there is none.

        In a forked child always None: the refusal is the parent's, which would then miss it.
        """
        if self._socket is None or self._pid != os.getpid():
            return None
        try:
            code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                return self._broken(OSError(code, os.strerror(code)))
            if not self._is_datagram and _has_ended(self._socket):
                self.close()  # an orderly end, so everything was read
        except OSError:  # the program has closed the descriptor, which is no refusal of what was sent before
            self.close()
        return None

    def connect(self, now: float) -> None:
        """Connect, unless connected. Looks up the host if that is due at `now`. Raises OSError."""
        addresses = self._addresses(now)
        if self._socket is None or self._address not in addresses:
            self.close()
            self._untried = list(addresses)
            self._connect_to_next()

    def send(self, data: bytes) -> int:
        """Send a packet, and return how many bytes were taken. On a stream that may be fewer than all.

        Then `trouble` says why. Raises OSError if nothing was taken, or if what was taken has been refused. In all
        these cases the connection is closed.
        """
        taken = self._send_datagram(data) if self._is_datagram else self._send_on_stream(data)
        self._in_trouble = taken < len(data)
        self._untried = []
        return taken

    def close(self) -> None:
        """Close only the descriptor: in a forked child, the parent's connection goes on."""
        connected, self._socket = self._socket, None
        if connected is not None:
            connected.close()

    def _send_datagram(self, data: bytes) -> int:
        while True:
            assert self._socket is not None  # connect() has returned
            try:
                self._socket.send(data)
            except OSError as error:
                refused: Optional[OSError] = self._broken(error)
            else:
                if self._in_trouble:
                    self._await_error(REFUSAL_TIMEOUT)
                refused = self.refusal()
            if refused is None:
                return len(data)
            if not self._untried:
                raise refused
            self._connect_to_next()

    def _send_on_stream(self, data: bytes) -> int:
        assert self._socket is not None  # connect() has returned
        taken = 0
        try:
            while taken < len(data):
                taken += self._socket.send(data[taken:])
        except socket.timeout:
            self.close()  # what follows must not continue a partial line
            self.trouble = TimeoutError(f"{self._destination} takes nothing more.")
        except OSError as error:
            self.trouble = self._broken(error)
            if not taken or isinstance(self.trouble, ConnectionError):
                raise self.trouble from error
        return taken

    def _connect_to_next(self) -> None:
        while True:
            self._address = family, address = self._untried.pop(0)
            made = own(self._make_socket(family, socket.SOCK_DGRAM if self._is_datagram else socket.SOCK_STREAM))
            try:
                made.settimeout(SEND_TIMEOUT)
                made.connect(address)
            except OSError as error:
                made.close()
                if not self._untried:
                    raise self._broken(error) from error
            else:
                self._socket = made
                return

    def _broken(self, error: OSError) -> OSError:
        """Close the broken connection, and return the error with the destination in it."""
        self._in_trouble = True
        self.close()
        kind = ConnectionError if self._is_datagram and error.errno in _UNREACHABLE else OSError
        return kind(error.errno, f"{self._destination}: {error.strerror or error}")

    def _await_error(self, timeout: float) -> None:
        if self._make_poll is not None and self._socket is not None:
            poll = self._make_poll()
            poll.register(self._socket, 0)  # errors are always reported
            poll.poll(timeout * 1000)

    def _addresses(self, now: float) -> List[_Address]:
        if self._destination.protocol == "unix":
            return [(socket.AF_UNIX, self._destination.path)]
        interval = LOOKUP_INTERVAL_IN_TROUBLE if self._in_trouble else LOOKUP_INTERVAL
        if self._known and now - self._looked_up_at < interval:
            return self._known
        host, port = self._destination.host, self._destination.port
        kind = socket.SOCK_DGRAM if self._is_datagram else socket.SOCK_STREAM
        try:
            found = self._look_up(host, port, type=kind)
        except (OSError, UnicodeError) as error:
            if not self._known:
                self._in_trouble = True
                reason = f"the host {host!r} cannot be found: {error}"
                remedy = "Correct host, or check the name server."
                raise OSError(f"{self._destination}: {reason}. {remedy}") from error
        else:
            # The original StatsD listens on IPv4 only, by default.
            in_order = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
            self._known = list(dict.fromkeys((family, address) for family, _, _, _, address in in_order))
        self._looked_up_at = now
        return self._known


def _has_ended(stream: socket.socket) -> bool:
    """Whether the far end has closed a stream."""
    stream.settimeout(0)
    try:
        return not stream.recv(1, socket.MSG_PEEK)
    except OSError:
        return False  # nothing to read: a StatsD never answers
    finally:
        stream.settimeout(SEND_TIMEOUT)
