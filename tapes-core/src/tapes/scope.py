"""Scopes: context managers that are also decorators, for any callable."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Optional

from tapes.errors import InvalidTypeError, quoted

if TYPE_CHECKING:
    from types import TracebackType

    from tapes.decorating import Function


class Scope:
    """Measures from entering to leaving, as a context manager or a decorator.

    Any threads, tasks and contexts may enter and leave it. It raises no errors of its own. Leaving without having
    entered measures nothing.

    As a decorator it measures each call separately, so recursive and concurrent calls count correctly. A function is
    measured until it returns or raises; if it returns an asyncio future, until that is done. A coroutine, another
    awaitable, a generator and an asynchronous generator are measured from their first step until they are done,
    whether the decorated function is one or returns one.

    A copy of a scope is the scope itself. An unpickled scope measures for the metric of the same name in that process.
    """

    __slots__ = ()

    def __copy__(self) -> Scope:
        return self

    def __deepcopy__(self, memo: object) -> Scope:
        return self

    @abstractmethod
    def again(self) -> Scope:
        """Return a scope for the same metric, to measure one call. It may be shared, as this one may."""

    def forget(self) -> None:
        """Drop the last entry: leaving it measures nothing."""

    def handed_on(self) -> Scope:
        """Return an entered scope that continues the last entry of this one. The caller leaves both."""
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
        """Return `function`, wrapped to measure each call.

        Raises InvalidTypeError unless `function` is callable.
        """
        # Imported here because it imports `inspect`, which only programs that decorate need.
        from tapes.decorating import decorated

        return decorated(self, function)


def without_parentheses(method: str, name: str, function: object) -> InvalidTypeError:
    """Return the error for `@metric.method` instead of `@metric.method()`."""
    return InvalidTypeError(
        f"{method}() of {name!r} takes no argument, not {quoted(function)}: as a decorator it needs its parentheses, "
        f"as in @metric.{method}()."
    )
