"""The end of a process: it stops all running reporters at the same time."""

from __future__ import annotations

import atexit
import os
import time
from typing import TYPE_CHECKING, Callable, Dict, List

if TYPE_CHECKING:
    from typing import Protocol

    class Runner(Protocol):
        """The part of a `tapes.reporting.Reporter` that is used here."""

        def start(self) -> None:
            """Begin a run."""

        def stop(self, timeout: float) -> None:
            """End the run within `timeout` seconds."""

    class Running(Protocol):
        """The part of a `tapes.reporting.run.Run` that is used here."""

        pid: int
        """The process that it belongs to."""

        @property
        def is_stopping(self) -> bool:
            """True once it was asked to stop."""
            ...

        def request_stop(self) -> None:
            """Ask it to stop, without waiting."""

        def __hash__(self) -> int: ...


EXIT_TIMEOUT = 5.0
"""Seconds that all reporters together may take for their last reports when the interpreter exits."""

alive: Dict[Running, Runner] = {}
"""The runs that have not ended, with their reporters. It keeps a running reporter alive without other references."""

after_last_reports: List[Callable[[], None]] = []
"""Functions to call at the end of a process, after the reporters were stopped."""

_ending_pid = 0


def is_ending() -> bool:
    """Return whether this process is ending, and stops its reporters for that reason."""
    return _ending_pid == os.getpid()


def has_survived() -> None:
    """Note that this process goes on after all."""
    global _ending_pid
    _ending_pid = 0


def stop_all() -> None:
    """Stop every reporter of this process that is still running, all at the same time.

    An error of one `stop()` is logged, and does not affect the others.
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
        except Exception:  # noqa: PERF203  foreign reporters may override stop()
            import logging

            logging.getLogger("tapes.reporting").exception("%r could not be stopped.", reporter)
    for function in after_last_reports:
        function()


atexit.register(stop_all)
