"""The run of an aggregator in its own process, from claiming the address until releasing it."""

from __future__ import annotations

import math
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, NamedTuple, Optional

from tapes.distributed import claims, handover, succession
from tapes.distributed.account import account
from tapes.distributed.driving import CHECK_INTERVAL, REPORTING, Change, Reporters, Steps, drive, needs_a_loop
from tapes.distributed.lifetime import ORPHANED, Lifetime
from tapes.distributed.logger import LOGGER_NAME
from tapes.distributed.rendezvous import LONGEST, Rendezvous
from tapes.errors import ReporterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapes.distributed.account import Plan
    from tapes.distributed.addresses import Access, Address
    from tapes.distributed.keeper import Keeper
    from tapes.distributed.keys import AggregatorKeys
    from tapes.distributed.receiver import Receiver
    from tapes.distributed.serving import Pages
    from tapes.distributed.unified import UnifiedRegistry
    from tapes.reporting import Reporter

_SUCCESSION = (
    2 * CHECK_INTERVAL
)  # seconds in which an aggregator that stands by notices that its own program is gone too
_STAY = 1 / 3  # part of the time for leaving after which, if no worker has left, they are taken to go on
_CATCHING_UP = (1.5, 5.0)  # seconds for workers to come back after a restart, at least and at most
_TAKING_OVER = (0.6, 1.0)  # the same after one that left its state: only the gauges are missing
_PASSING = 60.0  # seconds after which nobody takes the place of an aggregator that was killed
_ALONE = 30.0  # seconds without any worker after which that is logged


class Setup(NamedTuple):
    """The address, state file and program of an aggregator."""

    address: Address
    access: Access
    state_path: Optional[str]
    """Its state file, if it keeps one."""
    program: claims.Program
    """The program that it belongs to."""
    resident: bool = False
    """Whether it belongs to no program, so that no error of a reporter may end it."""
    passes_on: bool = False
    """Whether the state file is only for an aggregator that takes its place, as one that is killed cannot say so."""


