"""The interface of a recording core, as Protocols for type checkers.

No buffer derives from them: that would slow down the creation of each class, and each `isinstance`.
`tests/typing/recording.py` assigns every buffer to its Protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Protocol, SupportsFloat, Tuple, Type, TypeVar, Union

from tapes.state.counter import CounterState
from tapes.state.gauge import GaugeState
from tapes.state.histogram import HistogramState
from tapes.state.meter import MeterState
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import SupportsIndex

    from tapes.naming import Tags
    from tapes.recording.buffer import Numbers
    from tapes.scope import Scope
    from tapes.state.distribution import Distribution

State = TypeVar("State", covariant=True)
Recording = TypeVar("Recording", covariant=True)


class Readable(Protocol[State]):
    """The recorded values, as numbers that are cheap to keep, and as the state that these stand for.

    Every method may be called in any thread. `now` is a time of the buffer's own clock. Numbers are immutable. They
    stay the same object until something is recorded, restarted or swapped; threads that read at the same time may
    get different objects that stand for the same values.
    """

    def numbers(self, now: float) -> Numbers:
        """Return the numbers of everything recorded before this call. Waits for nothing; safe in a signal handler."""
        ...

    def committed(self, now: float) -> Numbers:
        """Return the same, in the slices that later numbers build on.

        Waits for a fold in another thread, so do not call it in a signal handler or a finalizer.
        """
        ...

    def state(self, numbers: Numbers) -> State:
        """Return the state that numbers of this buffer stand for, whatever was recorded since."""
        ...

    def read(self, now: float) -> State:
        """Return `state(numbers(now))`."""
        ...


class Resettable(Protocol):
    """The methods for forked processes and isolated tests."""

    def restart(self) -> None:
        """Begin at zero in a child process. The fork may have come in the middle of any other method."""
        ...

    def swap(self, content: Optional[List[Any]]) -> List[Any]:
        """Return everything recorded, and replace it by the result of an earlier swap; None for nothing.

        The result is only good for a later swap. Waits for a fold in another thread.
        """
        ...


class Buffer(Readable[State], Resettable, Protocol[State]):
    """The buffer of any kind. The methods that record may be called anywhere, and wait for nothing.

    "Anywhere" includes any thread, signal handler or finalizer, in the middle of any other method of the same buffer.
    Each record counts exactly once; one that an exception cuts off counts at most once.
    """

    @property
    def name(self) -> str:
        """The metric's name, for errors."""
        ...

    @property
    def tags(self) -> Tags:
        """Pairs of key and value."""
        ...

    @property
    def now(self) -> Callable[[], float]:
        """The clock of this buffer: seconds, from an arbitrary start."""
        ...


class Sliced(Protocol[State]):
    """A method of histograms and timers only, whose states consist of slices."""

    def states(self, numbers: Numbers, known: Numbers) -> Tuple[State, State]:
        """Return two states to subtract from each other. Slices that are the same in both may be left out."""
        ...


class CounterRecording(Buffer[CounterState], Protocol):
    """The buffer of a counter."""

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n`."""
        ...

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Subtract `n`."""
        ...


class GaugeRecording(Buffer[GaugeState], Protocol):
    """The buffer of a gauge that is set. No method calls another method that a subclass may override."""

    def set(self, value: SupportsFloat) -> None:
        """Set the value."""
        ...

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n` to the value."""
        ...

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Subtract `n` from the value."""
        ...


class MeterRecording(Buffer[MeterState], Protocol):
    """The buffer of a meter."""

    def mark(self, n: SupportsIndex = 1) -> None:
        """Record that `n` events happened now."""
        ...


class HistogramRecording(Buffer[HistogramState], Sliced[HistogramState], Protocol):
    """The buffer of a histogram."""

    def update(self, value: SupportsFloat) -> None:
        """Record one value."""
        ...


class TimerRecording(Buffer[TimerState], Sliced[TimerState], Protocol):
    """The buffer of a timer."""

    def update(self, duration: Union[SupportsFloat, timedelta]) -> None:
        """Record one event that took `duration`."""
        ...

    def time(self, function: None = None) -> Scope:
        """Return a scope that records the duration from entering to leaving."""
        ...


class Make(Protocol[Recording]):
    """A class of buffers, as a callable."""

    def __call__(self, name: str, tags: Tags, now: Callable[[], float]) -> Recording:
        """Return a buffer at zero. `now` is its clock, and must neither raise nor wait."""
        ...


class Core(Protocol):
    """A recording core: a module with these names."""

    @property
    def name(self) -> str:
        """The core's name, as in `pure`."""
        ...

    @property
    def CAPACITY(self) -> int:  # noqa: N802  a constant
        """Records that fill a buffer. A full buffer is folded; reading folds it earlier. 0 if records are never
        pending."""
        ...

    @property
    def CounterBuffer(self) -> Make[CounterRecording]:  # noqa: N802  a class, as the others
        """The buffers of counters."""
        ...

    @property
    def GaugeBuffer(self) -> Make[GaugeRecording]:  # noqa: N802
        """The buffers of gauges."""
        ...

    @property
    def MeterBuffer(self) -> Make[MeterRecording]:  # noqa: N802
        """The buffers of meters."""
        ...

    @property
    def HistogramBuffer(self) -> Make[HistogramRecording]:  # noqa: N802
        """The buffers of histograms."""
        ...

    @property
    def TimerBuffer(self) -> Make[TimerRecording]:  # noqa: N802
        """The buffers of timers."""
        ...

    @property
    def Timing(self) -> Type[Scope]:  # noqa: N802
        """The class of the scopes that a timer's `time()` returns."""
        ...

    def exact(self, value: object) -> Optional[float]:
        """Return the int or float that `value` is recorded as; None if it is not a finite real number."""
        ...

    def distribution_of(self, values: List[float], onto: Distribution) -> Distribution:
        """Return the distribution of the values in `onto` and of `values`, which must not be empty."""
        ...
