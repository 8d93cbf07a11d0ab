"""The aggregator: a process that merges what workers publish, and reports on all of them together."""

from __future__ import annotations

import hashlib
import math
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Optional, Tuple, TypeVar, Union

from tapes.distributed import addresses, claims, succession
from tapes.distributed import keys as curve
from tapes.distributed.driving import LOOK, REPORTING, Change, Course, Reporters, drive, needs_a_loop
from tapes.distributed.fates import ORPHANED, Fate, Here
from tapes.distributed.forked import ForkedProcess
from tapes.distributed.processes import machine, processes
from tapes.distributed.unified import LEASE, LOGGER_NAME, MAX_SERIES, MAX_TAG_SETS, UnifiedRegistry
from tapes.errors import ReporterError, ReporterOptionError, ReporterStateError
from tapes.reporting import Reporter
from tapes.reporting import checked as options
from tapes.reporting.reporter import STOP_TIMEOUT

if TYPE_CHECKING:
    from types import TracebackType

    from tapes.distributed.receiver import Receiver

Self = TypeVar("Self", bound="RegistryAggregator")

_SUCCESSION = 2 * LOOK  # seconds in which one that stands by sees that its own program is gone too, if it is
_STAY = 1 / 3  # of the time that workers have to leave: if none has by then, it is plain that they go on
_CATCHING_UP = (1.5, 5.0)  # seconds after a restart in which workers come back, at least and at most
_TAKING_OVER = (0.6, 1.0)  # likewise from one that has left everything: all but the gauges is there already
_ALONE = 30.0  # seconds without any worker after which this is mentioned


