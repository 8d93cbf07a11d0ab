"""What the rest of tapes may use of a recording core, as Protocols for type checkers.

No buffer derives from them: that would make each class slower to create, and each `isinstance` slower.
`tests/typing/recording.py` assigns every buffer to its Protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Protocol, SupportsFloat, Tuple, Type, TypeVar, Union

from tapes.state.counter import CounterState
from tapes.state.gauge import GaugeState
from tapes.state.histogram import HistogramState
from tapes.state.rates import MeterState
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
    """What has been recorded, as numbers that are cheap to keep, and as the state that is made of them.

    Every method may be called in any thread. `now` is a time of the buffer's own clock. Numbers are immutable, and
    stay the same object for as long as nothing is recorded and nothing is restarted or exchanged; threads that read at
    the same time may get different ones that say the same.
    """

    def numbers(self, now: float) -> Numbers:
        """Return the numbers of everything recorded before this call. Waits for nothing, safe in a signal handler."""
        ...

    def committed(self, now: float) -> Numbers:
        """Return the same, such that later numbers build upon them: no slice is cut in another way.

        Waits for a fold in another thread, so it must not be called in a signal handler or a finalizer.
        """
        ...

    def state(self, numbers: Numbers) -> State:
        """Return the state that numbers of this buffer stand for, whatever has been recorded since."""
        ...

    def read(self, now: float) -> State:
        """Return `state(numbers(now))`."""
        ...


class Resettable(Protocol):
    """What forks and isolated tests do to a buffer."""

    def restart(self) -> None:
        """Begin at zero in a child process, which may have been forked in the middle of any other method."""
        ...

    def exchange(self, content: Optional[List[Any]]) -> List[Any]:
        """Take out everything recorded and put in what an earlier exchange returned; nothing for None.

        The content is for nothing but a later exchange. Waits for a fold in another thread.
        """
        ...


class Buffer(Readable[State], Resettable, Protocol[State]):
    """What all kinds have in common. The methods that record may be called anywhere, and wait for nothing.

    That is in any thread, signal handler or finalizer, in the middle of any other method of the same buffer. Each
    record counts exactly once, unless an exception is raised in the middle of it: then once at the most.
    """

    @property
    def name(self) -> str:
        """The name that errors say."""
        ...

    @property
    def tags(self) -> Tags:
        """Pairs of key and value."""
        ...

    @property
    def now(self) -> Callable[[], float]:
        """The clock that it was made with: seconds, from an arbitrary start."""
        ...


class Sliced(Protocol[State]):
    """What histograms and timers have as well, whose states consist of slices."""

    def states(self, numbers: Numbers, known: Numbers) -> Tuple[State, State]:
        """Return the states of two moments, for their difference: slices that are the same in both may be left out."""
        ...


class CounterRecording(Buffer[CounterState], Protocol):
    """The buffer of a counter."""

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n`."""
        ...

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Take away `n`."""
        ...


class GaugeRecording(Buffer[GaugeState], Protocol):
    """The buffer of a gauge that is set. No method calls another one that may be overridden."""

    def set(self, value: SupportsFloat) -> None:
        """Make `value` the value."""
        ...

    def increment(self, n: SupportsFloat = 1) -> None:
        """Add `n` to the value."""
        ...

    def decrement(self, n: SupportsFloat = 1) -> None:
        """Take `n` from the value."""
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
    """A class of buffers."""

    def __call__(self, name: str, tags: Tags, now: Callable[[], float]) -> Recording:
        """Return a buffer at zero. `now` is its clock, and must neither raise nor wait."""
        ...


class Core(Protocol):
    """A recording core: a module with these names."""

    @property
    def name(self) -> str:
        """What it is called: `pure`."""
        ...

    @property
    def CAPACITY(self) -> int:  # noqa: N802  a constant
        """How many records make a buffer full, which is when they are folded if nobody has read it before; 0 if none
        ever wait."""
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
        """Return the int or float that `value` is recorded as; None for what is no finite real number."""
        ...

    def distribution_of(self, values: List[float], onto: Distribution) -> Distribution:
        """Return the distribution of the values in `onto` and of `values`, of which there is at least one."""
        ...
