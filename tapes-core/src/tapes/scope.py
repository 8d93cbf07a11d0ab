"""Scopes: context managers that are decorators too, for whatever can be called."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Optional

from tapes.errors import InvalidTypeError, quoted

if TYPE_CHECKING:
    from types import TracebackType

    from tapes.decorating import Function


class Scope:
    """Something that is measured from entering it to leaving it.

    It may be entered and left by any threads, tasks and contexts, and raises nothing of itself. To leave what was not
    entered measures nothing.

    As a decorator it measures each call by itself, so recursive and concurrent ones are right. A function is measured
    until it returns or raises, and where it returns a future of asyncio, until that is done. A coroutine, another
    awaitable, a generator and an asynchronous generator are measured from their first step until they are done,
    whichever function they are of or returned by.

    A copy of a scope is the scope itself. One that is pickled measures for the metric of that name where it arrives.
    """

    __slots__ = ()

    def __copy__(self) -> Scope:
        return self

    def __deepcopy__(self, memo: object) -> Scope:
        return self

    @abstractmethod
    def again(self) -> Scope:
        """Return a scope that measures the same, for one call. Others may be in it too, as in this one."""

    def forget(self) -> None:
        """Measure nothing of what was entered last, when it is left."""

    def handed_on(self) -> Scope:
        """Return an entered scope that goes on with the last entry of this one. Both have to be left."""
        scope = self.again()
        scope.__enter__()
        return scope

    @abstractmethod
    def __enter__(self) -> Any: ...

    @abstractmethod
    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None: ...

    def __call__(self, function: Function) -> Function:
        """Return `function` with each of its calls in a scope of its own.

        Raises InvalidTypeError for what cannot be called.
        """
        # Only who decorates has to pay for this import, which is of `inspect` too.
        from tapes.decorating import decorated

        return decorated(self, function)


def without_parentheses(method: str, name: str, function: object) -> InvalidTypeError:
    """Return the error for `@metric.method` in the place of `@metric.method()`."""
    return InvalidTypeError(
        f"{method}() of {name!r} takes no argument, not {quoted(function)}: as a decorator it needs its parentheses, "
        f"as in @metric.{method}()."
    )
