"""Reporters that push: a sender sends snapshots to its destination, and a reporter says when."""

from __future__ import annotations

import copy
import inspect
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Hashable, Mapping, NamedTuple, Optional, Protocol, Sequence

from tapes.reporting.scheduled import ScheduledReporter
from tapes.reporting.signatures import constructor, paragraphs, signature_of

if TYPE_CHECKING:
    from typing import Dict, List

    from tapes.clock import Clock
    from tapes.reporting.reporter import Reporter
    from tapes.snapshot import Snapshot


class Sender(Protocol):
    """Sends snapshots to one destination. Its constructor checks its options, and opens nothing.

    These attributes are optional:

    - `destination`, hashable: for a sender that must know what its destination already has. Snapshots for the same
      destination are taken one after the other and numbered: see `Context`.
    - `context`: set to a `Context` before `open()` and before each `send()`.
    - `obstacles()`: returns a sentence without a full stop for each problem that would make `open()` fail.
    - `__str__()`: the destination, for the `repr()` of the reporter.

    Each run of a reporter has its own copy of the sender (`copy.copy`), made before `open()`. So `open()` creates the
    resources of one run, and a call that hangs in an abandoned run does not disturb later runs.
    """

    def open(self) -> None:
        """Acquire resources. Raise for faults of the user: they reach the caller of `start()`.

        An OSError in a forked child does not, because there it is not the user's mistake: each report tries again.
        """

    def send(self, snapshot: Snapshot, /) -> None:
        """Encode a snapshot and send it. May block. Any error makes it a failed report."""

    def close(self) -> None:
        """Release what `open()` has acquired.

        It may be called without `open()`. In a forked child it is called for the parent's resources: there, close
        descriptors, but do not send, flush or shut down anything. It may be called while a `send()` hangs, if the
        reporter was stopped and started again meanwhile.
        """


class Context(NamedTuple):
    """Information for a sender about its reporter and the snapshot."""

    reporter: str
    """The name of the reporter in logs and errors."""
    clock: Clock
    """The clock of the reporter."""
    notes: Dict[Hashable, Any]
    """The notes of the snapshot's registry, to remember what was delivered: see `tapes.registry.Registry.notes`."""
    number: int
    """The number of the snapshot: those for the same destination are numbered from 1, in the order of their making."""


class PushReporter(ScheduledReporter):
    """Sends a snapshot of its registry with a sender, at every interval, in its own thread.

    A subclass only names the class of its sender:

        class PeaksReporter(PushReporter):
            sender = PeaksSender

    Its constructor takes `interval`, the sender's positional options, `registry`, the sender's keyword-only options and
    `clock`. So only the sender declares its options. Override `report()` to change what a report does.
    """

    sender: ClassVar[Callable[..., Sender]]
    """The class of the sender."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take `interval`, `registry`, `clock` and the sender's options. Subclasses have an explicit signature.

        Raises TypeError for a class without a sender.
        """
        if not hasattr(self, "sender"):
            raise TypeError(f"{type(self).__name__} has no sender: name its class by the attribute `sender`.")
        _constructor(type(self), type(self).sender)(self, *args, **options)

    def __init_subclass__(cls, **options: Any) -> None:
        """Make the constructor of a class that names its sender. Raises TypeError for what cannot be one."""
        super().__init_subclass__(**options)
        if "sender" in vars(cls):
            _check(cls.__name__, cls.sender)
            if cls.__doc__ is None:
                cls.__doc__ = cls.sender.__doc__
            if "__init__" not in vars(cls):
                cls.__init__ = _constructor(cls, cls.sender)  # type: ignore[method-assign]  # on purpose

    def _set_up(self, sender: Sender) -> None:
        self._take(sender)
        self._opened: Optional[Sender] = None
        self._described = ""
        self._has_inherited = False

    def _take(self, sender: Sender) -> None:
        """Use this sender from now on, for one report at a time."""
        self._sender = sender
        self._turn = sender, os.getpid(), threading.Lock()

    def obstacles(self, earlier: Mapping[str, Reporter]) -> Sequence[str]:
        """Return the obstacles of the sender."""
        obstacles: Optional[Callable[[], Sequence[str]]] = getattr(self._sender, "obstacles", None)
        return () if obstacles is None else obstacles()

    def open(self) -> None:
        """Open a sender for this run."""
        left, self._opened = self._opened, None
        if left is not None:  # left over from a run that hung, which was logged
            with suppress(Exception):
                left.close()
        self._take(copy.copy(self._sender))
        has_inherited, self._has_inherited = self._has_inherited, False
        try:
            self._open(self._sender)
        except OSError:
            if not has_inherited:  # in a child it is not the user's mistake: each report tries again
                raise

    def report(self) -> None:
        """Send a snapshot. Waits while another thread sends one."""
        sender, pid, lock = self._turn  # those of this run, even if another begins while this report hangs
        if pid != os.getpid():
            self._take(sender)  # a thread of the parent may hold the lock
            sender, pid, lock = self._turn
        with lock:
            self._report(sender)

    def _report(self, sender: Sender) -> None:
        if self._opened is not sender and not self._open(sender):
            return
        destination: Hashable = getattr(sender, "destination", None)
        if destination is None:
            snapshot = self.registry.snapshot()
            self._introduce(sender)
        else:
            notes = self.registry.notes
            if notes is None:
                return  # an isolation begins or ends
            order = notes.setdefault((_Order, os.getpid(), destination), _Order())
            with order.lock:
                snapshot = self.registry.snapshot()
                if self.registry.notes is not notes:
                    return  # an isolation has begun or ended meanwhile, so the snapshot may mix inside and outside
                order.number += 1
                number = order.number
            self._introduce(sender, notes, number)
        sender.send(snapshot)

    def close(self) -> None:
        """Close the sender."""
        self._opened = None
        self._sender.close()

    def close_inherited(self) -> None:
        """Close what the parent's sender has opened."""
        self._has_inherited = True
        self.close()

    def after_fork(self) -> None:
        """Become a reporter of this child process. Called by `tapes.process.forking`."""
        super().after_fork()
        self._has_inherited = False  # a later `start()` in this child raises the errors of `open()` again

    def __repr__(self) -> str:
        sender = self._sender
        described = str(sender) if type(sender).__str__ is not object.__str__ else ""
        return f"{type(self).__name__}(interval={self.interval:g}{', ' * bool(described)}{described})"

    def _open(self, sender: Sender) -> bool:
        """Open a sender. Return False if another run has begun meanwhile."""
        self._described = repr(self)
        self._introduce(sender)
        sender.open()
        if self._sender is sender:
            self._opened = sender
            return True
        sender.close()
        return False

    def _introduce(self, sender: Any, notes: Optional[Dict[Hashable, Any]] = None, number: int = 0) -> None:
        if hasattr(sender, "context"):
            sender.context = Context(self._described, self.clock, {} if notes is None else notes, number)


