"""The meter: the number of events and their rate per second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Tuple, Type

from tapes.errors import InvalidTypeError, quoted
from tapes.instruments.instrument import Instrument
from tapes.kinds.meter import METER
from tapes.recording import MeterBuffer
from tapes.scope import Scope

if TYPE_CHECKING:
    from types import TracebackType


class Meter(MeterBuffer, Instrument):
    """Counts events and averages their rate. `mark(n=1)` records; the rates are events per second."""

    __slots__ = ("__weakref__",)

    kind = METER

    def mark_exceptions(self, *types: Type[BaseException]) -> ExceptionMarking:
        """Return a scope that marks one event for each exception of `types` that leaves it. The exception goes on.

        It is a context manager and a decorator (see `tapes.scope.Scope`), which any number of threads and tasks may
        share. With no types it marks each Exception. An exception that leaves several scopes is marked by each.

        Raises InvalidTypeError unless all `types` are exception classes.
        """
        kinds: Tuple[Any, ...] = types
        for kind in kinds:
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise InvalidTypeError(
                    f"mark_exceptions() of {self.name!r} takes exception classes, not {quoted(kind)}: as a decorator "
                    "it needs its parentheses, as in @metric.mark_exceptions()."
                )
        return ExceptionMarking(self, types or (Exception,))


class ExceptionMarking(Scope):
    """Marks the exceptions that leave it, on a meter."""

    __slots__ = ("_meter", "_types")

    def __init__(self, meter: Meter, types: Tuple[Type[BaseException], ...]) -> None:
        self._meter = meter
        self._types = types

    def again(self) -> ExceptionMarking:
        """Return itself: it has no state between entering and leaving."""
        return self

    def __enter__(self) -> ExceptionMarking:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Any, traceback: Optional[TracebackType]) -> None:
        if kind is not None and issubclass(kind, self._types):
            self._meter.mark()

    def __reduce__(self) -> Tuple[Any, ...]:
        return self._meter.mark_exceptions, self._types

    def __repr__(self) -> str:
        return f"<ExceptionMarking for the meter {self._meter.name!r}>"
