"""Reporters that block: their own thread makes the reports, and an event loop says when."""

from __future__ import annotations

import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional, Type

from tornado.ioloop import IOLoop

from tapes.reporting.scheduled import ScheduledReporter
from tapes.reporting.signatures import constructor, paragraphs, signature_of
from tapes.reporting.tornado.loops import checked_loop, when_running
from tapes.reporting.tornado.pace import Pace
from tapes.reporting.wakeup import Wakeup

if TYPE_CHECKING:
    from tapes.reporting.run import Run

_IO_LOOP = "io_loop"


class LoopDriven(ScheduledReporter):
    """Makes blocking reports in a daemon thread, when the event loop says so.

    It is the first base of a class whose other base is the reporter:

        class TornadoPeaksReporter(LoopDriven, PeaksReporter):
            pass

    The constructor takes the arguments of that reporter, with `io_loop` after `registry`, and without `clock`: the loop
    keeps the time. `on_loop` makes such a class by a call.

    The loop never waits for the network or a stream. The thread makes the last report without the loop, so neither a
    loop that has ended nor one that waits in `stop()` delays it. See `TornadoScheduledReporter` for which loop it is,
    and when.
    """

    needs_loop = True

    _io_loop: Optional[IOLoop] = None
    _trigger: Optional[_Trigger] = None
    _pace: Optional[Pace] = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of the other base, and `io_loop`. Subclasses have the full signature."""
        cls = type(self)
        _constructor(cls, super(LoopDriven, cls).__init__)(self, *args, **options)

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the constructor, unless the class or another base of it has one."""
        has_its_own = "__init__" in vars(cls)
        super().__init_subclass__(**options)
        if has_its_own:
            return
        inner = vars(cls).get("__init__")  # of a sender that the class names itself
        if inner is None and cls.__init__ is LoopDriven.__init__:
            inner = super().__init__
        if inner is not None:
            cls.__init__ = _constructor(cls, inner)  # type: ignore[method-assign]  # it is what this is for

    @property
    def idle(self) -> bool:
        """Whether it is running, and its thread waits for the next report."""
        trigger = self._trigger
        return self.running and trigger is not None and not trigger.is_set

    def launch(self, run: Run) -> None:
        """Start the timer on the loop, and the thread."""
        trigger = self._trigger = _Trigger(run)
        pace = self._pace = Pace(self.interval, run, trigger.set)
        when_running(self._io_loop, run, pace.begin, type(self).__name__)
        super().launch(run)

    def work(self, run: Run) -> None:
        """Report whenever the loop says so, and once more at the end."""
        trigger = self._trigger
        assert trigger is not None  # launch() has made it
        while not run.abandoned and trigger.wait():
            self.attempt(run)
            trigger.reset()
        self.attempt(run)

    def interrupt(self) -> None:
        """Wake the thread to make the last report."""
        trigger, pace = self._trigger, self._pace
        if trigger is not None and trigger.run.stopping.is_set():
            trigger.set()
        if pace is not None:
            pace.wake()
        super().interrupt()

    def after_fork(self) -> None:
        """Go on in a child process, on a loop of that process."""
        self._io_loop = None
        super().after_fork()


_making = threading.RLock()  # so that two threads get the same class


def on_loop(reporter: Type[ScheduledReporter]) -> Type[LoopDriven]:
    """Return a class that reports like `reporter`, when an event loop of Tornado says so.

    Its name is `Tornado` and the name of `reporter`. The same `reporter` always gives the same class. Thread-safe.

    Raises ValueError if the constructor of `reporter` takes no `registry`.
    """
    with _making:
        return reporter if issubclass(reporter, LoopDriven) else _on_loop(reporter)


@functools.cache
def _on_loop(reporter: Type[ScheduledReporter]) -> Type[LoopDriven]:
    name = f"Tornado{reporter.__name__}"
    doc = f"Reports as `{reporter.__name__}` does, when an event loop says so. See `LoopDriven`."
    return type(name, (LoopDriven, reporter), {"__doc__": doc, "__module__": reporter.__module__})


def _constructor(cls: type, inner: Callable[..., None]) -> Callable[..., None]:
    """Return the constructor `inner` with `io_loop` after `registry`, and without `clock`.

    Raises ValueError if `inner` takes no `registry`.
    """
    _, *parameters = signature_of(inner).parameters.values()
    parameters = [each for each in parameters if each.name != "clock"]
    names = [each.name for each in parameters]
    if "registry" not in names:
        raise ValueError(f"the constructor of {cls.__name__} takes no registry, which io_loop comes after")
    place = names.index("registry") + 1
    before, after = parameters[:place], parameters[place:]
    io_loop = inspect.Parameter(
        _IO_LOOP, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Optional[IOLoop]
    )
    docs = [each for each in paragraphs(inner) if not each.startswith("`clock` ")]
    docs.append(
        "`io_loop` keeps the time; by default the one that runs where it is started, or the next one that does."
    )

    def construct(self: LoopDriven, bound: inspect.BoundArguments) -> None:
        given = bound.arguments.pop(_IO_LOOP, None)
        inner(self, *bound.args, **bound.kwargs)
        self._io_loop = checked_loop(given)

    return constructor(cls, [*before, io_loop, *after], "\n\n".join(docs), construct, inner)


class _Trigger:
    """An event that lets the waiting thread through once. One that comes while the thread is busy is dropped."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._wakeup = Wakeup()

    @property
    def is_set(self) -> bool:
        """Whether it has been opened since the last reset."""
        return self._wakeup.is_set()

    def set(self) -> None:
        """Let the thread through, if it waits. Call it from any thread or signal handler."""
        self._wakeup.set()

    def wait(self) -> bool:
        """Wait until it is opened. Return False if the run is stopping instead."""
        if not self.run.stopping.is_set():  # if the run stops later, interrupt() opens it
            self._wakeup.wait()
        return not self.run.stopping.is_set()

    def reset(self) -> None:
        """Close it, and drop openings that came while the thread was busy."""
        self._wakeup = Wakeup()