class _Order:
    """The numbers of snapshots for one destination. Its lock keeps two snapshots from being taken at the same time.

    Of two such snapshots, neither would be the newer one for all counters.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.number = 0


def _constructor(cls: type, sender: Callable[..., Sender]) -> Callable[..., None]:
    """Return the constructor of a reporter, composed from those of `ScheduledReporter` and its sender."""
    of_reporter = signature_of(ScheduledReporter.__init__).parameters
    made_by = _made_by(sender)
    of_sender = list(signature_of(made_by).parameters.values())[isinstance(sender, type) :]
    for parameter in of_sender:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{sender!r} takes options without a name, {parameter}: name each option.")
    taken = sorted({parameter.name for parameter in of_sender} & {*of_reporter, "io_loop"})
    if taken:
        raise TypeError(f"{sender!r} has an option {taken[0]!r}, as every reporter has: name it differently.")
    # A configuration passes all options by name, so the reporter accepts even positional-only ones by name.
    nameless = [each for each in of_sender if each.kind is each.POSITIONAL_ONLY]
    by_position = [
        each.replace(kind=each.POSITIONAL_OR_KEYWORD) for each in of_sender if each.kind is not each.KEYWORD_ONLY
    ]
    by_keyword = [each for each in of_sender if each.kind is each.KEYWORD_ONLY]
    parameters: List[inspect.Parameter] = [of_reporter["interval"], *by_position, of_reporter["registry"]]
    every, clock = paragraphs(ScheduledReporter.__init__) or ["", ""]
    doc = "\n\n".join([every, *paragraphs(made_by), clock])

    def construct(self: PushReporter, bound: inspect.BoundArguments) -> None:
        options = dict(bound.arguments)
        interval, registry, clock = options.pop("interval"), options.pop("registry", None), options.pop("clock", None)
        ScheduledReporter.__init__(self, interval, registry, clock=clock)
        self._set_up(sender(*[options.pop(each.name, each.default) for each in nameless], **options))

    return constructor(cls, [*parameters, *by_keyword, of_reporter["clock"]], doc, construct, made_by)


def _check(reporter: str, sender: Callable[..., Sender]) -> None:
    """Raise TypeError for a class that is none of senders."""
    for name in ("open", "send", "close") if isinstance(sender, type) else ():
        method = getattr(sender, name, None)
        if not callable(method):
            raise TypeError(
                f"{reporter} sends by {sender.__name__}, which has no {name}(): "
                "a sender has open(), send(snapshot) and close()."
            )
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise TypeError(
                f"{reporter} sends by {sender.__name__}, whose {name}() is asynchronous: a sender is always called in "
                "a thread, and may block. Use def."
            )


def _made_by(sender: Callable[..., Sender]) -> Callable[..., Any]:
    """Return the constructor of a sender. That of a Protocol does not count: it accepts any arguments."""
    if not isinstance(sender, type):
        return sender
    for cls in sender.__mro__[:-1]:
        found: Optional[Callable[..., Any]] = vars(cls).get("__init__")
        if found is not None and not vars(cls).get("_is_protocol", False):
            return found
    return _nothing


def _nothing(self: object) -> None:
    pass
