"""One run of a reporter, from a start to its stop."""

from __future__ import annotations

import os
from typing import Callable, Optional

from tapes.reporting.wakeup import Wakeup


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

    @property
    def is_stopping(self) -> bool:
        """Whether it has been asked to end."""
        return self.stopping.is_set()

    def request_stop(self) -> None:
        """Ask for the end, without waiting for it. From any thread or signal handler."""
        self.stopping.set()
        self.interrupt()
