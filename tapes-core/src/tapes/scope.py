"""Scopes: context managers that are decorators too, for functions of every kind."""

from __future__ import annotations

from abc import abstractmethod
from functools import wraps
from typing import TYPE_CHECKING, Any, Callable, TypeVar, cast

from tapes.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from contextlib import AbstractContextManager

Function = TypeVar("Function", bound=Callable[..., Any])


class Scope:
    """Something that is measured from entering it to leaving it.

    As a decorator it measures each call: of a function and of a coroutine function until it returns or raises, of a
    generator and of an asynchronous generator from its first step until it is exhausted, closed or raises. Every call
    is measured by itself, so recursive and concurrent ones are right.

    A copy of a scope is the scope itself. One that is pickled measures for the metric of that name where it arrives.
    """

    __slots__ = ()

    def __copy__(self) -> Scope:
        return self

    def __deepcopy__(self, memo: object) -> Scope:
        return self

    @abstractmethod
    def again(self) -> AbstractContextManager[Any]:
        """Return a scope that measures the same, for one call. Others may be in it too, as in this one."""

    def apart(self) -> AbstractContextManager[Any]:
        """Return a scope that measures the same, for one call that may be suspended while others begin and end."""
        return self.again()

    def __call__(self, function: Function) -> Function:
        """Return `function` with each of its calls in a scope of its own.

        Raises InvalidTypeError for what cannot be called.
        """
        # Only who decorates has to pay for this import, and a program that decorates has mostly paid for it already.
        import inspect

        candidate: Any = function
        if not callable(candidate) or isinstance(candidate, (staticmethod, classmethod)):
            raise InvalidTypeError(
                f"{self!r} decorates functions, not {function!r} ({type(function).__name__}): put it below "
                "@property, @classmethod and @staticmethod."
            )
        if inspect.iscoroutinefunction(function):
            wrapper = self._around_coroutine_function(function)
        elif inspect.isasyncgenfunction(function):
            wrapper = self._around_async_generator_function(function)
        elif inspect.isgeneratorfunction(function):
            wrapper = self._around_generator_function(function)
        else:
            wrapper = self._around_function(function)
        return cast("Function", wraps(function)(wrapper))

    def _around_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        again = self.again

        def call(*args: Any, **kwargs: Any) -> Any:
            with again():
                return function(*args, **kwargs)

        return call

    def _around_coroutine_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        apart = self.apart

        async def call(*args: Any, **kwargs: Any) -> Any:
            with apart():
                return await function(*args, **kwargs)

        return call

    def _around_generator_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        apart = self.apart

        def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with apart():
                return (yield from function(*args, **kwargs))

        return call

    def _around_async_generator_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        apart = self.apart

        async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            with apart():
                generator = function(*args, **kwargs)
                step = generator.__anext__()
                while True:
                    # What `yield from` does for generators, there is no syntax for: hand on what is sent and thrown.
                    try:
                        value = await step
                    except StopAsyncIteration:
                        return
                    try:
                        sent = yield value
                    except GeneratorExit:
                        await generator.aclose()
                        raise
                    except BaseException as error:  # noqa: BLE001  it is thrown on
                        step = generator.athrow(error)
                    else:
                        step = generator.asend(sent)

        return call
