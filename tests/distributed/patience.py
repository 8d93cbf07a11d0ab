"""Tapes with more patience: for programs of tests that are about what is counted, and not about deadlines.

Where a program ends, tapes waits some seconds for who has to confirm a last report or to make one, and not more. A
machine that is busy holds a process still for so long now and then, and what is lost then is no fault. So programs of
tests have deadlines that none of them reaches. Those whose deadlines are tested run as they are, with `HASTY` in their
environment.

`python -m tests.distributed.patience ARGUMENTS` is `python -m tapes.distributed ARGUMENTS` with patience.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import Any, Dict, Iterator, List

from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.reporting import Reporter

HASTY = {"HASTY": "1"}
"""The environment of a program with the deadlines that tapes has."""

SECONDS: Dict[str, Dict[str, Any]] = {
    "tapes.process.shutdown": {"EXIT_TIMEOUT": 40.0},
    "tapes.process.termination": {"EXIT_TIMEOUT": 40.0},
    "tapes.distributed.receiver": {"_HANDSHAKE_TIMEOUT": 20_000},  # milliseconds
    "tapes.distributed.link": {"FAREWELL": 30.0, "_GRACE": 60.0, "_SILENT": 20.0},
    "tapes.distributed.connection": {"_AGAIN": (0.05, 0.1)},
    "tapes.distributed.service": {"ORPHANED": 18.0, "REPORTING": 20.0, "_CATCHING_UP": (2.5, 20.0)},
    "tapes.distributed.driving": {"REPORTING": 20.0},
    "tapes.distributed.lifetime": {"FAREWELL_TIMEOUT": 6.0, "ORPHANED": 18.0},
    "tapes.distributed.succession": {"_LEAVING": 30.0, "_UNKNOWN": 10.0, "_FRESH": 60.0},
}
"""By what they are in each module."""

STOPPING = (DistributedRegistry.close, RegistryAggregator.stop, Reporter.stop)
STOP_TIMEOUT = 50.0


def be_patient() -> None:
    """Have patience from now on, in this process and in those that it forks, unless it is hasty."""
    if os.environ.get("HASTY"):
        return
    for name, seconds in SECONDS.items():
        for constant, value in seconds.items():
            _changed(import_module(name), constant, value)
    for stop in STOPPING:
        _changed(stop, "__defaults__", (STOP_TIMEOUT,))


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Have patience for a while."""
    before: List[Any] = [(import_module(name), constant) for name in SECONDS for constant in SECONDS[name]]
    before += [(stop, "__defaults__") for stop in STOPPING]
    values = [getattr(of, name) for of, name in before]
    be_patient()
    try:
        yield
    finally:
        for (of, name), value in zip(before, values):
            setattr(of, name, value)


def _changed(of: Any, name: str, value: Any) -> None:
    assert hasattr(of, name), f"{of} has no {name}."
    setattr(of, name, value)


if __name__ == "__main__":
    from tapes.distributed.__main__ import main  # which only those need that run it

    be_patient()
    sys.exit(main())
