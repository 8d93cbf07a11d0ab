"""What a program with several processes needs: a registry for its workers, and the aggregator of them all."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Optional, Union
from weakref import WeakSet

from tapes.clock import SYSTEM_CLOCK, Clock
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
    """A registry whose metrics are part of one picture with those of other processes.

    It is an ordinary registry, in which recording costs the same. `connect()` begins to publish what it holds to the
    aggregator at `socket_addr`, every `interval` seconds (default 1). Metrics may be made, and recorded to, before.

    Call `connect()` in each worker, after the fork. If it was called before, each forked process publishes by itself,
    as another worker. A process that exits tells its last by itself. All methods are safe to call from any thread.
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

        A relative path is that of the working directory as it is now. `keys` and `insecure` are for `tcp://`,
        `trust` is for an aggregator of another user: see `tapes.distributed.reporter.ZmqReporter`.

        Raises ReporterOptionError for options that cannot be.
        """
        super().__init__(clock=clock, max_tag_sets=max_tag_sets)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """Where the aggregator is."""
        self._interval = checked.seconds("interval", interval)
        self._keys: Optional[str] = None
        if keys is not None:
            from tapes.distributed.keys import of_worker

            of_worker(keys)  # what is wrong with them is said here, and not in a worker
            self._keys = os.path.abspath(os.fspath(keys))
        self._insecure = insecure
        users(trust)  # likewise
        self._trust = trust
        self._connecting = threading.RLock()
        self._publisher: Optional[ZmqReporter] = None
        self._connected = False
        """Whether it is told to an aggregator until the end, if not by this process then in each child of it."""
        self._said = False
        _all.add(self)
        prepare_exit()

    def connect(self) -> None:
        """Begin to publish what this process records, and has recorded already. Does nothing if it does so.

        There need be no aggregator yet: it is told everything as soon as it is there.
        """
        # Not before: a process that only forks workers makes no context of 0MQ.
        from tapes.distributed.reporter import ZmqReporter

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
        """Publish once more, and stop. Waits for the aggregator to confirm it, for at most `timeout` seconds.

        After it `connect()` goes on where it was. Does nothing if it is not connected.
        """
        self._connected = False
        publisher = self._publisher
        if publisher is not None:
            publisher.stop(timeout)

    def after_fork(self) -> None:
        """Begin at zero in a child process. Called by `tapes.process.forking`."""
        super().after_fork()
        self._connecting = threading.RLock()
        self._said = False
        if not self._connected:
            self._publisher = None  # it was closed, in the parent
        prepare_exit()

    def warn_if_lost(self) -> None:
        """Say so, once, if something was recorded in this process that no aggregator is ever going to be told."""
        if self._said or self._connected:  # then its reporter has done what could be done, and has said if it failed
            return
        publisher = self._publisher
        told = publisher.told() if publisher is not None else {}
        if publisher is not None and not told:
            return  # no aggregator has ever been there, which its reporter has said when it was closed
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
