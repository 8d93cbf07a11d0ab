"""A reporter that keeps its snapshots in memory."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, for example by tapes.config

from __future__ import annotations

from datetime import timedelta
from typing import Any, List, Optional, Union

from tapes.clock import Clock
from tapes.encoding.tree import tree
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.snapshot import Snapshot


class MemoryReporter(ScheduledReporter):
    """Appends each snapshot to `snapshots`, for tests. It keeps all of them, so do not use it in production."""

    def __init__(
        self,
        interval: Union[timedelta, float] = 10.0,
        registry: Optional[Registry] = None,
        *,
        clock: Optional[Clock] = None,
    ) -> None:
        """Take a snapshot of `registry` (by default the process-wide one) every `interval`, a timedelta or seconds.

        Raises ReporterOptionError for an invalid interval.
        """
        super().__init__(interval, registry, clock=clock)
        self.snapshots: List[Snapshot] = []
        """The snapshots, in order. Kept over starts and stops; a test may clear the list."""

    def report(self) -> None:
        """Append a snapshot."""
        self.snapshots.append(self.registry.snapshot())

    @property
    def stats(self) -> List[Any]:
        """The snapshots, in order, as trees like those of `get_stats()`."""
        return [tree(snapshot) for snapshot in self.snapshots]
