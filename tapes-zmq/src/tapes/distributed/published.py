"""A registry that publishes itself to an aggregator."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Callable
from weakref import WeakSet

from tapes.config.source import is_disabled
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.publishing import has_recorded
from tapes.distributed.reporter import ASKING
from tapes.process.exits import prepare_exit
from tapes.process.shutdown import after_last_reports
from tapes.registry import Registry
from tapes.reporting.reporter import STOP_TIMEOUT

if TYPE_CHECKING:
    from tapes.clock import Clock
    from tapes.distributed.reporter import ZmqReporter


class PublishedRegistry(Registry):
    """What `DistributedRegistry` does, without its options: it has the reporter that publishes it."""

    def __init__(self, reporter: Callable[[Registry], ZmqReporter], *, clock: Clock, max_tag_sets: int) -> None:
        """Publish by the reporter that `reporter` makes for this registry."""
        super().__init__(clock=clock, max_tag_sets=max_tag_sets)
        self._publisher = reporter(self)
        self.address = self._publisher.address
        """The address of the aggregator."""
        self._connecting = threading.RLock()
        self._tried = False
        """Whether this process has called `connect()`."""
        self._connected = False
        """Whether it is published until the process ends, by this process or by each of its children."""
        self._said = False
        _all.add(self)
        prepare_exit()

    def connect(self) -> None:
        """Start to publish everything that this process has recorded and will record. Does nothing if connected.

        The aggregator may start later: it then gets everything. With `TAPES_DISABLED=1` in the environment it does
        nothing.
        """
        if is_disabled():
            return
        with self._connecting:
            if not self._publisher.running:
                self._publisher.start()
            self._tried = self._connected = True

    def get_unified_stats(self, timeout: float = ASKING) -> Any:
        """Return the statistics of all processes, asked of the aggregator, as `get_stats()` does those of this one.

        They include all that this process recorded before the call. Raises ReporterError if this process is not
        connected, or if no aggregator answers within `timeout` seconds.
        """
        return self._publisher.get_unified_stats(timeout)

    def close(self, timeout: float = STOP_TIMEOUT) -> None:
        """Publish once more, and stop. Waits at most `timeout` seconds for the aggregator to confirm.

        A later `connect()` continues where this stopped. Does nothing if not connected.
        """
        self._connected = False
        self._publisher.stop(timeout)

    def after_fork(self) -> None:
        """Start from zero in a child process. Called by `tapes.process.forking`."""
        super().after_fork()
        self._connecting = threading.RLock()
        self._said = False
        self._tried = self._connected  # not if the parent had closed it
        prepare_exit()

    def warn_if_lost(self) -> None:
        """Log once if this process has recorded something that will never reach an aggregator."""
        if self._said or self._connected:  # when connected, the reporter has published, or logged why it could not
            return
        told = self._publisher.sent_numbers()
        if self._tried and not told:
            return  # there never was an aggregator, which the reporter logged when it was closed
        now = self.clock.monotonic()
        if any(has_recorded(metric, now, told.get(metric)) for metric in self):
            self._said = True
            import logging

            logging.getLogger(LOGGER_NAME).warning(
                "The records of process %d in the DistributedRegistry for %s have reached no aggregator, because %s: "
                "call it in each worker, after the fork.",
                *(os.getpid(), self.address),
                "it was closed, and connect() not called again" if told else "it never called connect()",
            )


_all: WeakSet[PublishedRegistry] = WeakSet()


def _warn_of_lost() -> None:
    for registry in list(_all):
        registry.warn_if_lost()


after_last_reports.append(_warn_of_lost)
