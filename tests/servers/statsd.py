"""The original StatsD, run and asked."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import socket
import tempfile
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Tuple

from tests.servers.installed import statsd_command
from tests.servers.processes import PATIENCE, ServerProcess, free_port, send_datagram, until

Protocol = Literal["udp", "tcp", "unix"]
PROTOCOLS: Tuple[Protocol, ...] = ("udp", "tcp", "unix")
FLUSH_MILLISECONDS = 100
ATTEMPTS = 5  # at a start, each with other ports
NOT_THE_REPORTERS = ("statsd.", "probe.")  # what the server says of itself, and what is sent to see what has arrived

# It runs before the server sets its counters back to zero, in the same turn of its loop: an event is in the file or
# still in the counters, and never in both.
BACKEND = """
const fs = require('fs');
exports.init = (started, config, events) => {
  events.on('flush', (time, {counters, gauges}) =>
    fs.appendFileSync(config.flushes, JSON.stringify({counters, gauges}) + '\\n'));
  return true;
};
"""

# What Node shows of an object: `'shop.orders': 3`, with quotes where the name is no identifier.
PROPERTY = re.compile(r"(?:'([^']*)'|([\w$]+)): (\[[^\]]*\]|[^\s,}]+)")


class StatsD:
    """A StatsD that takes UDP, TCP and a unix socket at once, while it is entered.

    It keeps its ports, its path and its totals when it is stopped or killed and started again. What the server counts
    about itself is left out of what it shows.
    """

    port: int
    """For UDP and for TCP."""

    def __init__(self, host: str = "127.0.0.1", inside: Sequence[str] = ()) -> None:
        """Serve at `host`. `inside` is put before the command, to run it in another network."""
        self.host = host
        self._command = [*inside, *statsd_command()]
        self._process: Optional[ServerProcess] = None
        self._management: Optional[int] = None
        self._probes = itertools.count()
        self._flushes = 0
        self._flushed: Dict[str, float] = defaultdict(int)
        self._flushed_gauges: Dict[str, float] = {}
        self._read = 0

    def __enter__(self) -> StatsD:
        """Choose ports that are free, and start."""
        # A folder of its own: the path of a unix socket has at most 107 characters.
        with contextlib.ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapes-statsd-")))
            self.path = str(self._folder / "socket")
            (self._folder / "flushes.js").write_text(BACKEND)
            self._file = self._folder / "flushes.json"
            self._file.touch()
            stack.callback(self._end)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End it and remove its folder."""
        self._stack.close()

    def start(self) -> None:
        """Start; again, if it was stopped or killed: at the same ports and path. Return when it takes and answers."""
        known = self._management is not None
        for _ in range(1 if known else ATTEMPTS):
            if not known:
                self.port = free_port()
                self._management = free_port()
            Path(self.path).unlink(missing_ok=True)  # one that was killed has left it behind
            process = self._process = ServerProcess([*self._command, self._configure()], self._folder / "log")
            with contextlib.suppress(EndedEarlyError):
                self.settle()
                return
            process.stop()
        raise AssertionError(f"StatsD does not start:\n{process.said()}")

    def stop(self) -> None:
        """Let it flush what it has, and end it in its own way."""
        self.flush()
        self._end()

    def kill(self) -> None:
        """Let it flush what it has, since nobody would ever see the rest, and end it with SIGKILL."""
        self.flush()
        self._running().kill()

    def pause(self) -> None:
        """Hold it still: connections and datagrams go on to be taken by the system, but not by it."""
        self._running().pause()

    def resume(self) -> None:
        """Let it go on after a `pause()`, and return when it has taken what has piled up."""
        self._running().resume()
        self.settle()

    # What it holds.

    def counters(self) -> Dict[str, float]:
        """Return what each counter has counted since the last flush, from the management port."""
        return without_own(self._ask_numbers("counters"))

    def gauges(self) -> Dict[str, float]:
        """Return the gauges, from the management port, with all their digits."""
        return without_own(self._ask_numbers("gauges"))

    def timers(self) -> Dict[str, List[float]]:
        """Return the values of each timer since the last flush, from the management port; at most 100 of each."""
        return {
            name: read_numbers(re.sub(r",\s*\.\.\. .*", "]", values, flags=re.DOTALL))
            for name, values in parse(self._ask("timers")).items()
        }

    def totals(self) -> Dict[str, float]:
        """Return what each counter has counted ever, flushed or not."""
        return without_own(self._all_totals())

    def flushed_totals(self) -> Dict[str, float]:
        """Return the sum of all flushes of each counter. Works also when the server is not running."""
        self._read_flushes()
        return without_own(self._flushed)

    def flushed_gauges(self) -> Dict[str, float]:
        """Return the gauges of the last flush."""
        self._read_flushes()
        return without_own(self._flushed_gauges)

    def bad_lines(self) -> int:
        """Return how many lines it could not read ever."""
        return int(self._all_totals()["statsd.bad_lines_seen"])

    def lines(self) -> int:
        """Return how many lines it has received ever, good or bad."""
        totals = self._all_totals()
        probes = sum(count for name, count in totals.items() if name.startswith("probe."))
        return int(totals["statsd.metrics_received"] - probes)

    def said(self) -> str:
        """Return what it has logged."""
        return self._running().said()

    # When it holds it.

    def settle(self) -> None:
        """Return when it has read all that was sent to it before, by whichever way.

        Something more is sent each way and waited for. Each way keeps the order, also between two connections, since
        the server reads from all that have something for it by turns; but for one with more than a megabyte it needs
        several turns, so wait for what such a one has sent.
        """
        for protocol in PROTOCOLS:
            probe = f"probe.{protocol}{next(self._probes)}"
            until(partial(self._has_taken, probe, protocol), f"StatsD has read what came by {protocol}")

    def flush(self) -> None:
        """Return when all that it has read is flushed."""
        self._read_flushes()
        before = self._flushes
        until(lambda: self._read_flushes() > before, "StatsD has flushed")

    def send(self, lines: str, protocol: Protocol = "udp") -> None:
        """Send it lines as they are, in one packet."""
        data = lines.encode()
        if protocol == "udp":
            send_datagram(self.host, self.port, data)
        elif protocol == "tcp":
            with socket.create_connection((self.host, self.port), PATIENCE) as tcp:
                tcp.sendall(data)
        else:
            with socket.socket(socket.AF_UNIX) as unix:
                unix.settimeout(PATIENCE)
                unix.connect(self.path)
                unix.sendall(data)

    def _has_taken(self, probe: str, protocol: Protocol) -> bool:
        """Send a probe; again, if it has not been counted in a moment: datagrams may be lost."""
        with contextlib.suppress(OSError):
            self.send(f"{probe}:1|c\n", protocol)
            with contextlib.suppress(AssertionError):
                until(lambda: probe in self._all_totals(), "it is counted", 0.5)
                return True
        if not self._running().running:
            raise EndedEarlyError
        return False

    def _all_totals(self) -> Dict[str, float]:
        while True:
            before = self._read_flushes()
            totals = dict(self._flushed)
            live = self._ask_numbers("counters")
            if self._read_flushes() == before:  # else some of it may have been flushed in between, and be in both
                return {name: totals.get(name, 0) + live.get(name, 0) for name in [*totals, *live]}

    def _read_flushes(self) -> int:
        """Take in the flushes since the last time. Return how many there were ever."""
        with open(self._file, "rb") as file:
            file.seek(self._read)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._read += len(whole) + 1
            for line in whole.split(b"\n"):
                flush = read_numbers(line.decode())
                self._flushes += 1
                self._flushed_gauges = flush["gauges"]
                for name, count in flush["counters"].items():
                    self._flushed[name] += count
        return self._flushes

    def _ask_numbers(self, command: str) -> Dict[str, float]:
        return {name: read_numbers(value) for name, value in parse(self._ask(command)).items()}

    def _ask(self, command: str) -> str:
        answer = b""
        with socket.create_connection((self.host, self._management or 0), PATIENCE) as connection:
            connection.sendall(command.encode())
            while not answer.endswith(b"END\n\n"):
                part = connection.recv(1 << 16)
                assert part, f"StatsD hung up after {answer!r}."
                answer += part
        return answer.decode()

    def _configure(self) -> str:
        """Write the configuration and return its path."""
        path = self._folder / "configuration.json"
        at = {"address": self.host, "port": self.port}
        configuration = {
            "servers": [
                {"server": "./servers/udp", **at},
                {"server": "./servers/tcp", **at},
                {"server": "./servers/tcp", "socket": self.path},
            ],
            "mgmt_address": self.host,
            "mgmt_port": self._management,
            "backends": [str(self._folder / "flushes.js")],
            "flushes": str(self._file),
            "flushInterval": FLUSH_MILLISECONDS,
            "deleteCounters": True,  # so that a flush does not repeat all names for ever
            "automaticConfigReload": False,
        }
        path.write_text(json.dumps(configuration))
        return str(path)

    def _running(self) -> ServerProcess:
        assert self._process is not None
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop()


class EndedEarlyError(Exception):
    """The server has ended before it answered: most likely somebody has taken one of its ports."""


def parse(shown: str) -> Dict[str, str]:
    """Return the properties of an object as Node has shown it, each value as it is written there."""
    return {quoted or bare: value for quoted, bare, value in PROPERTY.findall(shown)}


def read_numbers(text: str) -> Any:
    """Read JSON with numbers as the server has them, which are doubles, also when they are written like ints."""
    return json.loads(text, parse_int=float)


def without_own(values: Mapping[str, float]) -> Dict[str, float]:
    """Leave out what the server and these tools have counted on their own behalf."""
    return {name: value for name, value in values.items() if not name.startswith(NOT_THE_REPORTERS)}
