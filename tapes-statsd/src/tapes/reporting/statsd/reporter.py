"""The reporter named `statsd`."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
from datetime import timedelta
from typing import Dict, Iterable, Iterator, List, Literal, Optional, Tuple, Union

from tapes.clock import Clock
from tapes.errors import ReporterOptionError, quoted
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter, checked
from tapes.reporting.statsd.connection import LONGEST_PATH, Connection, Destination, Protocol
from tapes.reporting.statsd.deliveries import Changes, Deliveries, deliveries
from tapes.reporting.statsd.lines import Names, counters, gauges, names
from tapes.reporting.statsd.names import STYLES, safe_name
from tapes.reporting.statsd.packets import Packer
from tapes.snapshot import Snapshot

_PROTOCOLS: Tuple[Protocol, ...] = ("udp", "tcp", "unix")
_LARGEST_DATAGRAM = 65507
_SMALLEST_PACKET = 64
_SHORTEST_LINE = "x.value:0|g"

# As many packets as a socket holds that nobody has made larger (212,992 bytes on Linux, where such a packet is counted
# as 2,304), with room for other senders; and seconds for a StatsD to take them out. Faster ones are lost unnoticed.
_BURST = 32
_PAUSE = 0.01


class StatsdReporter(ScheduledReporter):
    """Sends counters to StatsD as changes, and everything else as gauges.

    A counter goes out as what it has changed by since its destination was last told of it, so that the totals of StatsD
    are those of the registry; for no change nothing is sent. What could not be sent is sent with the next report. It is
    kept for each registry and destination in the process: a new reporter goes on where the one before has stopped, and
    several to the same destination send each change once.

    Nobody waits for StatsD: names are looked up and packets sent by the reporter's own thread, in bursts that fit into
    the buffer of a socket. If nobody is there, that is a failed report. A host name is looked up when it is first
    needed, then once a minute, and every ten seconds while reports fail.

    A forked child goes on by itself, with a socket of its own, and sends what it has counted itself.
    """

    def __init__(
        self,
        interval: Union[timedelta, float],
        host: str = "localhost",
        port: int = 8125,
        prefix: Optional[str] = None,
        registry: Optional[Registry] = None,
        *,
        protocol: Literal["udp", "tcp", "unix"] = "udp",
        path: Optional[Union[str, os.PathLike[str]]] = None,
        tags: Literal["name", "datadog"] = "name",
        max_packet: int = 1432,
        clock: Optional[Clock] = None,
    ) -> None:
        """Send what `registry` (by default the process-wide one) holds every `interval`, a timedelta or seconds.

        To `host` and `port` by the `protocol` `"udp"` or `"tcp"`, or by `"unix"` to the stream socket at `path`. Every
        name begins with `prefix` and a dot, if there is one.

        `tags` says how tags are written: with `"name"` they become part of it, `shop.orders.item_book`, and with
        `"datadog"` they follow the value, as DogStatsD reads them. `max_packet` is how many bytes a packet may have,
        from 64; the default fits into an Ethernet frame with room for the headers of tunnels. A line that does not fit
        into a datagram is left out, which is logged once.

        Raises ReporterOptionError for options that it cannot work with.
        """
        super().__init__(interval, registry, clock=clock)
        self._destination = _destination(protocol, host, port, path)
        self._max_packet = checked.integer(
            "max_packet",
            max_packet,
            *(_SMALLEST_PACKET, _LARGEST_DATAGRAM),
            f"how many bytes a packet may have, an int from {_SMALLEST_PACKET} to {_LARGEST_DATAGRAM}",
        )
        self._prefix = _checked_prefix(prefix, self._max_packet)
        self._style = checked.choice("tags", tags, tuple(STYLES))
        self._connection = Connection(self._destination, self.clock)
        self._sleep = time.sleep
        self._unconfirmed = Changes()
        self._unconfirmed_by: Optional[Deliveries] = None
        self._mentioned: Dict[str, None] = {}

    def open(self) -> None:
        """Begin with a new connection, which is made by the first report."""
        self.close()  # what a run that hung has left open
        self._connection = Connection(self._destination, self.clock)
        self._sleep = time.sleep  # that of this moment, like what the connection waits with
        self._unconfirmed = Changes()

    def report(self) -> None:
        """Send what there is to tell."""
        connection = self._connection  # this very one, even if another run begins while this report hangs
        self._take_back_what_was_refused(connection)
        connection.connect()
        told = self._told()
        if told is None:
            return
        with told.lock:
            snapshot = self.registry.snapshot()
            if self._told() is not told:
                return  # an isolation has begun or ended meanwhile, and the snapshot may be of both sides
            named = names(snapshot, self._prefix, self._style)
            changes = told.changes(snapshot.readings)
            self._mention_clashes(snapshot, named)
            self._send(connection, told, changes, counters(changes, named), gauges(snapshot, named))

    def close(self) -> None:
        """Close the connection."""
        self._take_back_what_was_refused(self._connection)
        self._connection.close()

    def close_inherited(self) -> None:
        """Close the descriptor of the parent."""
        self._connection.close()

    def __repr__(self) -> str:
        prefix = f", prefix={self._prefix[:-1]!r}" if self._prefix else ""
        return f"{type(self).__name__}(interval={self.interval:g}, {self._destination}{prefix})"

    def _told(self) -> Optional[Deliveries]:
        return deliveries(self.registry, (self._destination, self._prefix, self._style))

    def _take_back_what_was_refused(self, connection: Connection) -> None:
        if connection.refusal() is not None:
            told = self._unconfirmed_by
            if told is not None:
                with told.lock:
                    told.take_back(self._unconfirmed)
                    self._unconfirmed = Changes()

    def _send(
        self,
        connection: Connection,
        told: Deliveries,
        changes: Changes,
        counter_lines: List[str],
        gauge_lines: Iterator[str],
    ) -> None:
        is_stream = self._destination.protocol != "udp"
        lines: Iterator[str] = itertools.chain(counter_lines, gauge_lines)
        if not is_stream:
            fitting = Changes()
            for change, line in zip(changes, counter_lines):
                if len(line) <= self._max_packet:
                    fitting.append(*change)
            changes = fitting
            lines = self._fitting(lines)
        # Of the lines that are sent these are the first. The others are gauges, which are sent each time in any case.
        sent = Changes()
        self._unconfirmed, self._unconfirmed_by = sent, told
        numbers = itertools.count(1)

        def deliver(packet: str) -> None:
            data = packet.encode("ascii") + b"\n" * is_stream
            taken = connection.send(data)
            for change in changes[len(sent) : len(sent) + data.count(b"\n", 0, taken) + (not is_stream)]:
                told.delivered(change)
                sent.append(*change)
            if taken < len(data):
                raise TimeoutError(f"{self._destination} takes nothing more.")
            if not is_stream and next(numbers) % _BURST == 0:
                self._sleep(_PAUSE)

        try:
            Packer(self._max_packet - is_stream, deliver).pack(lines)
        except ConnectionError:
            told.take_back(sent)
            sent.clear()
            raise

    def _fitting(self, lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            if len(line) <= self._max_packet:
                yield line
            else:
                self._mention_once(
                    f"leaves out what does not fit into max_packet={self._max_packet}, as does this line of "
                    f"{len(line)} bytes: {line[:80]!r}..."
                )

    def _mention_clashes(self, snapshot: Snapshot, named: Names) -> None:
        if named.clashes:
            number = named.clashes[0]
            reading = snapshot.readings[number]
            self._mention_once(
                f"sends {reading.name!r} with the tags {dict(reading.tags)} as {named.paths[number]!r}, because "
                "another series has the name that it would have: name one of them differently, or use tags='datadog'."
            )

    def _mention_once(self, problem: str) -> None:
        kind = problem.partition(" ")[0]
        if kind not in self._mentioned:
            self._mentioned[kind] = None
            logging.getLogger("tapes.reporting").warning("%r %s", self, problem)


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
        raise ReporterOptionError("protocol='unix' needs unix sockets, which this system has not: use 'udp' or 'tcp'.")
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
