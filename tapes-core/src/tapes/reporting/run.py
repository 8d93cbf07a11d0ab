"""One run of a reporter, from a start to its stop."""

from __future__ import annotations

import os
from typing import Callable, Optional

from tapes.reporting.wakeup import Wakeup


class Run:
    """One run of a reporter. Each thread of a reporter works for one run, and ends with it.

    So a thread that hung in an abandoned run does not interfere with a later run when it wakes up.
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
        """True if it continues a run of the parent process after a fork."""
        self.pid = os.getpid()
        """The process that it belongs to. A run of another process does nothing here."""
        self.starter: Optional[int] = None
        """The thread inside `start()`, None if there is none."""
        self.worker: Optional[int] = None
        """The thread that reports for this run, None if there is none."""
        self.stopping = Wakeup()
        """Set when the reporter must make its last report."""
        self.done = Wakeup()
        """Set when everything has been closed."""
        self.deferred = False
        """True if the work begins in each child of this process, and not here."""
        self.launched = False
        """True once the resources are open and the work has begun."""
        self.closing = False
        """True once a thread closes the resources, or has closed them."""
        self.abandoned = False
        """True once it was given up because it did not end in time: it must not report any more."""

    @property
    def over(self) -> bool:
        """True when the next run may start: no thread opens or closes anything for this one any more."""
        return self.done.is_set() or (self.abandoned and not self.closing and self.starter is None)

    @property
    def is_stopping(self) -> bool:
        """True once it was asked to stop."""
        return self.stopping.is_set()

    def request_stop(self) -> None:
        """Ask it to stop, without waiting. Safe in any thread or signal handler."""
        self.stopping.set()
        self.interrupt()
