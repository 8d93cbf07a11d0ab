"""A worker that keeps a journal of what it publishes, for whoever kills it.

`journaling.py ADDRESS INTERVAL NUMBER JOURNAL` records on and on. With an interval of 0 it does what it is told.
It records as many events as a line says, or publishes if it says so, and answers with an empty line.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple, Optional

from tapes.distributed.reporter import ZmqReporter
from tapes.registry import Registry
from tests.distributed.faults.events import Events

PAUSE = 0.001  # seconds between two batches
BATCH = 5  # events

_ENTRIES = struct.Struct("<QQ")


class Journal(NamedTuple):
    """What a worker has done so far, which is there when it is not."""

    recorded: int = 0
    """How many events it has recorded, or begun to."""
    published: int = 0
    """How many it had recorded when the last of its reports that has been made began."""

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read it."""
        return cls(*_ENTRIES.unpack(path.read_bytes()))


class JournalingReporter(ZmqReporter):
    """Notes what has been published."""

    journal: Writer
    events: Events

    def report(self) -> None:
        """Publish, and note it."""
        before = self.events.total
        super().report()
        self.journal.write(published=before)


class Writer:
    """Writes a journal to memory that outlives the process."""

    def __init__(self, path: Path) -> None:
        """Begin a new one."""
        path.write_bytes(_ENTRIES.pack(0, 0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _ENTRIES.size)

    def write(self, *, recorded: Optional[int] = None, published: Optional[int] = None) -> None:
        """Make an entry."""
        for place, number in enumerate((recorded, published)):
            if number is not None:
                self._memory[8 * place : 8 * place + 8] = struct.pack("<Q", number)


def end_with_the_test() -> None:
    """End when there is nobody any more who would kill this process."""
    sys.stdin.read()
    os._exit(1)


def main(address: str, interval: float, number: int, path: Path) -> None:
    """Work until it is killed."""
    registry = Registry()
    events = Events(registry)
    events.begin(number)
    own = registry.counter("own", {"of": str(number)})
    reporter = JournalingReporter(interval or 1.0, address, registry)
    reporter.events, reporter.journal = events, Writer(path)

    def record(more: int) -> None:
        reporter.journal.write(recorded=events.total + more)
        events.record(more)
        own.increment(more)

    if interval:
        threading.Thread(target=end_with_the_test, daemon=True).start()
        reporter.start()
        while True:
            record(BATCH)
            time.sleep(PAUSE)
    for line in sys.stdin:
        if line == "publish\n":
            reporter.report()
        else:
            record(int(line))
        sys.stdout.write("\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