class RegistryAggregator:
    """Merges the registries of all workers that publish to `socket_addr`, and lets reporters report on all of them.

    Start it before the workers are forked: `start()` forks a process for it, which ends with the one that has started
    it. `start(fork=False)` is for a process of its own, and blocks; `python -m tapes.distributed` does that from a
    config.

    Workers may come and go, before and after; what they have counted stays, their gauges go with them. An aggregator
    that was killed and is started again is told everything by the workers that live. With `state_path` it knows what
    those that are gone had counted, too.
    """

    def __init__(
        self,
        reporter: Union[Reporter, Sequence[Reporter]],
        socket_addr: str = addresses.DEFAULT,
        *,
        state_path: Optional[Union[str, os.PathLike[str]]] = None,
        by_worker: bool = False,
        lease: float = LEASE,
        max_series: int = MAX_SERIES,
        max_tag_sets: int = MAX_TAG_SETS,
        keys: Optional[Union[str, os.PathLike[str]]] = None,
        insecure: bool = False,
        group: Optional[Union[str, int]] = None,
        mode: Optional[int] = None,
    ) -> None:
        """Report by `reporter`, one or several, none of which is running. They are made to report on `registry`.

        `socket_addr` is `ipc://PATH` or `tcp://HOST:PORT`, with `*` for all addresses of the host. `state_path` is a
        file that keeps what was counted over a restart. With `by_worker` the figures of each live worker are shown
        besides, tagged `worker=PID` (`worker=HOST:PID` on other hosts). `lease` is how many seconds after a worker was
        last heard of its gauges count. `max_series` is how many series there may be over all workers, `max_tag_sets`
        how many of one name; the totals of further ones go to series tagged `overflow=true`. For `tcp://` `keys` is a
        folder with the keys of the aggregator and the public ones of workers, or `insecure=True` lets everybody in.
        The file of an `ipc://` address is private to the user; with `group`, a name or a number, processes of that
        group can connect too, or of whomever its `mode` says.

        Raises ReporterOptionError for options that cannot be.
        """
        reporters: Any = [reporter] if isinstance(reporter, Reporter) else reporter
        if (
            not isinstance(reporters, Sequence)
            or isinstance(reporters, (str, bytes))
            or not all(isinstance(each, Reporter) for each in reporters)
        ):
            raise options.refusal("reporter", "a reporter or a list of reporters", reporter)
        lease = options.seconds("lease", lease)
        options.flag("by_worker", by_worker)
        for option, most in (("max_series", max_series), ("max_tag_sets", max_tag_sets)):
            options.integer(option, most, 1, sys.maxsize, "how many series there may be, an int from 1")
        self.reporters: Tuple[Reporter, ...] = tuple(reporters)
        self.address = addresses.checked(socket_addr, keys=keys, insecure=insecure)
        """Where it is."""
        self._access = addresses.access(self.address, group, mode)
        self.registry = UnifiedRegistry(
            lease=lease, by_worker=by_worker, max_series=max_series, max_tag_sets=max_tag_sets
        )
        """What all workers have recorded together, in the process of the aggregator."""
        # To an aggregator that it publishes to, one that takes the place of another is the same. The file of its
        # state, where there is one, says so after the system was booted too.
        place = f"{machine()} {processes()} {socket.gethostname()} {self.address}"  # containers are places too
        self.registry.identity = hashlib.sha256(place.encode()).digest()[:16]
        self._keys_folder = None if keys is None else os.path.abspath(os.fspath(keys))
        self._keys = None if keys is None else curve.of_aggregator(keys)
        self._state_path = None if state_path is None else os.path.abspath(options.path("state_path", state_path))
        self._here = Here()
        self._child: Optional[ForkedProcess] = None
        self._receiver: Optional[Receiver] = None
        self._serving = False
        self._since = math.inf

    @property
    def pid(self) -> Optional[int]:
        """The process that `start()` has forked; None if it is not running, or runs in this one."""
        child = self._child
        return child.pid if child is not None and child.running else None

    def start(self, fork: bool = True) -> None:
        """Begin to merge and to report: in a forked process, or with `fork=False` in this one, until it is stopped.

        Returns when workers can connect and the reporters have started, or when it stands by because an aggregator of
        this program, or of one that has started it, is at the address: it takes its place when that leaves.

        With `fork=False` it returns when it has ended, by `stop()` in another thread, SIGTERM or Ctrl-C. Each reporter
        has made its last report then. So it has if what workers send cannot be taken in any more, whatever the error;
        that is raised, or logged by the forked process.

        Raises ReporterStateError if it is running, ReporterError if the aggregator of a different program is at the
        address or the file of its state cannot be used, and what `start()` of the reporters raises.
        """
        if self._serving or self.pid is not None:
            raise ReporterStateError(f"{self!r} is running already: stop() it before you start it again.")
        for reporter in self.reporters:
            if reporter.running:
                raise ReporterStateError(f"{reporter!r} is running: stop() it before it is given to an aggregator.")
        self._here = Here()
        program = claims.Program.here(frozenset(ForkedProcess.pids))
        if fork:
            self._child = ForkedProcess(lambda ready, fate: self._serve(program, ready, fate))
            self._child.wait_until_ready()
            return
        self._serving = True
        try:
            with self._here:
                self._serve(program, lambda: None, self._here)
        finally:
            self._serving = False

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Let it take in what workers tell, report once more and end, and return after `timeout` seconds at most.

        A process that takes longer is killed, which is logged. Does nothing if it is not running.
        """
        child, self._child = self._child, None
        if child is not None:
            child.stop(timeout, repr(self))
        self._here.stop()

    def __enter__(self: Self) -> Self:
        """Start, in a forked process."""
        self.start()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Stop."""
        self.stop()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.reporters)}, socket_addr={self.address.text!r})"

    def reload(self) -> Change:
        """Read the keys anew, in the process of the aggregator. SIGHUP does that.

        Whoever is connected by a key that is gone is cut off. If the keys cannot be used it goes on with those it has,
        which is logged. Returns which reporters are to follow others.
        """
        if self._keys_folder is not None and self._receiver is not None:
            try:
                self._keys = curve.of_aggregator(self._keys_folder)
            except (ReporterOptionError, OSError) as error:
                import logging

                logging.getLogger(LOGGER_NAME).error("The aggregator at %s keeps its keys: %s", self.address, error)
            else:
                self._receiver.use_keys(self._keys)
        return Change()

    def _serve(self, program: claims.Program, ready: Callable[[], None], fate: Fate) -> None:
        """Merge and report, until it is not wanted any more. Calls `ready` when it works, or stands by."""
        # 0MQ is imported where it is used: a process that only forks the aggregator never makes a context.
        from tapes.distributed.keeper import Keeper
        from tapes.distributed.receiver import Receiver

        def stands_by() -> None:
            self._say_that_it_stands_by()
            ready()

        claim = succession.claimed(self.address, program, fate.wanted, stands_by)
        if claim is None:
            return
        self._since = time.monotonic()
        running = Reporters(self.registry)
        receiver: Optional[Receiver] = None
        keeper: Optional[Keeper] = None
        state_lock: Optional[claims.FileLock] = None
        try:
            if self._state_path is not None:
                state_lock = succession.locked(partial(_state_lock, self._state_path, program), fate.wanted)
                if state_lock is None:
                    return
                keeper = Keeper(self._state_path)
            restored = keeper is not None and keeper.restore(self.registry)
            inherited = succession.inherit(None if restored else self.registry, self.address)
            receiver = receiving = Receiver(self.registry, self.address, self._keys, keeper, self._access)
            receiver.start()
            self._receiver = receiver
            claim.settle()
            if (
                restored or inherited or not claim.is_first or self.address.path is None
            ):  # over tcp:// nobody knows who was there
                self._catch_up(fate, *(_TAKING_OVER if inherited else _CATCHING_UP))

            def begin() -> None:
                running.start(self.reporters)
                _log("INFO", "works at %s. It reports by %s.", self.address, list(self.reporters))
                ready()

            def retire() -> Change:
                _log("INFO", "reads its keys and config anew.")
                change = self.reload()
                running.stop(change.ends)
                return change

            def end() -> None:
                _log("INFO", "ends.")
                claim.leave()
                if state_lock is not None:
                    state_lock.leave()
                if fate.abandoned() and not claim.is_awaited:  # who starts the program elsewhere needs its ports
                    running.stop_pages()
                    receiving.close_port()
                if receiving.error is None:
                    self._see_off(fate, claim)
                running.stop_all()

            # Totals that do not move any more are worse than none: whoever supervises it is to start another one.
            course = Course(
                begin,
                lambda: receiving.error is None and self._is_wanted(fate),
                fate.has_to_reload,
                retire,
                lambda change: running.add(change.begins),
                end,
            )
            drive(course, on_a_loop=needs_a_loop(self.reporters))
        finally:
            self._receiver = None
            running.stop_all()
            if receiver is not None:
                if not receiver.stop(REPORTING):
                    # Its thread still changes what would be written. What is in the journal is safe.
                    _log("WARNING", "takes in for too long what has arrived: its state is not written once more.")
                elif receiver.error is None:
                    if keeper is not None:
                        keeper.keep(self.registry)
                    if claim.is_awaited:
                        succession.bequeath(self.registry, self.address)
            if state_lock is not None:
                state_lock.release()
            claim.release(is_missed=any(worker.present for worker in list(self.registry.workers.values())))
        if receiver.error is not None:
            raise receiver.error

    def _is_wanted(self, fate: Fate) -> bool:
        if time.monotonic() - self._since > _ALONE:
            self._since = math.inf
            if not self.registry.workers and not self.registry.gone:
                import logging

                logging.getLogger(LOGGER_NAME).warning(
                    "No worker has published to the aggregator at %s for %g s: call connect() of a DistributedRegistry "
                    "with this socket_addr in each worker, after the fork.",
                    *(self.address, _ALONE),
                )
        return fate.wanted()

    def _catch_up(self, fate: Fate, least: float, most: float) -> None:
        """After a restart, wait until the workers have told what they know, so that no count is seen to go back."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < most and fate.wanted():
            workers = list(self.registry.workers.values())
            if passed >= least and all(worker.in_step for worker in workers if worker.present):
                return
            time.sleep(0.05)

    def _say_that_it_stands_by(self) -> None:
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "There is an aggregator at %s already. This one stands by, and takes its place when that one leaves.",
            self.address,
        )

    def _see_off(self, fate: Fate, claim: claims.Claim) -> None:
        """Wait for the last words of workers that end too, as after Ctrl-C, but not for long for those that go on.

        Nor for those that can tell an aggregator which stands by.
        """
        start = time.monotonic()
        while (passed := time.monotonic() - start) < (parting := fate.parting()):
            if passed > _SUCCESSION and claim.is_awaited:
                return
            workers = list(self.registry.workers.values())
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
