"""Scopes as decorators: they measure each call, of functions, coroutines, generators and futures."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache, partial, wraps
from types import AsyncGeneratorType, CoroutineType, GeneratorType, coroutine
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Protocol, Set, cast

from tapes.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from types import TracebackType
    from typing import TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

_AT_ONCE = frozenset([bool, int, float, str, bytes, list, tuple, dict, set])
"""Types of results that are done when the call returns."""

_OF_ANY_CLASS = frozenset(
    [
        *dir(type("", (), {})),
        "__abstractmethods__",
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__class_getitem__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__del__",
        "__firstlineno__",
        "__getattr__",
        "__match_args__",
        "__orig_bases__",
        "__parameters__",
        "__replace__",
        "__slots__",
        "__static_attributes__",
    ]
)
"""Special names that say nothing about what an object can do."""

_ITERABLE_COROUTINE = 0x100  # inspect.CO_ITERABLE_COROUTINE


class Measuring(Protocol):
    """The part of a `tapes.scope.Scope` that decorators use."""

    def again(self) -> Measuring:
        """Return a scope for the same metric, to measure one call."""

    def forget(self) -> None:
        """Drop the last entry: leaving it measures nothing."""

    def handed_on(self) -> Measuring:
        """Return an entered scope that continues the last entry of this one."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None: ...

    def __call__(self, function: Function) -> Function:
        """Return `function`, wrapped to measure each call."""


def decorated(scope: Measuring, function: Function) -> Function:
    """Return `function`, wrapped to measure each call. See `tapes.scope.Scope`."""
    candidate: Any = function
    if isinstance(candidate, (staticmethod, classmethod)):
        return cast("Function", type(candidate)(scope(candidate.__func__)))
    if not callable(candidate):
        raise InvalidTypeError(
            f"{scope!r} decorates functions, not {function!r} ({type(function).__name__}): put it below @property."
        )
    layers = list(_layers(candidate))
    if any(map(inspect.iscoroutinefunction, layers)):
        wrapper = _around_coroutine_function(scope, function)
    elif any(map(inspect.isasyncgenfunction, layers)):
        wrapper = _around_async_generator_function(scope, function)
    elif any(map(inspect.isgeneratorfunction, layers)):
        wrapper = _around_generator_function(scope, function)
        if any(map(_makes_awaitable_generators, layers)):
            wrapper = coroutine(wrapper)
    else:
        wrapper = _around_function(scope, function)
    return cast("Function", wraps(function)(wrapper))


def _around_function(scope: Measuring, function: Callable[..., Any]) -> Callable[..., Any]:
    again = scope.again

    def call(*args: Any, **kwargs: Any) -> Any:
        with again() as inside:
            result = function(*args, **kwargs)
            if result is None:
                return None
            try:
                kind: Any = type(result)
                if kind not in _AT_ONCE and _manner(kind) is not None:
                    result = _until_done(scope, result, inside)
            except Exception:  # noqa: BLE001  inspecting a foreign class may raise anything
                return result
            return result

    return call


def _around_coroutine_function(scope: Measuring, function: Callable[..., Any]) -> Callable[..., Any]:
    again = scope.again

    async def call(*args: Any, **kwargs: Any) -> Any:
        with again():
            return await function(*args, **kwargs)

    return call


def _around_generator_function(scope: Measuring, function: Callable[..., Any]) -> Callable[..., Any]:
    again = scope.again

    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with again():
            return (yield from function(*args, **kwargs))

    return call


def _around_async_generator_function(scope: Measuring, function: Callable[..., Any]) -> Callable[..., Any]:
    again = scope.again

    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with again():
            generator = function(*args, **kwargs)
            step = generator.__anext__()
            while True:
                # Pass on sent values and thrown errors: asynchronous generators have no `yield from`.
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


