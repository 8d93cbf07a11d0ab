"""Far ends of the tests' own: what listens where a StatsD would, and keeps every line."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from pathlib import Path
from typing import Dict, List, Optional

from tapes.reporting.statsd import StatsdReporter
from tapes.reporting.statsd.sender import StatsdSender
from tests.servers.processes import free_port

TIMEOUT = 30.0


def sender_of(reporter: StatsdReporter) -> StatsdSender:
    """Return what sends for a reporter that is open, to look in or to interfere."""
    sender = reporter._sender
    assert isinstance(sender, StatsdSender)
    return sender


class Datagrams:
    """A UDP socket that can be closed and opened again at the same port."""

    def __init__(self) -> None:
        self.port = free_port()  # and none that the system would give to another while this is down
        self._socket = self._listening(self.port)
        self.packets: List[str] = []
        """Everything that was received."""
        self._probes = 0

    @staticmethod
    def _listening(port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", port))
        made.settimeout(TIMEOUT)
        return made

    def read(self) -> List[str]:
        """Return the lines that were sent before. They have arrived when a datagram has that is sent after them."""
        self._probes += 1
        last = f"probe {self._probes}"
        lines: List[str] = []
        packet = ""
        with socket.socket(type=socket.SOCK_DGRAM) as probing:
            while packet != last:
                probing.sendto(last.encode(), ("127.0.0.1", self.port))  # and again: there may have been no room for it
                self._socket.settimeout(0.2)
                with contextlib.suppress(socket.timeout):
                    while packet != last:
                        packet = self._socket.recv(65535).decode("ascii")
                        if not packet.startswith("probe "):
                            self.packets.append(packet)
                            lines += packet.split("\n")
        return lines

    def close(self) -> None:
        """Be down: what is sent here is refused."""
        self._socket.close()

    def reopen(self) -> None:
        """Be back."""
        self._socket = self._listening(self.port)


class Stream:
    """A stream socket, TCP or unix, that takes connections and reads them, unless it is told not to."""

    def __init__(self, path: Optional[Path] = None, *, reading: bool = True) -> None:
        self._path = path
        self.port = free_port()
        self.reading = reading
        self.lines: List[str] = []
        """Every whole line that was received."""
        self.connections: List[socket.socket] = []
        self.reopen()

    def reopen(self) -> None:
        """Listen, at the same place as before."""
        if self._path is None:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not self.reading:
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self._listener.bind(("127.0.0.1", self.port))
        else:
            self._path.unlink(missing_ok=True)
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(self._path))
        self._listener.listen(8)
        # Closing the one end wakes the thread that waits for the other.
        self._closing, closing = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(self._listener, closing), daemon=True)
        self._thread.start()

    def _serve(self, listener: socket.socket, closing: socket.socket) -> None:
        # One thread for all, which is there before a test looks at the threads of a reporter. It closes what it waits
        # for by itself: if another did, the next connection might get a number that the selector still knows.
        unfinished: Dict[socket.socket, bytes] = {}
        with listener, closing, selectors.DefaultSelector() as selector:
            selector.register(closing, selectors.EVENT_READ)
            selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is closing:
                        self._hang_up()
                        return
                    if key.fileobj is listener:
                        connection, _ = listener.accept()
                        self.connections.append(connection)
                        if self.reading:
                            unfinished[connection] = b""
                            selector.register(connection, selectors.EVENT_READ)
                    elif not self._take(key.fileobj, unfinished):  # type: ignore[arg-type]  # all are sockets
                        selector.unregister(key.fileobj)

    def _hang_up(self) -> None:
        for connection in self.connections:
            with contextlib.suppress(OSError):
                if self.reading:
                    connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.connections = []

    def _take(self, connection: socket.socket, unfinished: Dict[socket.socket, bytes]) -> bool:
        """Read what is there, and keep the whole lines; False at the end, where a line that is cut off is dropped."""
        with contextlib.suppress(OSError):
            data = connection.recv(65536)
            whole, newline, unfinished[connection] = (unfinished[connection] + data).rpartition(b"\n")
            self.lines += (whole + newline).decode("ascii").split("\n")[:-1]
            return bool(data)
        return False

    def read_on(self, connection: socket.socket) -> None:
        """Read a connection to its end that was not read until now."""
        connection.settimeout(TIMEOUT)
        unfinished = {connection: b""}
        while self._take(connection, unfinished):
            pass

    def close(self) -> None:
        """Be down. Whoever is connected gets to know: in good order if all was read, and else by a reset."""
        self._closing.close()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()


def counted(lines: List[str]) -> Dict[str, float]:
    """Add up the changes of counters among lines, by name, as a StatsD does."""
    totals: Dict[str, float] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        value, _, kind = rest.partition("|")
        if kind.startswith("c"):
            totals[name] = totals.get(name, 0) + float(value)
    return totals
