"""The end of a process: what still runs is stopped, all of it at the same time."""

from __future__ import annotations

import atexit
import os
import time
from typing import TYPE_CHECKING, Callable, Dict, List

if TYPE_CHECKING:
    from typing import Protocol

    class Runner(Protocol):
        """What runs, as far as the end of the process needs it: a `tapes.reporting.Reporter`."""

        def start(self) -> None:
            """Begin a run."""

        def stop(self, timeout: float) -> None:
            """End the run within `timeout` seconds."""

    class Running(Protocol):
        """One run of it, from a start to its stop: a `tapes.reporting.run.Run`."""

        pid: int
        """The process that it belongs to."""

        @property
        def is_stopping(self) -> bool:
            """Whether it has been asked to end."""
            ...

        def request_stop(self) -> None:
            """Ask for the end, without waiting for it."""

        def __hash__(self) -> int: ...


EXIT_TIMEOUT = 5.0
"""How many seconds all reporters together may take for their last reports when the interpreter exits."""

alive: Dict[Running, Runner] = {}
"""The runs that have not ended, and whose they are. It keeps a running reporter alive that nobody else refers to."""

after_last_reports: List[Callable[[], None]] = []
"""Is called at the end of a process, when the reporters have been stopped."""

_ending_pid = 0


def is_ending() -> bool:
    """Whether this process is about to end, and reporters are stopped for that reason."""
    return _ending_pid == os.getpid()


def stop_all() -> None:
    """Stop every reporter of this process that is still running, all at the same time.

    One whose `stop()` raises is logged, and costs the others nothing.
    """
    global _ending_pid
    pid = _ending_pid = os.getpid()
    unfinished = [(run, reporter) for run, reporter in list(alive.items()) if run.pid == pid]
    for run, _ in unfinished:
        run.request_stop()
    deadline = time.monotonic() + EXIT_TIMEOUT
    for _, reporter in unfinished:
        try:
            reporter.stop(max(0.0, deadline - time.monotonic()))
        except Exception:  # noqa: PERF203  reporters of others override it
            import logging

            logging.getLogger("tapes.reporting").exception("%r could not be stopped.", reporter)
    for function in after_last_reports:
        function()


atexit.register(stop_all)
