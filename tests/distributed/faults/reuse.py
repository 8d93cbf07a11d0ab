"""Workers that follow one another with the same number, in a namespace of processes of their own.

`reuse.py ADDRESS PORT` has an aggregator that serves its page at the port, and gives nobody up for being silent. Told
is, as JSON, what the page shows when each worker but the last has ended, in turn by SIGTERM and killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.reporting.http import HTTPReporter
from tests.distributed.faults.events import Events, Picture, shown
from tests.distributed.faults.processes import stats_at
from tests.servers.processes import idle, until

NUMBER = 5000
"""Of all the workers."""

RECORDED = [(worker, 100 * (worker + 1)) for worker in range(4)]
"""Who records how many events."""

LAST = Path("/proc/sys/kernel/ns_last_pid")
"""Where the system keeps the number that it has given out last."""

_DAY = 86_400.0


def main(address: str, port: int) -> None:
    """Let workers come and go."""
    registry = DistributedRegistry(address, interval=0.1)
    events = Events(registry)

    with RegistryAggregator(HTTPReporter(port), address, lease=_DAY, by_worker=True):
        for place, (worker, total) in enumerate(RECORDED):
            if place:
                os.kill(NUMBER, signal.SIGTERM if place % 2 else signal.SIGKILL)
                os.waitpid(NUMBER, 0)
            if fork() == 0:
                work(registry, events, worker, total)
            expected = Picture.after(RECORDED[: place + 1])
            until(lambda: Picture.of(stats_at(port)) == expected, "all that they have recorded is seen")  # noqa: B023
        until(lambda: only_the_last_is_known(port), "the others are known to be gone")
        sys.stdout.write(json.dumps(stats_at(port)))
        os.kill(NUMBER, signal.SIGKILL)


def only_the_last_is_known(port: int) -> bool:
    """Whether the others are known to be gone, and the last has told of its gauge, which comes after what it counts."""
    stats = stats_at(port)
    return (stats["tapes"]["aggregator"]["workers"]["value"], shown(stats, "workers", "value")) == (1, 1)


def fork() -> int:
    """Fork a process with the number that all have. See pid_namespaces(7)."""
    while True:
        LAST.write_text(str(NUMBER - 1))
        pid = os.fork()
        if pid in (0, NUMBER):
            return pid
        os.kill(pid, signal.SIGKILL)  # another thread has got the number
        os.waitpid(pid, 0)


def work(registry: DistributedRegistry, events: Events, worker: int, total: int) -> NoReturn:
    """Be a worker until it ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    registry.connect()
    events.begin(worker)
    events.record(total)
    idle()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
