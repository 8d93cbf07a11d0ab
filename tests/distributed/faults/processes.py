"""Workers and aggregators in processes of their own, which tests start, hold still, kill and ask."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from tests.distributed.faults.events import Picture, values, wrong_spreads
from tests.distributed.patience import HASTY
from tests.distributed.servers.serving import accepts
from tests.servers.processes import PATIENCE, ServerProcess, awaited, environment, free_port, until

ATTEMPTS = 5  # at a start, each with another port
SOON = 0.1
"""Seconds between the flushes of workers."""

_PAUSE = 0.01  # seconds between two looks of a watcher


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """Provide a folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tz", dir="/tmp") as path:
        yield Path(path)


class Aggregator:
    """An aggregator as a supervisor runs it, at the same address and the same port at every start."""

    def __init__(
        self,
        folder: Path,
        *,
        state: Optional[Path] = None,
        address: str = "",
        within: Sequence[str] = (),
    ) -> None:
        """Start nothing yet. Without an `address` it is in the folder. `within` comes before the command."""
        self.address = address or f"ipc://{folder}/a"
        """Where workers connect to."""
        self._folder = folder
        self._table = f'socket_addr = "{self.address}"\ninsecure = true\n'
        if state is not None:
            self._table += f'state_path = "{state}"\n'
        self._within = within
        self._port: Optional[int] = None
        self._process: Optional[ServerProcess] = None

    @property
    def process(self) -> ServerProcess:
        """The process that was started last."""
        assert self._process is not None, "It has not been started."
        return self._process

    @property
    def socket(self) -> Path:
        """The file of its address."""
        return Path(self.address[len("ipc://") :])

    def start(self) -> None:
        """Start it, and return when its page is there."""
        for _ in range(ATTEMPTS):
            port = self._port or free_port()
            self._process = ServerProcess(self._command(port), self._folder / "log", environment=environment())
            until(lambda: accepts(port) or not self.process.running, "the aggregator serves its page")  # noqa: B023
            if self.process.running:
                self._port = port
                return
            assert "in use" in self.said(), f"It does not start:\n{self.said()}"
        raise AssertionError(f"It does not start:\n{self.said()}")

    def refusal(self) -> str:
        """Start another one in the same place, which cannot be, and return what that has said before it ended."""
        ended = subprocess.run(
            self._command(free_port()), env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert ended.returncode == 1, f"It has ended with {ended.returncode}:\n{ended.stderr}"
        return ended.stderr

    def kill(self) -> None:
        """End it with no chance to do anything more."""
        self.process.kill()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self.process.stop()

    def said(self) -> str:
        """Return its log."""
        log = self._folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def stats(self) -> Dict[str, Any]:
        """Fetch its page."""
        assert self._port is not None, "It has not been started."
        return stats_at(self._port)

    def own(self, name: str) -> Any:
        """Return a figure about itself."""
        return self.stats()["tapes"]["aggregator"][name]["value"]

    def picture(self) -> Picture:
        """Return what it shows."""
        return Picture.of(self.stats())

    def await_picture(self, expected: Picture) -> Picture:
        """Return what it shows once that is what is expected, or when it has not become so in time."""
        return awaited(self.picture, expected)

    def await_own(self, name: str, expected: object) -> Any:
        """Return a figure about itself once that is what is expected, or when it has not become so in time."""
        return awaited(lambda: self.own(name), expected)

    def end(self) -> None:
        """Make sure that nothing is left of it."""
        if self._process is not None:
            self._process.kill()

    def _command(self, port: int) -> List[str]:
        config = self._folder / f"aggregator-{port}.toml"
        config.write_text(f"[reporters.http]\nport = {port}\n\n[aggregator]\n{self._table}")
        return [*self._within, sys.executable, "-m", "tests.distributed.patience", "--config", str(config)]


class Worker:
    """A worker that does what the test tells it; see `worker.py`."""

    def __init__(
        self, address: str, number: int, log: Path, *, interval: float = SOON, width: int = 0, hasty: bool = False
    ) -> None:
        """Start it, and return when it has connected. If it is hasty, it has the deadlines that tapes has."""
        self.number = number
        self.total = 0
        """How many events it has recorded, as far as it has said."""
        command = [sys.executable, "-m", "tests.distributed.faults.worker"]
        with open(log, "ab") as output:
            self._process = subprocess.Popen(
                [*command, address, str(interval), str(number), str(width)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                bufsize=1,
                env=environment(**(HASTY if hasty else {})),
            )
        self._hear()

    @property
    def pid(self) -> int:
        """Its number in the system."""
        return self._process.pid

    @property
    def recorded(self) -> Tuple[int, int]:
        """Who has recorded, and how much."""
        return self.number, self.total

    def record(self, number: int) -> None:
        """Let it record so many events."""
        self.tell(f"record {number}")

    def begin(self) -> None:
        """Let it record on and on."""
        self.tell("begin")

    def pause(self) -> None:
        """Let it stop that."""
        self.tell("pause")

    def tell(self, command: str) -> None:
        """Tell it a command, and wait until it has done that. When it ends, wait for that too."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._hear()

    def leave(self, command: str = "end") -> int:
        """Tell it to end, wait until it has, and return its exit status."""
        self.tell(command)
        return self._ended()

    def terminate(self) -> int:
        """Send SIGTERM, wait until it has ended, and return its exit status."""
        self._process.terminate()
        self._hear()
        return self._ended()

    def kill(self) -> int:
        """End it with no chance to do anything more."""
        self._process.kill()
        return self._ended()

    def end(self) -> None:
        """Make sure that nothing is left of it."""
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._ended()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if answer:
            self.total = int(answer)

    def _ended(self) -> int:
        status = self._process.wait(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()
        return status


class Site:
    """An aggregator and its workers, of which none outlives the test."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        """Start nothing yet."""
        self.folder = folder
        self.workers: List[Worker] = []
        """All that there have been."""
        self._stack = stack

    def aggregator(self, *, state: Optional[Path] = None, address: str = "", within: Sequence[str] = ()) -> Aggregator:
        """Return an aggregator that has not been started."""
        aggregator = Aggregator(self.folder, state=state, address=address, within=within)
        self._stack.callback(aggregator.end)
        return aggregator

    def started(self, *, state: Optional[Path] = None, address: str = "", within: Sequence[str] = ()) -> Aggregator:
        """Return an aggregator that runs."""
        aggregator = self.aggregator(state=state, address=address, within=within)
        aggregator.start()
        return aggregator

    def check(self, aggregator: Aggregator) -> None:
        """Check that it shows in time all that the workers have recorded that there have been."""
        shown = aggregator.await_picture(self.recorded)
        assert shown == self.recorded, f"{shown} is shown of {self.recorded}."

    def worker(self, address: str, *, interval: float = SOON, width: int = 0, hasty: bool = False) -> Worker:
        """Start another worker."""
        log = self.folder / "workers.log"
        worker = Worker(address, len(self.workers), log, interval=interval, width=width, hasty=hasty)
        self._stack.callback(worker.end)
        self.workers.append(worker)
        return worker

    @property
    def recorded(self) -> Picture:
        """What has to be seen of all workers that there have been."""
        return Picture.after(worker.recorded for worker in self.workers)

    def wrong_spreads(self, stats: Dict[str, Any]) -> List[str]:
        """Return what is wrong with the distributions of all that they have recorded."""
        return wrong_spreads(stats, [each for worker in self.workers for each in values(*worker.recorded)])

    def said(self) -> str:
        """Return the log of the workers."""
        return (self.folder / "workers.log").read_text()


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Provide a place for an aggregator and workers."""
    with short_folder() as folder, contextlib.ExitStack() as stack:
        yield Site(folder, stack)


class Watcher(threading.Thread):
    """Reads the page of an aggregator again and again while it is entered, whenever there is one."""

    def __init__(self, aggregator: Aggregator) -> None:
        """Do nothing yet."""
        super().__init__(daemon=True)
        self.seen: List[Picture] = []
        """What was shown, one after the other."""
        self._aggregator = aggregator
        self._stopping = threading.Event()

    def run(self) -> None:
        """Read."""
        while not self._stopping.wait(_PAUSE):
            with contextlib.suppress(OSError):
                self.seen.append(self._aggregator.picture())

    def await_more(self, number: int = 5) -> None:
        """Return when it has read so often again."""
        enough = len(self.seen) + number
        until(lambda: len(self.seen) >= enough, "the page is answered")

    def went_down(self) -> List[str]:
        """Return where something was less than what was read before."""
        return [
            f"{later} was read after {earlier}"
            for earlier, later in zip(self.seen, self.seen[1:])
            if later.is_below(earlier)
        ]

    def __enter__(self) -> Watcher:
        """Begin."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._stopping.set()
        self.join(PATIENCE)


def stats_at(port: int) -> Dict[str, Any]:
    """Fetch the page of an aggregator."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
        stats: Dict[str, Any] = json.loads(answer.read())
    return stats


def await_writing(state: Path) -> None:
    """Return when the state of an aggregator has been written once more."""
    before = _version(state)
    until(lambda: _version(state) not in (None, before), "the state is written")


def _version(path: Path) -> Optional[Tuple[int, int]]:
    """Return what tells one content of a file from the next, None if there is none."""
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def resident(pid: int) -> int:
    """Return how many bytes of memory a process has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def open_files(pid: int) -> int:
    """Return how many files a process has open, sockets included."""
    return len(os.listdir(f"/proc/{pid}/fd"))
