"""The work of an aggregator, in the process where it is done: from taking its place until it has left it."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from tapes.distributed import claims, succession
from tapes.distributed.driving import LOOK, REPORTING, Change, Course, Reporters, drive, needs_a_loop
from tapes.distributed.fates import ORPHANED, Fate
from tapes.distributed.logger import LOGGER_NAME
from tapes.errors import ReporterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tapes.distributed.addresses import Access, Address
    from tapes.distributed.keeper import Keeper
    from tapes.distributed.keys import AggregatorKeys
    from tapes.distributed.receiver import Receiver
    from tapes.distributed.unified import UnifiedRegistry
    from tapes.reporting import Reporter

_SUCCESSION = 2 * LOOK  # seconds in which one that stands by sees that its own program is gone too, if it is
_STAY = 1 / 3  # of the time that workers have to leave: if none has by then, it is plain that they go on
_CATCHING_UP = (1.5, 5.0)  # seconds after a restart in which workers come back, at least and at most
_TAKING_OVER = (0.6, 1.0)  # likewise from one that has left everything: all but the gauges is there already
_ALONE = 30.0  # seconds without any worker after which this is mentioned


class Place(NamedTuple):
    """Where an aggregator is, and who it is there."""

    address: Address
    access: Access
    state_path: Optional[str]
    """The file of its state, if it keeps one."""
    program: claims.Program
    """The program that it belongs to."""


class Service:
    """Takes in what workers tell, and has reporters report it, for as long as it is wanted. Runs once."""

    def __init__(
        self,
        registry: UnifiedRegistry,
        reporters: Sequence[Reporter],
        place: Place,
        keys: Optional[AggregatorKeys],
        fate: Fate,
    ) -> None:
        self._registry = registry
        self._reporters = reporters
        self._running = Reporters(registry)
        self._place = place
        self._keys = keys
        self._fate = fate
        self._since = math.inf
        self._state_lock: Optional[claims.FileLock] = None
        self._keeper: Optional[Keeper] = None
        self._receiver: Optional[Receiver] = None

    def use_keys(self, keys: AggregatorKeys) -> None:
        """Let in whoever has these keys from here on, and nobody else."""
        self._keys = keys
        if self._receiver is not None:
            self._receiver.use_keys(keys)

    def run(self, ready: Callable[[], None], reload: Callable[[], Change]) -> None:
        """Merge and report, until it is not wanted any more. Calls `ready` when it works, or stands by.

        Raises what has ended it, if what workers send cannot be taken in any more.
        """
        place = self._place
        claim = succession.claimed(place.address, place.program, self._fate.wanted, partial(self._stand_by, ready))
        if claim is None:
            return
        self._since = time.monotonic()
        try:
            receiver = self._take_place(claim)
            if receiver is None:
                return
            # Totals that do not move any more are worse than none: whoever supervises it is to start another one.
            course = Course(
                partial(self._begin, ready),
                lambda: receiver.error is None and self._is_wanted(),
                self._fate.has_to_reload,
                partial(self._reload, reload),
                lambda change: self._running.add(change.begins),
                partial(self._end, claim, receiver),
            )
            drive(course, on_a_loop=needs_a_loop(self._reporters))
        finally:
            self._leave(claim)
        if receiver.error is not None:
            raise receiver.error

    def _take_place(self, claim: claims.Claim) -> Optional[Receiver]:
        """Begin to receive, with what the one before knew. Returns None if it is not wanted any more."""
        # 0MQ is imported where it is used: a process that only forks the aggregator never makes a context.
        from tapes.distributed.keeper import Keeper
        from tapes.distributed.receiver import Receiver

        registry, place = self._registry, self._place
        if place.state_path is not None:
            lock = partial(_state_lock, place.state_path, place.program)
            self._state_lock = succession.locked(lock, self._fate.wanted)
            if self._state_lock is None:
                return None
            self._keeper = Keeper(place.state_path)
        restored = self._keeper is not None and self._keeper.restore(registry)
        inherited = succession.inherit(None if restored else registry, place.address)
        self._receiver = receiver = Receiver(registry, place.address, self._keys, self._keeper, place.access)
        receiver.start()
        claim.settle()
        # Over tcp:// nobody knows who was there.
        if restored or inherited or not claim.is_first or place.address.path is None:
            self._catch_up(*(_TAKING_OVER if inherited else _CATCHING_UP))
        return receiver

    def _begin(self, ready: Callable[[], None]) -> None:
        self._running.start(self._reporters)
        _log("INFO", "works at %s. It reports by %s.", self._place.address, list(self._reporters))
        ready()

    def _reload(self, reload: Callable[[], Change]) -> Change:
        _log("INFO", "reads its keys and config anew.")
        change = reload()
        self._running.stop(change.ends)
        return change

    def _end(self, claim: claims.Claim, receiver: Receiver) -> None:
        _log("INFO", "ends.")
        claim.leave()
        if self._state_lock is not None:
            self._state_lock.leave()
        if self._fate.abandoned() and not claim.is_awaited:  # who starts the program elsewhere needs its ports
            self._running.stop_pages()
            receiver.close_port()
        if receiver.error is None:
            self._see_off(claim)
        self._running.stop_all()

    def _leave(self, claim: claims.Claim) -> None:
        """Stop what runs, keep what is known, and make the place free."""
        receiver, self._receiver = self._receiver, None
        self._running.stop_all()
        if receiver is not None:
            if not receiver.stop(REPORTING):
                # Its thread still changes what would be written. What is in the journal is safe.
                _log("WARNING", "takes in for too long what has arrived: its state is not written once more.")
            elif receiver.error is None:
                if self._keeper is not None:
                    self._keeper.keep(self._registry)
                if claim.is_awaited:
                    succession.bequeath(self._registry, self._place.address)
        if self._state_lock is not None:
            self._state_lock.release()
        claim.release(is_missed=any(worker.present for worker in list(self._registry.workers.values())))

    def _is_wanted(self) -> bool:
        if time.monotonic() - self._since > _ALONE:
            self._since = math.inf
            if not self._registry.workers and not self._registry.gone:
                import logging

                logging.getLogger(LOGGER_NAME).warning(
                    "No worker has published to the aggregator at %s for %g s: call connect() of a DistributedRegistry "
                    "with this socket_addr in each worker, after the fork.",
                    *(self._place.address, _ALONE),
                )
        return self._fate.wanted()

    def _catch_up(self, least: float, most: float) -> None:
        """After a restart, wait until the workers have told what they know, so that no count is seen to go back."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < most and self._fate.wanted():
            workers = list(self._registry.workers.values())
            if passed >= least and all(worker.in_step for worker in workers if worker.present):
                return
            time.sleep(0.05)

    def _stand_by(self, ready: Callable[[], None]) -> None:
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "There is an aggregator at %s already. This one stands by, and takes its place when that one leaves.",
            self._place.address,
        )
        ready()

    def _see_off(self, claim: claims.Claim) -> None:
        """Wait for the last words of workers that end too, as after Ctrl-C, but not for long for those that go on.

        Nor for those that can tell an aggregator which stands by.
        """
        start = time.monotonic()
        while (passed := time.monotonic() - start) < (parting := self._fate.parting()):
            if passed > _SUCCESSION and claim.is_awaited:
                return
            workers = list(self._registry.workers.values())
            if passed > LOOK and not any(worker.present for worker in workers):
                return
            if passed > parting * _STAY and parting <= ORPHANED and not any(worker.left for worker in workers):
                return
            time.sleep(0.02)


def _state_lock(path: str, program: claims.Program) -> claims.FileLock:
    """Return the right to be the one that keeps its state in a file. Raises ReporterError if another has it."""
    try:
        taken = f"state_path: {path} is kept by another aggregator{{who}}: stop it, or choose another file."
        return claims.FileLock(f"{path}.lock", taken, program)
    except OSError as error:
        from tapes.distributed.keeper import reason

        raise ReporterError(f"state_path: {path} cannot be written: {reason(error)}") from error


def _log(level: str, what: str, *arguments: object) -> None:
    """Log what the aggregator does, or what is wrong with it."""
    import logging

    logging.getLogger(LOGGER_NAME).log(getattr(logging, level), f"The aggregator {what}", *arguments)
