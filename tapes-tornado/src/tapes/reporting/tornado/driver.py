"""Reporters whose work blocks: a thread of their own does it, and an event loop says when."""

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
    """Makes the reports of a reporter, which block, in a daemon thread, when the event loop says so.

    The first base of a class whose other base says what a report is:

        class TornadoPeaksReporter(LoopDriven, PeaksReporter):
            pass

    Its constructor takes what that one takes, with `io_loop` after `registry`, and without `clock`: the loop keeps the
    time. See `on_loop` for making such a class by a call.

    The loop never waits, neither for the network nor for a stream, and neither a loop that has ended nor one that waits
    in `stop()` is in the way of the last report: the thread makes it without the loop. See `TornadoScheduledReporter`
    for which loop it is, and when.
    """

    needs_loop = True

    _io_loop: Optional[IOLoop] = None
    _turnstile: Optional[_Turnstile] = None
    _pace: Optional[Pace] = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take `io_loop`, and what the other base takes. Subclasses have a signature that says so."""
        cls = type(self)
        _constructor(cls, super(LoopDriven, cls).__init__)(self, *args, **options)

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the constructor, unless the class has one, or another base of it."""
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
        """Whether it is running, and its thread waits for the loop to say that a report is due."""
        turnstile = self._turnstile
        return self.running and turnstile is not None and not turnstile.is_open

    def launch(self, run: Run) -> None:
        """Have the loop begin to keep the time, and the thread to wait for it."""
        turnstile = self._turnstile = _Turnstile(run)
        pace = self._pace = Pace(self.interval, run, turnstile.open)
        when_running(self._io_loop, run, pace.begin, type(self).__name__)
        super().launch(run)

    def work(self, run: Run) -> None:
        """Report whenever the loop says so, and once more in the end."""
        turnstile = self._turnstile
        assert turnstile is not None  # launch() has made it
        while not run.abandoned and turnstile.passed():
            self.attempt(run)
            turnstile.reset()
        self.attempt(run)

    def interrupt(self) -> None:
        """Wake the thread, to make the last report."""
        turnstile, pace = self._turnstile, self._pace
        if turnstile is not None and turnstile.run.stopping.is_set():
            turnstile.open()
        if pace is not None:
            pace.wake()
        super().interrupt()

    def after_fork(self) -> None:
        """Become a reporter of this child process, on a loop of this process."""
        self._io_loop = None
        super().after_fork()


_making = threading.RLock()  # or two threads would have a class each


def on_loop(reporter: Type[ScheduledReporter]) -> Type[LoopDriven]:
    """Return the class of a reporter that reports as `reporter` does, when an event loop of Tornado says so.

    It is always the same one, and is named as `reporter`, with `Tornado` before that. Safe to call from any thread.

    Raises ValueError where its constructor takes no `registry`.
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

    Raises ValueError where there is no `registry`.
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


class _Turnstile:
    """Lets the thread through once for each time that it is opened while the thread waits. It counts nothing."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._opened = Wakeup()

    @property
    def is_open(self) -> bool:
        """Whether it was opened for a time that is not over."""
        return self._opened.is_set()

    def open(self) -> None:
        """Let the thread through, if it waits. From any thread or signal handler."""
        self._opened.set()

    def passed(self) -> bool:
        """Wait until it is opened; False if the run is to stop instead."""
        if not self.run.stopping.is_set():  # if it is from here on, it is opened after that
            self._opened.wait()
        return not self.run.stopping.is_set()

    def reset(self) -> None:
        """Close it. What was opened while the thread was busy is over."""
        self._opened = Wakeup()
