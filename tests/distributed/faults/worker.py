"""A worker that does what it is told: `worker.py ADDRESS INTERVAL NUMBER WIDTH`.

It reads one command a line and answers each with how many events it has recorded:

    record N    record so many
    begin       record on and on, in a thread
    pause       stop that
    publish     wait until all that has been recorded is published, and in the hands of the system
    end         return from the program
    raise       let an exception end it

SIGTERM makes it exit as a program does that handles it. When it ends it tells how many there were.
WIDTH is how many further histograms it has. Each has a new value ten times a second, while it records on and on.
"""

from __future__ import annotations

import select
import signal
import sys
import threading
import time
from typing import Callable, Dict, Iterator, NoReturn

from tapes.distributed.registry import DistributedRegistry
from tests.distributed.faults.events import Events
from tests.distributed.patience import be_patient
from tests.servers.processes import others_wait, until

PAUSE = 0.003  # seconds between two batches
BATCH = 7  # events
WIDE_PAUSE = 0.1  # seconds between two values of a further histogram


class Recorder:
    """Records, in a thread or when it is told."""

    def __init__(self, registry: DistributedRegistry, number: int, width: int) -> None:
        """Record nothing yet."""
        self._events = Events(registry)
        self._events.begin(number)
        self._wide = [registry.histogram(f"wide.{place}") for place in range(width)]
        self._pausing = threading.Event()
        self._pausing.set()
        self._thread = threading.Thread(target=self._run)

    @property
    def total(self) -> int:
        """How many events there have been."""
        return self._events.total

    def record(self, number: int) -> None:
        """Record so many."""
        self._events.record(number)

    def begin(self) -> None:
        """Record on and on."""
        self._pausing.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Stop that."""
        if not self._pausing.is_set():
            self._pausing.set()
            self._thread.join()

    def _run(self) -> None:
        due = 0.0
        while not self._pausing.wait(PAUSE):
            self.record(BATCH)
            if time.monotonic() >= due:
                due = time.monotonic() + WIDE_PAUSE
                for place, histogram in enumerate(self._wide):
                    histogram.update(place + self.total % 100)


def tell(total: int) -> None:
    """Answer."""
    sys.stdout.write(f"{total}\n")
    sys.stdout.flush()


def told() -> Iterator[str]:
    """Yield each line that it is told.

    It waits in small pieces: a signal that comes just when it begins to wait does not wake it.
    """
    while True:
        # Each command is answered before the next, so none can be in the buffer of sys.stdin.
        if select.select([sys.stdin], [], [], 0.02)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            yield line


def await_reports(registry: DistributedRegistry) -> None:
    """Wait for a report that began later, and until the thread of 0MQ has nothing more to hand to the system."""
    reporter = registry._publisher
    enough = reporter.reports + 2
    until(lambda: reporter.reports >= enough, "it has reported")
    until(others_wait, "all of it is sent")


def obey(registry: DistributedRegistry, recorder: Recorder) -> None:
    """Do what it is told, until it is told to end."""
    for line in told():
        command, _, argument = line.strip().partition(" ")
        if command == "end":
            return
        if command == "raise":
            raise RuntimeError("The worker was told to fail.")
        if command == "record":
            recorder.record(int(argument))
        else:
            simple: Dict[str, Callable[[], None]] = {
                "begin": recorder.begin,
                "pause": recorder.pause,
                "publish": lambda: await_reports(registry),
            }
            simple[command]()
        tell(recorder.total)


def main(address: str, interval: float, number: int, width: int) -> None:
    """Work."""

    def leave(*_: object) -> NoReturn:
        sys.exit(0)

    be_patient()
    signal.signal(signal.SIGTERM, leave)
    registry = DistributedRegistry(address, interval=interval, insecure=True)
    recorder = Recorder(registry, number, width)
    registry.connect()
    try:
        tell(recorder.total)
        obey(registry, recorder)
    finally:
        recorder.pause()
        tell(recorder.total)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