def _until_done(scope: Measuring, result: Any, inside: Measuring) -> Any:
    """Return the result of a call, or a wrapper of it that is measured until it is done.

    `inside` was entered for the call. A result with a first step is measured from that step, which may never come.
    """
    manner: Any = _manner(type(result))  # type: ignore[arg-type]  # classes have a hash
    if manner == "future":
        _until_future_done(result, inside)
        return result
    if manner == "generator":
        if inspect.getgeneratorstate(result) != inspect.GEN_CREATED:
            return result  # it has started, so it was made before this call
        if result.gi_code.co_flags & _ITERABLE_COROUTINE:
            manner = "coroutine"
    inside.forget()
    if manner == "awaitable":
        return _Awaitable(result, scope)
    around = {
        "coroutine": _around_coroutine_function,
        "generator": _around_generator_function,
        "async generator": _around_async_generator_function,
    }[manner]
    return around(scope, lambda: result)()


def _until_future_done(future: Any, inside: Measuring) -> None:
    if future.done():
        return
    entered = [inside.handed_on()]

    def leave(error: Optional[BaseException]) -> None:
        with suppress(IndexError):  # leave only once, however often this is called
            entered.pop().__exit__(None if error is None else type(error), error, None)

    def done(*_: object) -> None:  # a foreign future may pass any arguments
        leave(_error_of(future))

    try:
        future.add_done_callback(done)
    except BaseException:
        leave(None)  # the future will not report its end, so measure only the call
        raise


class _Awaitable:
    """Wraps an object that can only be awaited, with the same attributes and class."""

    __slots__ = ("_awaitable", "_scope")

    def __init__(self, awaitable: Any, scope: Measuring) -> None:
        object.__setattr__(self, "_awaitable", awaitable)
        object.__setattr__(self, "_scope", scope)

    @property  # type: ignore[misc]  # an assignment goes to the awaitable's attribute
    def __class__(self) -> Any:
        return self._awaitable.__class__

    def __await__(self) -> Generator[Any, Any, Any]:
        with self._scope.again():
            return (yield from self._awaitable.__await__())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._awaitable, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._awaitable, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._awaitable, name)

    def __repr__(self) -> str:
        return repr(self._awaitable)


@lru_cache(maxsize=256)
def _manner(kind: type) -> Optional[str]:
    """Return the way in which results of this type continue after a call, None if they do not."""
    if hasattr(kind, "_asyncio_future_blocking"):  # how asyncio recognises futures
        return "future"
    if issubclass(kind, GeneratorType):
        return "generator"
    if issubclass(kind, AsyncGeneratorType):
        return "async generator"
    # An object that can do more cannot be wrapped, like the asynchronous context managers that HTTP clients return.
    if issubclass(kind, Coroutine):
        more = {name for name in dir(kind) if not name.startswith(("_", "cr_"))} | _special(kind)
        return None if more - set(dir(CoroutineType)) else "coroutine"
    return "awaitable" if _special(kind) == {"__await__"} else None


def _special(kind: type) -> Set[str]:
    """Return the special names of a class that show what its objects can do."""
    return {name for name in dir(kind) if name.startswith("__")} - _OF_ANY_CLASS


def _layers(function: Any) -> Iterator[Any]:
    """Yield `function` and the functions it wraps: that of a `partial`, and the `__call__` of an object."""
    while True:
        yield function
        if isinstance(function, partial):
            function = function.func
        elif inspect.isroutine(function) or isinstance(function, type):
            return
        else:
            function = type(function).__call__


def _makes_awaitable_generators(function: Any) -> bool:
    """Return whether `types.coroutine` was applied to this generator function."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & _ITERABLE_COROUTINE)


def _error_of(future: Any) -> Optional[BaseException]:
    """Return the exception of a future, None if it has none. Raises nothing."""
    try:
        cancelled = future.cancelled()
    except Exception:  # noqa: BLE001  a foreign future may raise anything
        return None
    if cancelled:
        from asyncio import CancelledError

        return CancelledError()
    # Not exception(): that marks the exception as retrieved, and asyncio would no longer log it.
    error: Optional[BaseException] = getattr(future, "_exception", None)
    return error
