"""The gauge: a current value."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple, Type

from tapes import portable
from tapes.errors import InvalidTypeError, quoted
from tapes.instruments.instrument import Instrument
from tapes.instruments.producing import ProducerCalls, is_same
from tapes.kinds.gauge import GAUGE
from tapes.process import forking
from tapes.recording import GaugeBuffer, exact
from tapes.scope import Scope, without_parentheses
from tapes.state.gauge import MERGES, UNSET, single

if TYPE_CHECKING:
    from types import TracebackType
    from typing import SupportsFloat

    from tapes.instruments.producing import Producer
    from tapes.naming import Tags
    from tapes.recording import Numbers

_being_asked: ContextVar[Tuple[Gauge, ...]] = ContextVar("tapes_gauges_being_asked", default=())


class Gauge(GaugeBuffer, Instrument):
    """A current value, which the program sets, or a producer returns whenever the gauge is read.

    The producer is called in the thread that reads, with no lock held. If it raises, or returns anything but a finite
    number, the value is None, which is logged once for each streak.
    """

    __slots__ = ("__weakref__", "_calls", "_is_aside", "_settable", "merge", "producer")

    kind = GAUGE

    def __init__(
        self,
        name: str,
        tags: Tags,
        now: Callable[[], float],
        producer: Optional[Producer],
        merge: str,
        *,
        settable: bool,
    ) -> None:
        super().__init__(name, tags, now)
        self.producer = producer
        """The callable that returns the value; None for a gauge that is set."""
        self.merge = merge
        """How to combine the values of several processes: `sum`, `min`, `max`, `mean` or `last`."""
        self._settable = settable  # stays True when it gets a producer later: code that sets it must not start to fail
        self._is_aside = False
        self._calls: Optional[ProducerCalls] = None

    def set(self, value: SupportsFloat) -> None:
        """Set the value of this gauge, any real number.

        Safe to call from any thread, signal handler or finalizer; waits for nothing. Costs about 200 ns.

        Raises InvalidTypeError unless `value` is a number, and for a gauge that was made with a producer;
        InvalidValueError for NaN and infinities.
        """
        if self.producer is not None:
            self._be_set(value)
        super().set(value)

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n` to the value, which is 0 until set. As safe as `set`, and raises the same errors."""
        if self.producer is not None:
            self._be_set(n)
        super().increment(n)

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Subtract `n` from the value. The same as `increment(-n)`."""
        if self.producer is not None:
            self._be_set(n)
        super().decrement(n)

    def asked_for(self, producer: Optional[Producer], merge: str) -> Optional[str]:
        """Use the newest producer, and the first `merge` that is not the default.

        Return the conflict with an earlier request, as the end of a sentence; None if there is none.
        """
        if self._is_aside:
            self._be_new(producer, merge)
        problem = None
        default = MERGES[0]
        if merge not in (default, self.merge):
            if self.merge == default:
                self.merge = merge
            else:
                problem = f"is merged by {self.merge!r}, not by {merge!r}: the first value stays."
        before = self.producer
        if producer is None or is_same(producer, before):
            return problem
        is_set = before is None and self._is_set(self.now())
        self.producer = producer
        if before is not None:
            return f"has a new producer: {quoted(producer)} is called from now on, instead of {quoted(before)}."
        if is_set:
            return (
                f"was set by the program and has a producer now: {quoted(producer)} is called from now on, and values "
                "that are set are not reported."
            )
        return problem

    def track_in_progress(self, function: None = None) -> ProgressTracking:
        """Return a scope that adds 1 on entering and subtracts it on leaving: the gauge counts calls in progress.

        It is a context manager and a decorator (see `tapes.scope.Scope`), which threads and tasks may enter any number
        of times at once. An entry made before a fork does not count in the child.

        Raises InvalidTypeError for `@gauge.track_in_progress` without its parentheses, and for a gauge that was made
        with a producer.
        """
        if function is not None:
            raise without_parentheses("track_in_progress", self.name, function)
        if not (self._settable or self._is_aside):
            raise self._produced("track_in_progress()")
        return ProgressTracking(self)

    def numbers(self, now: float) -> Numbers:
        """Return the numbers of the state at `now`. Calls the producer, if there is one."""
        if self.producer is None:
            return super().numbers(now)
        value = self._produce(self.producer)
        return (UNSET if value is None else single(value, now)).numbers()

    def committed(self, now: float) -> Numbers:
        """Return the same, after a fold like that of `Buffer.committed`."""
        return super().committed(now) if self.producer is None else self.numbers(now)

    def recorded(self, now: float) -> Numbers:
        """Return the numbers of what was set, without a call of the producer."""
        return super().committed(now)

    def is_at_zero(self, now: float) -> bool:
        """Return whether the gauge was never set and has no producer."""
        return self.producer is None and not self._is_set(now)

    def _is_set(self, now: float) -> bool:
        return self.state(super().numbers(now)).parts > 0

    def swap(self, content: Optional[List[Any]]) -> List[Any]:
        """Return everything recorded, and restore records, producer and `merge` of an earlier swap."""
        asked = self.producer, self.merge, self._settable, self._is_aside
        taken = super().swap(None if content is None else content[1:])
        if content is not None:
            self.producer, self.merge, self._settable, self._is_aside = content[0]
        return [asked, *taken]

    def put_aside(self) -> None:
        """Keep the producer until the program sets the gauge, or asks for it with another one."""
        self._is_aside = True

    def _be_new(self, producer: Optional[Producer], merge: str) -> None:
        if producer is not None:
            self.producer, self._settable, self._is_aside = producer, False, False
        if merge != MERGES[0]:
            self.merge = merge

    def _be_set(self, value: object) -> None:
        """Allow the program to set `value`; drop a producer that is left over from an isolation.

        Raises InvalidTypeError if the gauge was made with a producer. An invalid value changes nothing here, and is
        refused later.
        """
        if exact(value) is None:
            return
        if self._is_aside:
            self.producer, self._settable, self._is_aside = None, True, False
        if not self._settable:
            raise self._produced("set(), increment() and decrement()")

    def _produce(self, producer: Producer) -> Optional[float]:
        asked = _being_asked.get()
        if self in asked:
            return None  # its own producer reads this gauge, for example by get_stats()
        if self._calls is None:
            self._calls = ProducerCalls(f"The gauge {self.name!r}", "it is reported as null")
        token = _being_asked.set((*asked, self))
        try:
            return self._calls.number(producer)
        finally:
            _being_asked.reset(token)

    def _produced(self, what: str) -> InvalidTypeError:
        return InvalidTypeError(
            f"The gauge {self.name!r} has the producer {quoted(self.producer)}, so {what} cannot be used: make a gauge "
            "without a producer."
        )

    def __reduce__(self) -> Tuple[Any, ...]:
        _, (_, *series) = portable.reduced(self)
        # A producer that cannot be imported by name, like a bound method, stays in this process.
        producer = self.producer if portable.importable(self.producer) else None
        return portable.found_gauge, (*series, self.merge, producer)


# The buffer's own methods, which work even if the gauge has got a producer since the tracking began.
_increment, _decrement = GaugeBuffer.increment, GaugeBuffer.decrement


class ProgressTracking(Scope):
    """Counts the calls in progress, on a gauge."""

    __slots__ = ("_entered", "_gauge")

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._entered: List[int] = []  # the process generation of each entry

    def again(self) -> ProgressTracking:
        """Return itself: it keeps only the number of entries."""
        return self

    def __enter__(self) -> ProgressTracking:
        self._entered.append(forking.generation)
        _increment(self._gauge)
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Any, traceback: Optional[TracebackType]) -> None:
        try:
            generation = self._entered.pop()
        except IndexError:
            return  # it had not been entered
        if generation == forking.generation:
            _decrement(self._gauge)

    def __reduce__(self) -> Tuple[Any, ...]:
        return self._gauge.track_in_progress, ()

    def __repr__(self) -> str:
        return f"<ProgressTracking for the gauge {self._gauge.name!r}>"
