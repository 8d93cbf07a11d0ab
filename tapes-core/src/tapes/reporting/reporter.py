"""The life cycle of reporters: start, stop, fork, exit, and their counts of reports."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Optional, Set, TypeVar

# Imported here for the reports, since a thread of a reporter must not import: a fork could come in the middle.
import tapes.snapshot.snapshot
import tapes.state.quantiles  # noqa: F401
from tapes import observers
from tapes.errors import ReporterStateError
from tapes.process import forking, servers
from tapes.process.exits import prepare_exit
from tapes.process.shutdown import alive
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting import checked
from tapes.reporting.run import Run
from tapes.reporting.trouble import explained
from tapes.streak import Streak, log_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

Self = TypeVar("Self", bound="Reporter")

LOGGER_NAME = "tapes.reporting"
"""The logger of all reporters."""

STOP_TIMEOUT = 5.0
"""The default timeout of `stop()` and `close()`, in seconds."""


class Reporter(ABC):
    """Sends what a registry holds, or serves it on request, from `start()` until `stop()`.

    Most reporters derive from `ScheduledReporter`. A direct subclass overrides `work()`, and `open()` and `close()` if
    there is something to open and close. It calls `succeeded()` or `failed()` for each report.

    A daemon thread named `tapes-<class name>` does the work. A reporter with another driver, like an event loop,
    overrides `launch()` and `halt()`, and calls `end()` at the end of a run.

    All methods may be called from any thread. In a forked child a reporter is stopped, or starts again by itself if
    `survives_fork` is True. Running reporters are stopped when the interpreter exits, and when a child process of
    `multiprocessing` ends.
    """

    survives_fork = False
    """Whether a running reporter continues by itself in a forked child, with its own resources."""

    needs_loop = False
    """Whether it needs a running Tornado event loop in its process."""

    def __init__(self, registry: Optional[Registry] = None) -> None:
        """Report on `registry`, by default the one in which `tapes.timer()` and the like make metrics.

        Raises ReporterOptionError unless `registry` is a registry.
        """
        self.registry: Registry = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
        """The registry to report on. It stays the same when the reporter stops."""
        self.reports = 0
        """The number of reports made."""
        self.failures = 0
        """The number of failed reports."""
        self.last_error: Optional[BaseException] = None
        """The error of the most recent failed report; None if none has failed."""
        self._lock = threading.RLock()  # held for a few assignments only, and re-entered by signal handlers
        self._pid = os.getpid()
        self._run: Optional[Run] = None
        self._streak = Streak(LOGGER_NAME, type(self).__name__)
        forking.reporters.add(self)

    @property
    def running(self) -> bool:
        """True if it was started in this process, and not stopped since."""
        run = self._run
        return run is not None and run.pid == os.getpid() and not run.stopping.is_set() and not run.done.is_set()

    @property
    def failing(self) -> bool:
        """True if the most recent report has failed."""
        return self._streak.length > 0

    def start(self) -> None:
        """Start reporting.

        Raises ReporterStateError if it is already running, and the errors of `open()`; then it is not running.
        """
        if self._pid != os.getpid():
            self._leave_parent()
        self._start(Run(self.interrupt))

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Report once more, close everything, and return when that is done, or after `timeout` seconds at most.

        A report that hangs longer is abandoned, and that is logged. Does nothing if the reporter is not running. It may
        be called from a signal handler, and by the reporter itself during a report: then it returns at once, and the
        reporter stops after that report.
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
            "%r did not stop within %g s: it is abandoned, and its last report may be lost.", self, timeout
        )

    def report_on(self, registry: Registry) -> None:
        """Report on another registry from the next start on. Raises ReporterStateError if it is running."""
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
        """Return what would make `start()` fail, as far as that is known without opening anything.

        Return sentences without a full stop. `earlier` holds the reporters that start before this one, by name. Called
        when a configuration is checked, before anything has started.
        """
        return ()

    def open(self) -> None:  # noqa: B027 -- optional
        """Acquire the resources for reports. Called by `start()`, once for each `close()`.

        Raise for faults of the user, like a port in use: they reach the caller of `start()`. Leave faults of the far
        end to the reports: it may be back by the next one.
        """

    @abstractmethod
    def work(self, run: Run) -> None:
        """Report until `run.stopping` is set, then report once more and return. Called in the reporter's own thread."""

    def interrupt(self) -> None:  # noqa: B027 -- optional
        """Wake `work()` if it waits for something other than `run.stopping`, which is already set.

        Called from any thread or signal handler, any number of times, possibly before `open()` or after `close()`. It
        must neither block nor raise.
        """

    def close(self) -> None:  # noqa: B027 -- optional
        """Release what `open()` has acquired. Called after the last report."""

    def close_inherited(self) -> None:
        """Release, in a forked child, what `open()` has acquired in the parent, without harm to the parent.

        Close file descriptors, but do not send, flush or shut down anything. Calls `close()` unless overridden.
        """
        self.close()

    # What reporters call.

    def succeeded(self) -> None:
        """Count a report as made."""
        self._count_success(self._streak)

    def failed(self, error: BaseException, problem: Optional[str] = None) -> None:
        """Count a report as failed, call the observers, and log the first failure in a row.

        `problem` continues the name of the reporter: what is wrong, and what happens next. A ReporterError or an
        OSError comes from the environment, and is logged in one line, with its traceback in a second one at level
        DEBUG. Any other error is logged with its traceback.
        """
        self._count_failure(self._streak, error, problem)

    def _count_success(self, streak: Streak) -> None:
        with self._lock:
            self.reports += 1
        streak.succeeded()

    def _count_failure(self, streak: Streak, error: BaseException, problem: Optional[str] = None) -> None:
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
        length = streak.failed(line, error if reason is None else None)
        if reason is not None and length == 1:
            self._log_origin(error)
        for observer in list(observers.report_failed):
            observer(self, error, length)

    # What a reporter with its own driver, like an event loop, overrides and calls.

    def launch(self, run: Run) -> None:
        """Begin the work of `run`. Called when everything is open. By default it starts a thread."""
        _Thread(target=self._live, args=(run,), name=f"tapes-{type(self).__name__}", daemon=True).start()

    def halt(self, run: Run, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the end of `run`, which was asked to stop. Return whether it has ended."""
        return run.done.wait(timeout)

    def end(self, run: Run) -> None:
        """Close what was opened for `run`, unless a later run uses it. The last step of a run."""
        with self._lock:
            if run.closing:
                return
            run.closing = True
            mine = self._run is run
        try:
            if mine:
                self.close()
        except BaseException as error:  # noqa: BLE001 -- no caller would catch it
            self._log_error("could not close what it had opened.", error)
        finally:
            alive.pop(run, None)
            run.done.set()

    def after_fork(self) -> None:
        """Become a reporter of this child process. Called by `tapes.process.forking`."""
        was_running = self._leave_parent()
        prepare_exit()
        if was_running and self.survives_fork and not forking.is_without_metrics():
            try:
                self._start(Run(self.interrupt, in_child=True))
            except Exception as error:  # noqa: BLE001 -- a reporter must not make a fork fail
                self._log_error("could not be started again after a fork; this process is not reported.", error)

    def _start(self, run: Run) -> None:
        # Needed to log tracebacks. Imported here, not in the reporter's thread: see docs/design.md.
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
                run.closing = True  # nothing is open, so there is nothing to close
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
        except BaseException as error:  # noqa: BLE001 -- no caller would catch it
            if run.pid == os.getpid():  # not in a child, where a greenlet of the parent's run ends
                self._log_error("has stopped because of an error.", error)
                with suppress(Exception):  # from observers
                    self.failed(error)
        finally:
            run.stopping.set()
            self.end(run)

    def _leave_parent(self) -> bool:
        """Drop everything that belongs to the parent process. Return whether the reporter was running there."""
        self._pid = os.getpid()
        self._lock = threading.RLock()  # the thread that holds the old one may not exist here
        self.reports = self.failures = 0
        self.last_error = None
        run, self._run = self._run, None
        if run is None or run.done.is_set() or not run.launched:
            return False
        was_running = not run.stopping.is_set()
        run.abandoned = run.closing = True  # this may be the run's own thread, which forked during a report
        run.stopping.set()
        run.done.set()
        alive.pop(run, None)
        try:
            if not run.deferred:
                self.close_inherited()
        except Exception as error:  # noqa: BLE001 -- a reporter must not make a fork fail
            self._log_error("could not close what it had inherited in a fork.", error)
        return was_running

    def _log_error(self, problem: str, error: BaseException) -> None:
        import logging

        reason = explained(error)
        line = problem if reason is None else f"{problem} {reason}"
        with suppress(Exception):  # from log handlers
            logging.getLogger(LOGGER_NAME).error("%r %s", self, line, exc_info=error if reason is None else None)
            if reason is not None:
                self._log_origin(error)

    def _log_origin(self, error: BaseException) -> None:
        import logging

        logging.getLogger(LOGGER_NAME).debug("%r has failed here:", self, exc_info=error)


class _Thread(threading.Thread):
    """A thread that can end after gevent has replaced `threading`, which then no longer knows the thread."""

    def _delete(self) -> None:
        with suppress(KeyError):
            super()._delete()  # type: ignore[misc]  # there is no public hook


_warned: Set[str] = set()


def _warn_of_server() -> None:
    """Log each server setting that delays or loses reports, once per process."""
    for hindrance in servers.setting_warnings():
        log_once(_warned, hindrance, LOGGER_NAME, "%s", hindrance)
