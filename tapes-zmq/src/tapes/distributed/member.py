"""The reporter behind `[aggregator]` in a configuration: publishes a process, and starts the aggregator if need be."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple, Union

from tapes.distributed import addresses, handover
from tapes.distributed.frames import ENDING, LEAVING
from tapes.distributed.launcher import Launcher
from tapes.distributed.publishing import has_recorded
from tapes.distributed.rendezvous import Rendezvous, meeting_at, name_of
from tapes.distributed.reporter import ASKING, ZmqReporter
from tapes.distributed.trust import EVERYBODY
from tapes.errors import ReporterError, ReporterStateError
from tapes.process import forking
from tapes.process.shutdown import alive, is_ending
from tapes.reporting.wakeup import Wakeup

if TYPE_CHECKING:
    from tapes.distributed.configured import ConfiguredAggregator
    from tapes.distributed.keys import WorkerKeys
    from tapes.distributed.link import Link
    from tapes.pages.message import Page
    from tapes.registry import Registry
    from tapes.reporting.run import Run

_EAGER = 5.0  # seconds after its start in which a process looks often whether it has recorded something
_LAST_REPORTS = 2.0  # seconds in which an aggregator that ends with the container makes its last reports
_LOOK = 0.25  # seconds between two such looks
_PATIENCE = 0.25  # factor for what is waited at the end: nothing is lost where the last report can be left in a file


class Member(ZmqReporter):
    """Publishes this process, and each one forked from it, to the aggregator of a configuration.

    It starts that aggregator, as a process of its own, when there is none. A process that has recorded nothing is no
    worker: it connects to nobody, starts nothing and waits for nobody at its end.
    """

    def __init__(self, aggregator: ConfiguredAggregator, registry: Optional[Registry] = None) -> None:
        """Publish `registry` (default: the process-wide one) to an aggregator like this, which is never started."""
        own = self._own = aggregator.own
        options = aggregator.options
        super().__init__(
            *(own.interval, options["socket_addr"], registry),
            keys=options.get("keys"),
            insecure=options.get("insecure", False),
            trust=own.trust,
        )
        if own.group is not None and own.address is None:
            self._trusted = EVERYBODY  # who is in its folder
        self._place: Optional[Rendezvous] = None
        self._launcher: Optional[Launcher] = None
        self._active = False
        self._other: Optional[ZmqReporter] = None
        self._since = time.monotonic()

    def _first_keys(self, folder: Union[str, os.PathLike[str]]) -> Optional[WorkerKeys]:
        """Return no keys yet: what is wrong with them keeps no process from starting."""
        return None

    def open(self) -> None:
        """Publish, unless another call of `configure()` does so already: then stand by for it."""
        self._other = None
        try:
            super().open()
        except ReporterStateError:
            self._other = self.claimed()

    def ask(self, path: str, headers: Mapping[str, str], timeout: float = ASKING) -> Page:
        """Return the page of the aggregator at `path`, as `ZmqReporter.ask` does."""
        other = self._other
        return super().ask(path, headers, timeout) if other is None else other.ask(path, headers, timeout)

    def _where(self) -> str:
        return "" if self._own.address is None and self._place is None else super()._where()

    def _claim(self) -> Tuple[int, str]:
        return os.getpid(), name_of(self._own.config)

    def report(self) -> None:
        """Send the changed series, once this process has recorded something; start an aggregator if there is none."""
        if self._other is not None and self._other not in list(alive.values()) and not is_ending():
            self.open()  # the other has stopped, with its last report
        if self._other is not None or not self._is_worker():
            return
        self._meet()
        try:
            super().report()
        finally:
            self._launch()

    def work(self, run: Run) -> None:
        """Publish until stopped. The first process of a container takes the aggregator along when it ends."""
        super().work(run)
        launcher = self._launcher
        if launcher is not None and os.getpid() == 1 and is_ending() and not run.abandoned:
            launcher.end(_LAST_REPORTS)

    def _patience(self) -> float:
        path = self.address.path
        return 1.0 if path is None or handover.obstacle(path) is not None else _PATIENCE

    def _leave_unconfirmed(self, link: Link) -> None:
        """Leave the last report in a file, for the next aggregator at the address."""
        if self.address.path is None:
            super()._leave_unconfirmed(link)
            return
        publisher = link.publisher
        publisher.begin()  # with everything: what was sent before may not have arrived
        frames = list(publisher.flush(self.registry, LEAVING | ENDING * is_ending()))
        try:
            handover.leave(self.address.path, publisher.worker, frames)
        except OSError:
            super()._leave_unconfirmed(link)
        else:
            self._launch(at_once=True)  # there may be nobody else who could start one

    def wait(self, run: Run, deadline: float) -> bool:
        """Wait for the next flush. It comes at once when this process records something for the first time."""
        while not self._active:
            now = self.clock.monotonic()
            if run.stopping.is_set():
                return True
            if now >= deadline:
                return False
            eager = time.monotonic() - self._since < _EAGER
            self.pause(run, min(deadline - now, _LOOK) if eager else deadline - now)
            if not run.stopping.is_set() and self._is_worker():
                return False
        return super().wait(run, deadline)

    def after_fork(self) -> None:
        """Be no worker in this child, as long as it has recorded nothing."""
        self._active = False
        self._asking = threading.Lock()
        self._asked, self._answered = 0, (0, None)
        self._nudge = Wakeup()
        self._launcher = self._place = None
        self._since = time.monotonic()
        super().after_fork()

    def _answer(self, link: Link, run: Run) -> None:
        super()._answer(link, run)
        self._launch()

    def _complaint(self, link: Link) -> Optional[ReporterError]:
        launcher = self._launcher
        if launcher is None or launcher.fault is None or not link.is_missed:
            return super()._complaint(link)
        return ReporterError(
            f"No aggregator can be started: {launcher.fault.rstrip('.')}. What is counted meanwhile is sent later."
        )

    def _is_worker(self) -> bool:
        """Whether this process has recorded something. A parent that only forks may have gauges."""
        if not self._active:
            if self._asked:  # whoever shows the page of all is one of them
                self._active = True
                return True
            now = self.registry.clock.monotonic()
            self._active = any(
                has_recorded(metric, now, None)
                or (not metric.kind.lasts and not forking.has_forked() and _is_set(metric, now))
                for metric in self.registry
            )
        return self._active

    def _meet(self) -> None:
        """Find out where the aggregator is: that depends on the user, which a process may change after a fork."""
        if self._own.address is not None:
            return
        place = meeting_at(self._own.config, self._own.group)
        if place != self._place:
            self.close()
            self._place = place
            self.address = addresses.checked(place.address, keys=None, insecure=False)
            self._launcher = None

    def _launch(self, *, at_once: bool = False) -> None:
        """Start an aggregator if there is none. With `at_once` do so although one was started just before."""
        link, path = self._link, self.address.path
        if not self._own.starts or path is None or link is None:
            return
        if self._launcher is None:
            place = self._place or Rendezvous(path)
            self._launcher = Launcher(place, self._order(place), self._sleep)
        if link.is_served and not at_once:
            self._launcher.reap()
            return
        run = self._run
        if self._launcher.attend(lambda: run is not None and run.is_stopping, at_once=at_once):
            link.hurry()

    def _order(self, place: Rendezvous) -> Dict[str, Any]:
        config: Any = self._own.config
        return {
            "config": config if isinstance(config, str) else dict(config),
            "address": place.address,
            "state": place.state,
            "log": place.log,
            "start": place.start,
            "folder": self._own.folder,
        }

    def __repr__(self) -> str:
        name = self._own.name
        return f"[aggregator] of {name if isinstance(self._own.config, str) else name[0].lower() + name[1:]}"


def _is_set(metric: Any, now: float) -> bool:
    """Whether a gauge was set, which needs no call of its producer."""
    return bool(metric.kind.has_recorded(metric.state(metric.recorded(now))))
