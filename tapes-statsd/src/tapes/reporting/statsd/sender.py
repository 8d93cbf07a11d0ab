"""The sender to StatsD."""

# ruff: noqa: TC001 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import itertools
import os
import socket
import time
from typing import Iterable, Literal, Optional, Sequence, Set, Tuple, Union

from tapes.clock import SYSTEM_CLOCK
from tapes.errors import ReporterOptionError, quoted
from tapes.reporting import checked
from tapes.reporting.push import Context
from tapes.reporting.reporter import LOGGER_NAME
from tapes.reporting.statsd.connection import LONGEST_PATH, Connection, Destination, Protocol
from tapes.reporting.statsd.deliveries import Change, Changes, Deliveries, deliveries
from tapes.reporting.statsd.lines import Names, counters, gauges, names
from tapes.reporting.statsd.names import STYLES, safe_name
from tapes.reporting.statsd.packer import pack
from tapes.snapshot import Snapshot
from tapes.streak import log_once

_PROTOCOLS: Tuple[Protocol, ...] = ("udp", "tcp", "unix")
_LARGEST_DATAGRAM = 65507
_SMALLEST_PACKET = 64
_SHORTEST_LINE = "x.value:0|g"

# Packets in a burst: what fits into a socket buffer of the default size (212,992 bytes on Linux, which counts such a
# packet as 2,304), with room for other senders. Then a pause, in seconds, for StatsD to read them: a faster sender
# loses packets without notice.
_BURST = 32
_PAUSE = 0.01


class StatsdSender:
    """Sends the changes of counters, and everything else as gauges."""

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8125,
        prefix: Optional[str] = None,
        *,
        protocol: Literal["udp", "tcp", "unix"] = "udp",
        path: Optional[Union[str, os.PathLike[str]]] = None,
        tags: Literal["name", "datadog"] = "name",
        max_packet: int = 1432,
    ) -> None:
        """Send to `host` and `port` by `protocol`, `"udp"` or `"tcp"`.

        Or with `"unix"` to the stream socket at `path`. If `prefix` is given, every name begins with it and a dot.

        `tags` says how tags are written: with `"name"` as part of the name, `shop.orders.item_book`; with `"datadog"`
        after the value, as DogStatsD reads them. `max_packet` is the most bytes in a packet, from 64; the default fits
        into an Ethernet frame with room for the headers of tunnels. A line that does not fit into a datagram is left
        out, which is logged once.

        Raises ReporterOptionError for invalid options.
        """
        self._to = _destination(protocol, host, port, path)
        self._max_packet = checked.integer(
            "max_packet",
            max_packet,
            *(_SMALLEST_PACKET, _LARGEST_DATAGRAM),
            f"how many bytes a packet may have, an int from {_SMALLEST_PACKET} to {_LARGEST_DATAGRAM}",
        )
        self._prefix = _checked_prefix(prefix, self._max_packet)
        self._style = checked.choice("tags", tags, tuple(STYLES))
        self.destination = (self._to, self._prefix, self._style)
        """The key for tracking changes. Prefix and style are part of it, since they change the names."""
        self.context = Context("", SYSTEM_CLOCK, {}, 0)
        self._connection = Connection(self._to)
        self._sleep = time.sleep
        self._unconfirmed = Changes()
        self._unconfirmed_by: Optional[Deliveries] = None
        self._warned: Set[str] = set()

    def open(self) -> None:
        """Start with a new connection, which the first report opens."""
        self._connection = Connection(self._to)
        self._sleep = time.sleep  # looked up now, for the same reason as the calls of the connection
        self._unconfirmed = Changes()

    def send(self, snapshot: Snapshot) -> None:
        """Send the changes of counters, and all gauges."""
        context = self.context
        self._take_back_refused()
        self._connection.connect(context.clock.monotonic())
        known = deliveries(context.notes, self.destination)
        with known.lock:
            if context.number < known.number:
                return  # another reporter or run has sent a later snapshot meanwhile
            known.number = context.number
            named = names(snapshot, self._prefix, self._style)
            changes = known.changes(snapshot.readings)
            self._warn_clashes(snapshot, named)
            of_counters = zip(counters(changes, named), changes)
            of_gauges = zip(gauges(snapshot, named), itertools.repeat(None))
            self._send(known, itertools.chain(of_counters, of_gauges))

    def close(self) -> None:
        """Close the connection."""
        self._take_back_refused()
        self._connection.close()

    def __str__(self) -> str:
        return f"{self._to}, prefix={self._prefix[:-1]!r}" if self._prefix else f"{self._to}"

    def _take_back_refused(self) -> None:
        if self._connection.refusal() is not None:
            known = self._unconfirmed_by
            if known is not None:
                with known.lock:
                    known.take_back(self._unconfirmed)
                    self._unconfirmed = Changes()

    def _send(self, known: Deliveries, lines: Iterable[Tuple[Sequence[str], Optional[Change]]]) -> None:
        is_stream = self._to.protocol != "udp"
        packets = pack(lines, self._max_packet, is_stream=is_stream, leave_out=self._warn_too_long)
        sent = Changes()
        self._unconfirmed, self._unconfirmed_by = sent, known
        try:
            for number, packet in enumerate(packets, 1):
                taken = self._connection.send(packet.data)
                for change in packet.delivered(taken):
                    known.delivered(change)
                    sent.append(*change)
                if taken < len(packet.data):
                    raise self._connection.trouble
                if not is_stream and number % _BURST == 0:
                    self._sleep(_PAUSE)
        except ConnectionError:
            known.take_back(sent)
            sent.clear()
            raise

    def _warn_too_long(self, line: str) -> None:
        self._warn_once(
            f"leaves out lines that do not fit into max_packet={self._max_packet}, like this one of {len(line)} bytes: "
            f"{line[:80]!r}..."
        )

    def _warn_clashes(self, snapshot: Snapshot, named: Names) -> None:
        if named.clashes:
            number = named.clashes[0]
            reading = snapshot.readings[number]
            self._warn_once(
                f"sends {reading.name!r} with the tags {dict(reading.tags)} as {named.paths[number]!r}, because "
                "another series already has its name: rename one of the two, or use tags='datadog'."
            )

    def _warn_once(self, problem: str) -> None:
        kind = problem.partition(" ")[0]
        log_once(self._warned, kind, LOGGER_NAME, "%s %s", self.context.reporter, problem)


