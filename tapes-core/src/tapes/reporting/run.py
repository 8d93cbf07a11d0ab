"""One run of a reporter, from a start to its stop, and what becomes of runs when the process ends."""

from __future__ import annotations

import atexit
import os
import time
from typing import TYPE_CHECKING, Callable, Dict, List, Optional

from tapes.reporting.wakeup import Wakeup

if TYPE_CHECKING:
    from typing import Protocol

    class Runner(Protocol):
        """What runs, as far as the end of the process needs it: a `tapes.reporting.Reporter`."""

        def start(self) -> None:
            """Begin a run."""

        def stop(self, timeout: float) -> None:
            """End the run within `timeout` seconds."""


class Run:
    """One run of a reporter. Whoever works for a reporter works for one run of it, and ends with that run.

    So a thread that hangs in a run which has been given up knows, when it wakes, that a later run is not its business.
    """

    __slots__ = (
        "abandoned",
        "closing",
        "deferred",
        "done",
        "in_child",
        "interrupt",
        "launched",
        "pid",
        "starter",
        "stopping",
        "worker",
    )

    def __init__(self, interrupt: Callable[[], None], *, in_child: bool = False) -> None:
        self.interrupt = interrupt
        self.in_child = in_child
        """Whether it goes on with a run of the parent process after a fork."""
        self.pid = os.getpid()
        """The process that it belongs to. In another one it is a ghost."""
        self.starter: Optional[int] = None
        """The thread that is inside `start()`."""
        self.worker: Optional[int] = None
        """The thread that is making a report, or that does nothing else."""
        self.stopping = Wakeup()
        """Set when the reporter is to make its last report."""
        self.done = Wakeup()
        """Set when everything has been closed."""
        self.deferred = False
        """Whether it begins in each child of this process, and not here."""
        self.launched = False
        """Whether the resources are open and the work has begun."""
        self.closing = False
        """Whether somebody closes the resources, or has closed them."""
        self.abandoned = False
        """Whether it was given up because it did not end in time: it may not report any more."""

    @property
    def over(self) -> bool:
        """Whether another run may begin: nobody opens or closes anything on behalf of this one any more."""
        return self.done.is_set() or (self.abandoned and not self.closing and self.starter is None)

    def request_stop(self) -> None:
        """Ask for the end, without waiting for it. From any thread or signal handler."""
        self.stopping.set()
        self.interrupt()


EXIT_TIMEOUT = 5.0
"""How many seconds all reporters together may take for their last reports when the interpreter exits."""

alive: Dict[Run, Runner] = {}
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
