"""The life that every reporter leads: start, stop, fork, exit, and the book that is kept of its reports."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Optional, Set, TypeVar

# What a report is made with: the threads of reporters import nothing, as a fork may come meanwhile.
import tapes.snapshot.snapshot
import tapes.state.quantiles  # noqa: F401
from tapes import observers
from tapes.errors import ReporterStateError
from tapes.process import forking, servers
from tapes.process.ending import alive
from tapes.process.exits import prepare_exit
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting import checked
from tapes.reporting.run import Run
from tapes.reporting.trouble import explained
from tapes.streak import Streak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

Self = TypeVar("Self", bound="Reporter")

LOGGER_NAME = "tapes.reporting"
"""The logger of all reporters."""

STOP_TIMEOUT = 5.0
"""How many seconds `stop()` and `close()` take at most, unless they are told otherwise."""


class Reporter(ABC):
    """Something that sends what is in a registry somewhere, or lets it be fetched, from `start()` until `stop()`.

    Most reporters derive from `ScheduledReporter`. Deriving from this class, override `work()`, and `open()` and
    `close()` if there is something to open and close; call `succeeded()` and `failed()` for each report.

    The work is done by a daemon thread named `tapes-<class name>`. A reporter that is driven by something else, like an
    event loop, overrides `launch()` and `halt()`, and calls `end()` when a run is over.

    All methods may be called from any thread. In a forked child a reporter is stopped, or runs again by itself if
    `survives_fork` says so. A reporter that is running when the interpreter exits, or when a child process made by
    `multiprocessing` ends, is stopped then.
    """

    survives_fork = False
    """Whether a reporter that is running goes on by itself in a forked child, with resources of its own."""

    needs_loop = False
    """Whether an event loop of Tornado has to run in its process, as that drives it."""

    def __init__(self, registry: Optional[Registry] = None) -> None:
        """Report on `registry`, by default on the one that `tapes.timer()` and the like put their metrics into.

        Raises ReporterOptionError for what is no registry.
        """
        self.registry: Registry = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
        """What is reported. Left as it is when the reporter stops."""
        self.reports = 0
        """How many reports have been made."""
        self.failures = 0
        """How many reports could not be made."""
        self.last_error: Optional[BaseException] = None
        """The error of the most recent failed report; None if none has failed."""
        self._lock = threading.RLock()  # held for a few assignments only, and re-entered by signal handlers
        self._pid = os.getpid()
        self._run: Optional[Run] = None
        self._streak = Streak(LOGGER_NAME, type(self).__name__)
        forking.reporters.add(self)

    @property
    def running(self) -> bool:
        """Whether it has been started, in this process, and not been stopped since."""
        run = self._run
        return run is not None and run.pid == os.getpid() and not run.stopping.is_set() and not run.done.is_set()

    def start(self) -> None:
        """Begin to report.

        Raises ReporterStateError if it is running, and whatever `open()` raises; then it is not running.
        """
        if self._pid != os.getpid():
            self._leave_parent()
        self._start(Run(self.interrupt))

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Report once more, close everything, and return when that is done, or after `timeout` seconds at most.

        A report that hangs longer is given up, which is logged. Does nothing if the reporter is not running. May be
        called from a signal handler, and by the reporter itself while it reports: then it returns at once, and the
        reporter stops as soon as it gets on.
        """
        run = self._run
        if run is None or run.pid != os.getpid() or run.done.is_set() or run.abandoned:
            return
        run.request_stop()
        if run.deferred:
            run.done.set()
            return
        if threading.get_ident() in (run.starter, run.worker) or self.halt(run, timeout):
            return
        with self._lock:
            if run.done.is_set() or run.abandoned:
                return
            run.abandoned = True
        import logging

        logging.getLogger(LOGGER_NAME).warning(
            "%r has not stopped within %g s: it is left behind, and its last report may be lost.", self, timeout
        )

    def report_on(self, registry: Registry) -> None:
        """Report on another registry, from the next start on. Raises ReporterStateError if it is running."""
        if self.running:
            raise ReporterStateError(f"{self!r} is running: stop() it before it reports on another registry.")
        self.registry = checked.registry("registry", registry)

    def __enter__(self: Self) -> Self:
        """Start."""
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
        return f"{type(self).__name__}()"

    # What reporters override.

    def obstacles(self, earlier: Mapping[str, Reporter]) -> Sequence[str]:
        """Return what would keep it from starting, as far as that can be known without opening anything.

        In sentences without a full stop. `earlier` are the reporters that are started before it, by their names. Called
        when a configuration is checked, before anything has started.
        """
        return ()

    def open(self) -> None:  # noqa: B027 -- optional
        """Acquire what the reports need. Called by `start()`, once for each `close()`.

        Raise for faults of the user's own making, like a port that is taken: they reach the caller of `start()`. Cope
        with those of the far end in the report: it may be back by the next one.
        """

    @abstractmethod
    def work(self, run: Run) -> None:
        """Report until `run.stopping` is set, then report once more and return. Called in the reporter's own thread."""

    def interrupt(self) -> None:  # noqa: B027 -- optional
        """Wake `work()` if it waits for something else than `run.stopping`, which is set.

        Called from any thread or signal handler, any number of times, possibly before `open()` or after `close()`. It
        may neither block nor raise.
        """

    def close(self) -> None:  # noqa: B027 -- optional
        """Release what `open()` has acquired. Called when the last report has been made."""

    def close_inherited(self) -> None:
        """Release, in a forked child, what `open()` has acquired in the parent, without harm to the parent.

        That is: close file descriptors, but send, flush and shut down nothing. Calls `close()` unless overridden.
        """
        self.close()

    # What reporters call.

    def succeeded(self) -> None:
        """Take note of a report that was made."""
        with self._lock:
            self.reports += 1
        self._streak.succeeded()

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Take note of a report that could not be made: count it, tell the observers, log the first in a row.

        `problem` goes on from the name of the reporter: what is wrong and what becomes of it. A ReporterError or an
        OSError is trouble from around the program, and is logged in one line, with the traceback in a second one at the
        level DEBUG; any other error is logged with its traceback.
        """
        reason = explained(error)
        if problem is not None:
            line = problem if reason is None else f"{problem} {reason}"
        elif reason is None:
            line = "could not report; it will try again."
        else:
            line = f"could not report: {reason}"
            if isinstance(error, OSError):
                line += " It will try again."
        with self._lock:
            self.failures += 1
            self.last_error = error
        length = self._streak.failed(line, error if reason is None else None)
        if reason is not None and length == 1:
            self._log_origin(error)
        for observer in list(observers.report_failed):
            observer(self, error, length)

    # What a reporter with a driver of its own, like an event loop, overrides and calls.

    def launch(self, run: Run) -> None:
        """Begin the work of `run`. Called when everything is open. By default a thread does it."""
        _Thread(target=self._live, args=(run,), name=f"tapes-{type(self).__name__}", daemon=True).start()

    def halt(self, run: Run, timeout: float) -> bool:
        """Wait until `run`, which has been asked to stop, has ended, for at most `timeout` seconds; True if it has."""
        return run.done.wait(timeout)

    def end(self, run: Run) -> None:
        """Close what was opened for `run`, unless it is in use by a later one. The last thing done for a run."""
        with self._lock:
            if run.closing:
                return
            run.closing = True
            mine = self._run is run
        try:
            if mine:
                self.close()
        except BaseException as error:  # noqa: BLE001 -- nobody is there to catch it
            self._log_error("could not close what it had opened.", error)
        finally:
            alive.pop(run, None)
            run.done.set()

    def after_fork(self) -> None:
        """Become a reporter of this child process. Called by `tapes.process.forking`."""
        was_running = self._leave_parent()
        prepare_exit()
        if was_running and self.survives_fork and not forking.is_apart():
            try:
                self._start(Run(self.interrupt, in_child=True))
            except Exception as error:  # noqa: BLE001 -- a fork does not fail because of a reporter
                self._log_error("could not be started again after a fork; this process is not reported.", error)

    def _start(self, run: Run) -> None:
        # By who starts it and not by its thread, which logs what fails, with a traceback: see docs/design.md.
        import ast  # noqa: F401
        import logging  # noqa: F401
        import tokenize  # noqa: F401

        run.starter = threading.get_ident()
        _warn_of_server()
        with self._lock:
            previous = self._run
            if previous is not None and not previous.over:
                state = "still stopping" if previous.stopping.is_set() else "running already"
                raise ReporterStateError(f"{self!r} is {state}: stop() it before you start it again.")
            self._run = run
        try:
            self._streak = Streak(LOGGER_NAME, repr(self))
            if self.survives_fork and servers.in_master_of_uwsgi():
                run.deferred = run.launched = True
                return
            try:
                self.open()
            except BaseException:
                run.closing = True  # there is nothing that could be closed
                run.done.set()
                raise
            try:
                alive[run] = self
                run.launched = True
                prepare_exit()
                self.launch(run)
            except BaseException:
                run.request_stop()
                self.end(run)
                raise
        finally:
            run.starter = None

    def _live(self, run: Run) -> None:
        run.worker = threading.get_ident()
        try:
            self.work(run)
        except BaseException as error:  # noqa: BLE001 -- nobody is there to catch it
            if run.pid == os.getpid():  # in a child a greenlet has found that it works for the parent
                self._log_error("has stopped because of an error.", error)
                with suppress(Exception):  # by observers
                    self.failed(error)
        finally:
            run.stopping.set()
            self.end(run)

    def _leave_parent(self) -> bool:
        """Forget what belongs to the process that this one was forked from. Return whether the reporter ran there."""
        self._pid = os.getpid()
        self._lock = threading.RLock()  # the thread that holds the old one may not exist here
        self.reports = self.failures = 0
        self.last_error = None
        run, self._run = self._run, None
        if run is None or run.done.is_set() or not run.launched:
            return False
        was_running = not run.stopping.is_set()
        run.abandoned = run.closing = True  # this may be its thread, which has forked while it was reporting
        run.stopping.set()
        run.done.set()
        alive.pop(run, None)
        try:
            if not run.deferred:
                self.close_inherited()
        except Exception as error:  # noqa: BLE001 -- a fork does not fail because of a reporter
            self._log_error("could not close what it had inherited in a fork.", error)
        return was_running

    def _log_error(self, problem: str, error: BaseException) -> None:
        import logging

        reason = explained(error)
        line = problem if reason is None else f"{problem} {reason}"
        with suppress(Exception):  # by handlers
            logging.getLogger(LOGGER_NAME).error("%r %s", self, line, exc_info=error if reason is None else None)
            if reason is not None:
                self._log_origin(error)

    def _log_origin(self, error: BaseException) -> None:
        import logging

        logging.getLogger(LOGGER_NAME).debug("%r has failed here:", self, exc_info=error)


class _Thread(threading.Thread):
    """A thread that may end when gevent has taken over `threading`, which knows nothing of it any more then."""

    def _delete(self) -> None:
        with suppress(KeyError):
            super()._delete()  # type: ignore[misc]  # there is no public way to where it is called


_warned: Set[str] = set()


def _warn_of_server() -> None:
    """Log, once in a process, each server setting that delays or loses reports."""
    for hindrance in servers.hindrances():
        if hindrance not in _warned:
            _warned.add(hindrance)
            import logging

            logging.getLogger(LOGGER_NAME).warning("%s", hindrance)