def _destination(protocol: object, host: object, port: object, path: object) -> Destination:
    chosen = checked.choice("protocol", protocol, _PROTOCOLS)
    if (chosen == "unix") != (path is not None):
        raise ReporterOptionError(
            f"path ({quoted(path)}) is the socket of a StatsD and goes with protocol='unix', not with {chosen!r}."
            if path is not None
            else "protocol='unix' needs the path of the socket: give path='/run/statsd.sock' or the like."
        )
    if chosen == "unix":
        return Destination("unix", "", 0, _checked_socket(os.path.abspath(checked.path("path", path))))
    return Destination(
        chosen,
        checked.host("host", host, "the name or the address of a host, like 'localhost'"),
        checked.integer("port", port, 1, 65535, "an int from 1 to 65535"),
        "",
    )


def _checked_socket(path: str) -> str:
    if not hasattr(socket, "AF_UNIX"):
        raise ReporterOptionError(
            "protocol='unix' needs unix sockets, which this system does not have: use 'udp' or 'tcp'."
        )
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise ReporterOptionError(
            f"path is {quoted(path)}, of {length} bytes. The path of a unix socket has at most {LONGEST_PATH} bytes: "
            "choose a shorter one, like one in /run or /tmp."
        )
    return path


def _checked_prefix(prefix: object, max_packet: int) -> str:
    if prefix is None:
        return ""
    if not isinstance(prefix, str) or "" in prefix.split(".") or safe_name(prefix) != prefix:
        raise checked.refusal("prefix", "a dotted name of letters, digits, '_' and '-', like 'shop.web'", prefix)
    if len(f"{prefix}.{_SHORTEST_LINE}") > max_packet:
        raise checked.refusal(
            "prefix", f"short enough to leave room for a metric in a packet of max_packet={max_packet} bytes", prefix
        )
    return f"{prefix}."
