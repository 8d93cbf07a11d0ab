"""Many workers that live shortly: `crowd.py ADDRESS FIRST END`.

Each is forked, records a few events under a number of its own, from FIRST on and below END, and exits. Several live at
the same time. Their parent, which records nothing, makes the metrics before, as programs do that fork workers.
"""

from __future__ import annotations

import os
import sys

from tapes.distributed.registry import DistributedRegistry
from tests.distributed.faults.events import Events
from tests.distributed.patience import be_patient

EACH = 3
"""Events of a worker."""

AT_ONCE = 16


def main(address: str, first: int, end: int) -> None:
    """Fork them, and wait until all have exited well."""
    be_patient()
    registry = DistributedRegistry(address)
    events = Events(registry)
    living = set()
    for number in range(first, end):
        pid = os.fork()
        if pid == 0:
            registry.connect()
            events.begin(number)
            events.record(EACH)
            if number % 20 == 0:
                sys.exit()
            registry.close()
            os._exit(0)  # to take interpreters apart would take longer than all the rest
        living.add(pid)
        if len(living) >= AT_ONCE:
            living.remove(ended())
    while living:
        living.remove(ended())


def ended() -> int:
    """Wait until one has exited, and return its number in the system."""
    pid, status = os.wait()
    assert status == 0, f"A worker has ended with {status}."
    return pid


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
