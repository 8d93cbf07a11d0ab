"""What makes a decorator of a scope: each call of a function is measured, in whatever manner it goes on."""

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
"""Types of results that need no closer look."""

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
"""Special names that say nothing of what an object can do."""

_ITERABLE_COROUTINE = 0x100  # inspect.CO_ITERABLE_COROUTINE


class Measuring(Protocol):
    """What measures calls, and is entered for each of them: a `tapes.scope.Scope`."""

    def again(self) -> Measuring:
        """Return one that measures the same, for one call."""

    def forget(self) -> None:
        """Measure nothing of what was entered last, when it is left."""

    def handed_on(self) -> Measuring:
        """Return an entered one that goes on with the last entry of this one."""

    def __enter__(self) -> Any: ...

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None: ...

    def __call__(self, function: Function) -> Function:
        """Return `function` with each of its calls measured."""


def decorated(scope: Measuring, function: Function) -> Function:
    """Return `function` with each of its calls in a scope of its own. See `tapes.scope.Scope`."""
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
            except Exception:  # noqa: BLE001  whatever a class raises that is asked what it can do
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


def _until_done(scope: Measuring, result: Any, inside: Measuring) -> Any:
    """Return what a call has returned, or what stands for it and is measured until it is done.

    `inside` was entered for the call. What has a first step is measured from there, as it may never come to that.
    """
    manner: Any = _manner(type(result))  # type: ignore[arg-type]  # classes have a hash
    if manner == "future":
        _until_future_done(result, inside)
        return result
    if manner == "generator":
        if inspect.getgeneratorstate(result) != inspect.GEN_CREATED:
            return result  # it is not of this call
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
        with suppress(IndexError):  # once, whatever calls this how often
            entered.pop().__exit__(None if error is None else type(error), error, None)

    def done(*_: object) -> None:  # with whatever a future of somebody else's calls it
        leave(_error_of(future))

    try:
        future.add_done_callback(done)
    except BaseException:
        leave(None)  # it will not say when it is done, so the call is what can be measured
        raise


class _Awaitable:
    """Stands for an object that can do nothing but be awaited, and has its attributes and its class."""

    __slots__ = ("_awaitable", "_scope")

    def __init__(self, awaitable: Any, scope: Measuring) -> None:
        object.__setattr__(self, "_awaitable", awaitable)
        object.__setattr__(self, "_scope", scope)

    @property  # type: ignore[misc]  # what is assigned to is the attribute of the awaitable
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
    """Return in which manner results of this type go on after a call, None if they do not."""
    if hasattr(kind, "_asyncio_future_blocking"):  # what asyncio tells futures by
        return "future"
    if issubclass(kind, GeneratorType):
        return "generator"
    if issubclass(kind, AsyncGeneratorType):
        return "async generator"
    # Nothing can stand for what can do more, as the asynchronous context managers can that clients of HTTP return.
    if issubclass(kind, Coroutine):
        more = {name for name in dir(kind) if not name.startswith(("_", "cr_"))} | _special(kind)
        return None if more - set(dir(CoroutineType)) else "coroutine"
    return "awaitable" if _special(kind) == {"__await__"} else None


def _special(kind: type) -> Set[str]:
    """Return the special names of a class that say what its objects can do."""
    return {name for name in dir(kind) if name.startswith("__")} - _OF_ANY_CLASS


def _layers(function: Any) -> Iterator[Any]:
    """Return `function` and what it calls in its turn: what it is a part of, and what makes an object callable."""
    while True:
        yield function
        if isinstance(function, partial):
            function = function.func
        elif inspect.isroutine(function) or isinstance(function, type):
            return
        else:
            function = type(function).__call__


def _makes_awaitable_generators(function: Any) -> bool:
    """Whether `types.coroutine` has made this generator function one of coroutines."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & _ITERABLE_COROUTINE)


def _error_of(future: Any) -> Optional[BaseException]:
    """Return what a future has ended with, if it is an exception. Raises nothing."""
    try:
        cancelled = future.cancelled()
    except Exception:  # noqa: BLE001  a future of somebody else's may raise anything
        return None
    if cancelled:
        from asyncio import CancelledError

        return CancelledError()
    # To ask by the method for the exception is to say that it was taken care of, and then it is not logged.
    error: Optional[BaseException] = getattr(future, "_exception", None)
    return error