class Service:
    """Merges what workers publish, and runs reporters on it, until its lifetime ends it. Runs once."""

    def __init__(
        self,
        registry: UnifiedRegistry,
        reporters: Sequence[Reporter],
        setup: Setup,
        keys: Optional[AggregatorKeys],
        lifetime: Lifetime,
        plan: Callable[[], Plan],
    ) -> None:
        self._registry = registry
        self._reporters = reporters
        self._running = Reporters(registry)
        self._setup = setup
        self._keys = keys
        self._lifetime = lifetime
        self._plan = plan
        self._begun = time.monotonic()
        self._since = math.inf
        self._state_lock: Optional[claims.FileLock] = None
        self._keeper: Optional[Keeper] = None
        self._receiver: Optional[Receiver] = None
        self._pages: Optional[Pages] = None
        self._reported: Optional[int] = None  # messages that the last reports include
        self.came_late = False
        """Whether something came after the last reports, once it has run."""

    def use_keys(self, keys: AggregatorKeys) -> None:
        """Admit from now on workers with these keys, and no others."""
        self._keys = keys
        if self._receiver is not None:
            self._receiver.use_keys(keys)

    def run(self, ready: Callable[[], None], reload: Callable[[], Change]) -> None:
        """Merge and report until asked to end. Calls `ready` once it works or stands by, and maybe again.

        Raises the error of the receiver, if one has ended it.
        """
        setup = self._setup
        claim = succession.claimed(
            setup.address, setup.program, self._lifetime.should_run, partial(self._stand_by, ready)
        )
        if claim is None:
            return
        self._since = time.monotonic()
        try:
            receiver = self._take_over(claim, ready)
            if receiver is None:
                return
            # Ends if the receiver fails: frozen totals are worse than none, and a supervisor can start another one.
            steps = Steps(
                partial(self._begin, ready),
                lambda: receiver.error is None and self._should_run(),
                self._lifetime.should_reload,
                partial(self._reload, reload),
                lambda change: self._running.add(change.begins),
                partial(self._end, claim, receiver),
            )
            drive(steps, on_a_loop=needs_a_loop(self._reporters))
        finally:
            self._leave(claim)
        if receiver.error is not None:
            raise receiver.error

    def _take_over(self, claim: claims.Claim, ready: Callable[[], None]) -> Optional[Receiver]:
        """Restore the state of the aggregator before, and start to receive. Returns None if asked to end meanwhile."""
        # 0MQ is imported here: a process that only forks the aggregator never creates a context.
        from tapes.distributed.keeper import Keeper
        from tapes.distributed.receiver import Receiver

        registry, setup = self._registry, self._setup
        if setup.state_path is not None:
            lock = partial(_state_lock, setup.state_path, setup.program)
            self._state_lock = succession.locked(lock, self._lifetime.should_run)
            if self._state_lock is None:
                return None
            self._keeper = Keeper(setup.state_path)
            if setup.passes_on and setup.address.path is not None:
                self._keeper.discard(older=_PASSING)
                handover.discard(setup.address.path, older=_PASSING)
        restored = self._keeper is not None and self._keeper.restore(registry)
        inherited = succession.take_over(None if restored else registry, setup.address)
        self._receiver = receiver = Receiver(registry, setup.address, self._keys, self._keeper, setup.access)
        receiver.start()
        self._serve_workers()
        claim.settle()
        # At a tcp:// address it is unknown whether there was an aggregator before.
        if restored or inherited or not claim.is_first or setup.address.path is None:
            if setup.resident:
                ready()  # a worker has started it, and publishes no sooner: it would be waited for in vain
            self._catch_up(*(_TAKING_OVER if inherited else _CATCHING_UP))
        return receiver

    def _serve_workers(self) -> None:
        """Serve pages to the workers that answer for all."""
        from tapes.distributed.serving import Pages

        path = self._setup.address.path
        if path is None:
            return
        pages = Pages(self._registry, Rendezvous(path).page, self._setup.access, self._account)
        try:
            pages.start()
        except OSError as error:
            page = Rendezvous(path).page
            short = "" if len(os.fsencode(page)) <= LONGEST else " Choose a folder for socket_addr with a shorter path."
            _log("WARNING", "serves no pages to workers at %s: %s.%s", page, error, short)
        else:
            self._pages = pages

    def _account(self) -> Dict[str, Any]:
        unstarted = dict(self._running.unstarted)
        return account(self._registry, self._plan(), unstarted, self._begun, resident=self._setup.resident)

    def _begin(self, ready: Callable[[], None]) -> None:
        if self._setup.resident:
            self._running.add(self._reporters)
        else:
            self._running.start(self._reporters)
        _log("INFO", "listens at %s, and reports by %s.", self._setup.address, list(self._reporters))
        ready()

    def _reload(self, reload: Callable[[], Change]) -> Change:
        _log("INFO", "reloads its keys and config.")
        change = reload()
        self._running.stop(change.ends)
        return change

    def _end(self, claim: claims.Claim, receiver: Receiver) -> None:
        _log("INFO", "ends.")
        claim.leave()
        if self._state_lock is not None:
            self._state_lock.leave()
        if self._lifetime.is_orphaned() and not claim.has_successor:  # a new start of the program needs its ports
            self._running.stop_pages()
            receiver.close_port()
        if receiver.error is None:
            self._await_farewells(claim)
        self._reported = self._registry.taken_in
        self._running.stop_all()

    def _leave(self, claim: claims.Claim) -> None:
        """Stop everything, keep the state, and release the address."""
        receiver, self._receiver = self._receiver, None
        is_missed = any(worker.present for worker in list(self._registry.workers.values()))
        self._running.stop_all()
        if self._pages is not None:
            self._pages.stop(REPORTING)
        if receiver is not None:
            if not receiver.stop(REPORTING):
                # Its thread still changes the state, so it cannot be written. What is in the journal is safe.
                _log("WARNING", "takes too long to merge what has arrived: its last state is not written.")
            elif receiver.error is None:
                self.came_late = self._reported is not None and self._registry.taken_in != self._reported
                if self._keeper is not None:
                    self._keeper.keep(self._registry)
                    ends = self._lifetime.is_over() and not is_missed and not self.came_late
                    if self._setup.passes_on and ends:
                        self._keeper.discard()
                if claim.has_successor:
                    succession.hand_over(self._registry, self._setup.address)
        if self._state_lock is not None:
            self._state_lock.release()
        claim.release(is_missed=is_missed)

    def _should_run(self) -> bool:
        if self._setup.resident:
            self._running.try_again()
            return self._lifetime.should_run()
        if time.monotonic() - self._since > _ALONE:
            self._since = math.inf
            if not self._registry.workers and not self._registry.gone:
                import logging

                logging.getLogger(LOGGER_NAME).warning(
                    "No worker has published to the aggregator at %s for %g s: call connect() of a DistributedRegistry "
                    "with this socket_addr in each worker, after the fork.",
                    *(self._setup.address, _ALONE),
                )
        return self._lifetime.should_run()

    def _catch_up(self, least: float, most: float) -> None:
        """After a restart, wait until workers have published everything, so that no count is seen to go back."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < most and self._lifetime.should_run():
            workers = list(self._registry.workers.values())
            if passed >= least and all(worker.in_step for worker in workers if worker.present):
                return
            time.sleep(0.05)

    def _stand_by(self, ready: Callable[[], None]) -> None:
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "There is an aggregator at %s already. This one stands by, and takes its place when that one leaves.",
            self._setup.address,
        )
        ready()

    def _await_farewells(self, claim: claims.Claim) -> None:
        """Wait for the farewells of workers that end too, as after Ctrl-C.

        Does not wait long if workers go on, or if an aggregator stands by to which they can publish.
        """
        start = time.monotonic()
        while (passed := time.monotonic() - start) < (timeout := self._lifetime.farewell_timeout()):
            if passed > _SUCCESSION and claim.has_successor:
                return
            workers = list(self._registry.workers.values())
            if passed > CHECK_INTERVAL and not any(worker.present for worker in workers):
                return
            if passed > timeout * _STAY and timeout <= ORPHANED and not any(worker.left for worker in workers):
                return
            time.sleep(0.02)


def _state_lock(path: str, program: claims.Program) -> claims.FileLock:
    """Lock a state file. Raises ReporterError if another aggregator keeps it, or it cannot be written."""
    try:
        taken = f"state_path: {path} belongs to another aggregator{{who}}: stop it, or choose another file."
        return claims.FileLock(f"{path}.lock", taken, program)
    except OSError as error:
        from tapes.distributed.keeper import reason

        raise ReporterError(f"state_path: {path} cannot be written: {reason(error)}") from error


def _log(level: str, what: str, *arguments: object) -> None:
    """Log a message about the aggregator."""
    import logging

    logging.getLogger(LOGGER_NAME).log(getattr(logging, level), f"The aggregator {what}", *arguments)
