"""collectd with its plugin that reads StatsD, which is strict where the original lets much pass."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import tempfile
from pathlib import Path
from typing import Dict, List, Optional

from tests.servers.installed import collectd_command
from tests.servers.processes import PATIENCE, ServerProcess, free_port, send_datagram, until

ATTEMPTS = 5  # at a start, each with another port
HOST = "tests"

# It forgets a value that has not been read again for so many intervals, which is a moment for a busy machine.
CONFIGURATION = """
BaseDir "{folder}"
PIDFile "{folder}/pid"
Hostname "{host}"
FQDNLookup false
Interval 0.1
Timeout 36000
ReadThreads 1
WriteThreads 1
LoadPlugin logfile
<Plugin logfile>
    LogLevel err
    File "{folder}/log"
    Timestamp false
    PrintSeverity true
</Plugin>
LoadPlugin unixsock
<Plugin unixsock>
    SocketFile "{folder}/socket"
</Plugin>
LoadPlugin statsd
<Plugin statsd>
    Host "127.0.0.1"
    Port "{port}"
</Plugin>
"""

REJECTED = re.compile(r'^\[error\] statsd plugin: Unable to parse line: "(.*)"$', re.MULTILINE)
PROBE = "probe without a value "


class Collectd:
    """A collectd that takes StatsD lines by UDP, while it is entered. It needs no privileges."""

    port: int
    """For UDP."""

    def __init__(self) -> None:
        """Do nothing yet."""
        self._command = collectd_command()
        self._probes = itertools.count()
        self._process: Optional[ServerProcess] = None

    def __enter__(self) -> Collectd:
        """Choose a port that is free, and start. Return when it reads."""
        with contextlib.ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapes-collectd-")))
            stack.callback(self._end)
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End it and remove its folder."""
        self._stack.close()

    def send(self, lines: str) -> None:
        """Send it lines as they are, in one packet."""
        send_datagram("127.0.0.1", self.port, lines.encode())

    def rejected(self) -> List[str]:
        """Return the lines that it could not read ever, of all that were sent before.

        A line that it has to reject is sent last, and waited for: datagrams keep their order on the way to one socket.
        """
        self.settle()
        return [line for line in self._all_rejected() if not line.startswith(PROBE)]

    def settle(self) -> None:
        """Return when it has read all that was sent to it before."""
        probe = f"{PROBE}{next(self._probes)}"
        until(lambda: self._has_rejected(probe), "collectd has read what was sent")

    def gauges(self) -> Dict[str, float]:
        """Return the gauges that it holds, of all that were sent before, with the seven digits that it shows."""
        return {name: self._value(f"gauge-{name}") for name in self._names("gauge-")}

    def counters(self) -> List[str]:
        """Return the names of the counters that it holds, of all that were sent before."""
        return self._names("derive-")

    def _names(self, kind: str) -> List[str]:
        # It shows what it has dispatched at an interval. What was read before this probe is dispatched with it.
        self.settle()
        probe = f"probe{next(self._probes)}"
        self.send(f"{probe}:1|g")
        until(lambda: f"gauge-{probe}" in self._listed(), "collectd shows what it has read")
        listed = [name for name in self._listed() if not name.startswith("gauge-probe")]
        return sorted(name[len(kind) :] for name in listed if name.startswith(kind))

    def _listed(self) -> List[str]:
        return [line.split(f" {HOST}/statsd/", 1)[-1] for line in self._ask("LISTVAL")]

    def _value(self, name: str) -> float:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return float(self._ask(f'GETVAL "{HOST}/statsd/{quoted}"')[0].partition("=")[2])

    def _ask(self, command: str) -> List[str]:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.settimeout(PATIENCE)
            unix.connect(str(self._folder / "socket"))
            unix.sendall(f"{command}\n".encode())
            with unix.makefile(encoding="utf-8", errors="replace", newline="\n") as answer:
                status = answer.readline()
                count = int(status.split()[0])
                assert count >= 0, f"collectd answers {command} with {status}"
                return [answer.readline().rstrip("\n") for _ in range(count)]

    def _start(self) -> None:
        for _ in range(ATTEMPTS):
            self.port = free_port()
            configuration = self._folder / "configuration"
            configuration.write_text(CONFIGURATION.format(folder=self._folder, host=HOST, port=self.port))
            process = self._process = ServerProcess(
                [*self._command, "-f", "-C", str(configuration)], self._folder / "output"
            )
            with contextlib.suppress(EndedEarlyError):
                self.settle()
                until((self._folder / "socket").exists, "collectd answers")
                return
            process.stop()
            problem = f"{process.said()}{self._log()}"
            (self._folder / "log").unlink(missing_ok=True)
        raise AssertionError(f"collectd does not start:\n{problem}")

    def _has_rejected(self, probe: str) -> bool:
        """Send a probe; again, if it is not in the log in a moment: datagrams may be lost."""
        with contextlib.suppress(OSError):
            self.send(probe)
            with contextlib.suppress(AssertionError):
                until(lambda: probe in self._all_rejected(), "it is rejected", 0.5)
                return True
        assert self._process is not None
        # One whose port is taken logs that, and goes on without it.
        if not self._process.running or "bind" in self._log():
            raise EndedEarlyError
        return False

    def _all_rejected(self) -> List[str]:
        return REJECTED.findall(self._log())

    def _log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def _end(self) -> None:
        if self._process is not None:
            self._process.stop()


class EndedEarlyError(Exception):
    """The server has ended before it answered, or somebody has taken its port."""
