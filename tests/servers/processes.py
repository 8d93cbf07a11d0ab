"""A server in a process of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds within which everything has to happen that is waited for. Generous: machines are busy."""

CHOSEN_BY_TESTS = range(20_000, 32_000)
"""Ports that systems do not give to those who ask for any, so that none is taken between its choice and its use."""

LANES = 16
"""Processes that run tests at a time, each of which has its own share of these ports."""


class ServerProcess:
    """A process that serves until it is stopped, and that does not outlive the tests, however they end."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Optional[Mapping[str, str]] = None,
        leads_group: bool = False,
        folder: Optional[Path] = None,
    ) -> None:
        """Start `command` in a folder. What it writes is appended to `log`.

        If it leads a group, what it starts belongs to that.
        """
        setpriv = shutil.which("setpriv")  # of util-linux; without it tests that are killed leave their servers behind
        tied = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        self.log = log
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [*tied, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=leads_group,
            )

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def status(self) -> Optional[int]:
        """Its exit status, None as long as it runs."""
        return self._process.poll()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        self.kill()

    def kill(self) -> None:
        """End it with no chance to do anything more."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Hold it still, so that it takes and answers nothing. Return when it stands."""
        self._process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"It has ended:\n{self.said()}"

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def said(self) -> str:
        """Return what it has written."""
        return self.log.read_text(errors="replace")


def environment(**more: str) -> Dict[str, str]:
    """Return the environment in which a process finds what the tests do, and what more there is."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry), **more}


def ports_of(lane: str) -> List[int]:
    """Return the ports that a process chooses from, given what pytest-xdist calls it, in an order of its own."""
    ports = list(CHOSEN_BY_TESTS[int(lane[2:]) % LANES :: LANES])
    random.SystemRandom().shuffle(ports)
    return ports


_ports = itertools.cycle(ports_of(os.environ.get("PYTEST_XDIST_WORKER", "gw0")))


def free_port() -> int:
    """Return a port of loopback that is free for TCP and UDP, another one each time.

    Another program may take it before it is used: whoever uses it tries again with another one then.
    """
    while True:
        port = next(_ports)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def is_there(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # it may end while it is looked at
        return False


def states(pid: int) -> Dict[int, str]:
    """Return the states of the threads of a process, by their numbers, as the letters that are in proc(5)."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):  # it has ended by now
            stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
            found[int(thread)] = stat.rpartition(")")[2].split()[0]
    return found


def others_wait() -> bool:
    """Whether all other threads of this process wait for something: one that has been woken does not."""
    here = threading.get_native_id()
    return all(state == "S" for thread, state in states(os.getpid()).items() if thread != here)


def send_datagram(host: str, port: int, data: bytes) -> None:
    """Send one datagram. Raises ConnectionRefusedError if nobody takes it at the port, on the same host."""
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.connect((host, port))
        udp.send(data)
        refused = udp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if refused:
            raise OSError(refused, os.strerror(refused))


def idle() -> NoReturn:
    """Do nothing until a signal ends that.

    In small pieces: a signal that comes just as a process begins to wait does not wake it.
    """
    while True:
        time.sleep(0.02)


def until(happened: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until something is true; fail if it does not become so."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, f"Within {patience:g} s it has not happened that {what}."
        time.sleep(0.005)


def awaited(read: Callable[[], T], expected: T) -> T:
    """Return what is read once that is what is expected, or what it is when it has not become so in time.

    It is not read once more: what passes, like a gauge of a worker whose lease is short, would not be found again.
    """
    deadline = time.monotonic() + PATIENCE
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.005)
    return found
