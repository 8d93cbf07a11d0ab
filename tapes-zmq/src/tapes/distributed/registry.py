"""The classes for programs with several processes: a registry for each worker, and the aggregator."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Optional, Union
from weakref import WeakSet

from tapes.clock import SYSTEM_CLOCK, Clock
from tapes.config.source import is_disabled
from tapes.distributed import addresses
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.publishing import has_recorded
from tapes.distributed.trust import Trust, users
from tapes.process.ending import after_last_reports
from tapes.process.exits import prepare_exit
from tapes.registry import Registry
from tapes.reporting import checked
from tapes.reporting.reporter import STOP_TIMEOUT

if TYPE_CHECKING:
    from tapes.distributed.reporter import ZmqReporter


class DistributedRegistry(Registry):
    """A registry that publishes its metrics to an aggregator, which merges those of all workers.

    Recording costs the same as in a plain `Registry`. `connect()` starts to publish to the aggregator at
    `socket_addr`, every `interval` seconds (default 1). Metrics may be created and recorded to before that.

    Call `connect()` in each worker, after the fork. If it was called before the fork, each forked process goes on
    publishing as a worker of its own. A process that exits publishes once more without being asked. All methods are
    thread-safe.
    """

    def __init__(
        self,
        socket_addr: str = addresses.DEFAULT,
        *,
        interval: float = 1.0,
        keys: Optional[Union[str, os.PathLike[str]]] = None,
        insecure: bool = False,
        trust: Trust = None,
        clock: Clock = SYSTEM_CLOCK,
        max_tag_sets: int = 2000,
    ) -> None:
        """Publish to `socket_addr`, `ipc://PATH` or `tcp://HOST:PORT`.

        A relative path is resolved against the working directory now. `keys` and `insecure` are for `tcp://`,
        `trust` is for an aggregator of another user: see `tapes.distributed.reporter.ZmqReporter`.

        Raises ReporterOptionError for invalid options.
        """
        super().__init__(clock=clock, max_tag_sets=max_tag_sets)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """The address of the aggregator."""
        self._interval = checked.seconds("interval", interval)
        self._keys: Optional[str] = None
        if keys is not None:
            from tapes.distributed.keys import of_worker

            of_worker(keys)  # to raise an error here, and not in a worker
            self._keys = os.path.abspath(os.fspath(keys))
        self._insecure = insecure
        users(trust)  # for the same reason
        self._trust = trust
        self._connecting = threading.RLock()
        self._publisher: Optional[ZmqReporter] = None
        self._connected = False
        """Whether it is published until the process ends, by this process or by each of its children."""
        self._said = False
        _all.add(self)
        prepare_exit()

    def connect(self) -> None:
        """Start to publish everything that this process has recorded and will record. Does nothing if connected.

        The aggregator may start later: it then gets everything.
        """
        # Imported here: a process that only forks workers never creates a 0MQ context.
        from tapes.distributed.reporter import ZmqReporter

        if is_disabled():
            return
        with self._connecting:
            if self._publisher is None:
                self._publisher = ZmqReporter(
                    *(self._interval, self.address.text, self),
                    keys=self._keys,
                    insecure=self._insecure,
                    trust=self._trust,
                )
            if not self._publisher.running:
                self._publisher.start()
            self._connected = True

    def close(self, timeout: float = STOP_TIMEOUT) -> None:
        """Publish once more, and stop. Waits at most `timeout` seconds for the aggregator to confirm.

        A later `connect()` continues where this stopped. Does nothing if not connected.
        """
        self._connected = False
        publisher = self._publisher
        if publisher is not None:
            publisher.stop(timeout)

    def after_fork(self) -> None:
        """Start from zero in a child process. Called by `tapes.process.forking`."""
        super().after_fork()
        self._connecting = threading.RLock()
        self._said = False
        if not self._connected:
            self._publisher = None  # the parent had closed it
        prepare_exit()

    def warn_if_lost(self) -> None:
        """Log once if this process has recorded something that will never reach an aggregator."""
        if self._said or self._connected:  # when connected, the reporter has published, or logged why it could not
            return
        publisher = self._publisher
        told = publisher.told() if publisher is not None else {}
        if publisher is not None and not told:
            return  # there never was an aggregator, which the reporter logged when it was closed
        now = self.clock.monotonic()
        if any(has_recorded(metric, now, told.get(metric)) for metric in self):
            self._said = True
            import logging

            logging.getLogger(LOGGER_NAME).warning(
                "What process %d has recorded in the DistributedRegistry for %s has reached no aggregator, because %s: "
                "call it in each worker, after the fork.",
                *(os.getpid(), self.address),
                "it was closed, and connect() not called again" if told else "it never called connect()",
            )


_all: WeakSet[DistributedRegistry] = WeakSet()


def _warn_of_lost() -> None:
    for registry in list(_all):
        registry.warn_if_lost()


after_last_reports.append(_warn_of_lost)

__all__ = ["DistributedRegistry", "RegistryAggregator"]
