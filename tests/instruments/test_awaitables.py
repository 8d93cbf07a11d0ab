"""What returns an awaitable, or a generator of any kind, is measured until that is done."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import types
import warnings
from collections.abc import Awaitable as AbstractAwaitable
from collections.abc import Coroutine as AbstractCoroutine
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Generator, Iterator, List

import pytest

from tapes.errors import InvalidTypeError
from tests.instruments.bench import Bench


class Delegating(AbstractCoroutine):  # type: ignore[type-arg]  # of no matter what
    """A coroutine that is an object of a class."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def send(self, value: Any) -> Any:
        """Go on."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Go on with an exception."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End."""
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()


def makers(wait: Callable[[], Awaitable[Any]]) -> Dict[str, Any]:
    """Return many things that can be called, and that give something to await which takes its time."""

    async def work() -> str:
        await wait()
        return "done"

    class View:
        async def __call__(self) -> str:
            return await work()

        async def method(self) -> str:
            return await work()

        @classmethod
        async def of_class(cls) -> str:
            return await work()

        @staticmethod
        async def static() -> str:
            return await work()

    class Promise(AbstractAwaitable[str]):
        def __await__(self) -> Generator[Any, Any, str]:
            return work().__await__()

    @functools.wraps(work)
    def wrapping() -> Any:
        return work()

    @types.coroutine
    def old_style() -> Generator[Any, Any, str]:
        return (yield from work().__await__())

    return {
        "a coroutine function": work,
        "a partial": functools.partial(work),
        "a partial of a partial": functools.partial(functools.partial(work)),
        "an object": View(),
        "a partial of an object": functools.partial(View()),
        "a bound method": View().method,
        "a method of a class": View.of_class,
        "a static method": View.static,
        "a lambda": lambda: work(),
        "a wrapper": wrapping,
        "a wrapper of a wrapper": functools.wraps(wrapping)(lambda: wrapping()),
        "an old-style coroutine function": old_style,
        "a lambda of an old-style one": lambda: old_style(),
        "a function of a future": lambda: asyncio.ensure_future(work()),
        "a function of an awaitable object": lambda: Promise(),
        "a function of an object that is a coroutine": lambda: Delegating(work()),
    }


NAMES = list(makers(lambda: asyncio.sleep(0)))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_awaited_is_measured_until_it_is_done(bench: Bench, name: str) -> None:
    """Whatever it is that was decorated, and by whichever scope."""

    async def main() -> Any:
        go_on = asyncio.Event()
        function = bench.decorated(makers(go_on.wait)[name])
        task = asyncio.ensure_future(awaited(function()))
        await settled()
        assert bench.inside() == 1
        bench.clock.advance(3)
        go_on.set()
        result = await task
        await settled()
        return result

    assert asyncio.run(main()) == "done"
    assert bench.durations() == [1, 3, 3, 3]
    assert (bench.inside(), bench.marked()) == (0, 0)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_awaited_and_raises_is_marked(bench: Bench, name: str) -> None:
    """The exception goes to who awaits, and is marked once."""

    async def fail() -> None:
        await asyncio.sleep(0)
        bench.clock.advance(2)
        raise KeyError("x")

    async def main() -> None:
        function = bench.decorated(makers(fail)[name])
        with pytest.raises(KeyError):
            await function()
        await settled()

    asyncio.run(main())

    assert bench.durations() == [1, 2, 2, 2]
    assert (bench.inside(), bench.marked()) == (0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_awaited_and_cancelled(bench: Bench, name: str) -> None:
    """It is measured until then; a scope that marks cancellations marks it."""
    cancellations = bench.registry.meter("cancellations")

    async def main() -> None:
        function = makers(asyncio.Event().wait)[name]
        wrapped = cancellations.mark_exceptions(asyncio.CancelledError)(bench.decorated(function))
        task = asyncio.ensure_future(awaited(wrapped()))
        await settled()
        bench.clock.advance(5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await settled()

    asyncio.run(main())

    assert bench.durations() == [1, 5, 5, 5]
    assert (bench.inside(), bench.marked(), cancellations.read(bench.clock.monotonic()).count) == (0, 0, 1)


async def awaited(awaitable: Awaitable[Any]) -> Any:
    """Await, as a task has to be made of a coroutine."""
    return await awaitable


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_coroutine_that_is_never_awaited(bench: Bench) -> None:
    """Nothing was measured, and nobody is inside."""

    async def work() -> None: ...

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bench.decorated(lambda: work())()
        gc.collect()

    assert bench.durations() == [0, 0, 0, 0]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_a_future_stays_the_same_object(bench: Bench) -> None:
    """Who asked for it can do with it all that can be done with a future; one that is done is measured at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        pending, done = loop.create_future(), loop.create_future()
        done.set_result(3)
        assert bench.decorated(lambda: pending)() is pending
        assert bench.decorated(lambda: done)() is done
        assert (bench.durations()[0], bench.inside()) == (1, 1)
        bench.clock.advance(4)
        pending.set_result(None)
        await settled()

    asyncio.run(main())

    assert bench.durations() == [2, 4, 0, 4]
    assert bench.inside() == 0


def test_an_exception_of_a_future_that_nobody_asks_for_is_still_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """To mark an exception is not to take care of it."""

    async def main() -> None:
        bench.decorated(asyncio.get_running_loop().create_future)().set_exception(KeyError("nobody asks"))
        await settled()
        gc.collect()

    asyncio.run(main())

    assert bench.marked() == 1
    assert "exception was never retrieved" in caplog.text


def test_coroutines_of_tornado(bench: Bench) -> None:
    """The old style is measured from the call until its future is done, and remains what it is."""
    gen = pytest.importorskip("tornado.gen")

    @gen.coroutine  # type: ignore[untyped-decorator]
    def old_style() -> Any:
        bench.clock.advance(1)
        yield gen.moment
        bench.clock.advance(2)
        return "done"

    wrapped = bench.decorated(old_style)

    async def main() -> Any:
        result = await wrapped()
        await settled()
        return result

    assert asyncio.run(main()) == "done"
    assert gen.is_coroutine_function(wrapped)
    assert bench.durations() == [1, 3, 3, 3]
    assert bench.inside() == 0


def test_what_can_do_more_than_be_awaited_is_left_as_it_is(bench: Bench) -> None:
    """An asynchronous context manager that can be awaited too, as clients of HTTP return: nothing may stand for it."""

    class Request:
        def __await__(self) -> Generator[Any, Any, int]:
            yield from asyncio.sleep(0).__await__()
            return 200

        async def __aenter__(self) -> int:
            return await self

        async def __aexit__(self, *error: object) -> None: ...

    request = Request()
    function = bench.decorated(lambda: request)

    async def main() -> Any:
        async with function() as status:
            return status, await function()

    assert function() is request
    assert asyncio.run(main()) == (200, 200)
    assert (bench.durations()[0], bench.inside()) == (3, 0)


async def answer() -> int:
    """Answer a request."""
    return 200


class ManagedRequest(Delegating):
    """What aiohttp returns."""

    async def __aenter__(self) -> int:
        return await answer()

    async def __aexit__(self, *error: object) -> None: ...


class KnownRequest(Delegating):
    """What can be asked for what it requests."""

    url = "/"


@pytest.mark.parametrize("kind", [ManagedRequest, KnownRequest])
def test_a_coroutine_that_can_do_more_is_left_as_it_is(bench: Bench, kind: Any) -> None:
    """A coroutine of ours in its place could do no more than be awaited."""
    request = kind(answer())

    returned = bench.decorated(lambda: request)()
    status = asyncio.run(awaited(returned))

    assert returned is request
    assert status == 200
    assert (bench.durations()[0], bench.inside()) == (1, 0)


def test_what_stands_for_an_awaitable_has_its_attributes(bench: Bench) -> None:
    """Who asks for them sees no difference."""

    class Promise:
        url = "/"
        timeout = 1

        def __await__(self) -> Iterator[Any]:
            return iter(())

        def __repr__(self) -> str:
            return "a promise"

    made = Promise()
    promise = bench.decorated(lambda: made)()
    promise.url = "/orders"
    promise.timeout = 5
    del promise.timeout

    assert isinstance(promise, Promise)
    assert promise.url == made.url == "/orders"
    assert promise.timeout == made.timeout == 1
    assert repr(promise) == "a promise"
    assert inspect.isawaitable(promise)


def numbers(bench: Bench) -> Iterator[int]:
    """Yield numbers that take time."""
    for number in range(3):
        bench.clock.advance(1)
        yield number


async def async_numbers(bench: Bench) -> AsyncIterator[int]:
    """Yield numbers that take time."""
    for number in numbers(bench):
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize(
    "make",
    [
        lambda function: lambda bench: function(bench),
        lambda function: functools.partial(lambda bench: function(bench)),
        lambda function: functools.partial(function),
        lambda function: type("Numbers", (), {"__call__": lambda self, bench: function(bench)})(),
        lambda function: type("Numbers", (), {"__call__": staticmethod(function)})(),
    ],
)
def test_generators_that_others_return(bench: Bench, make: Callable[[Any], Any]) -> None:
    """They are measured from their first step to their end, as those of decorated generator functions are."""
    generator = bench.decorated(make(numbers))(bench)
    bench.clock.advance(100)
    found = []
    for number in generator:
        found.append(number)
        assert bench.inside() == 1

    async def main() -> None:
        generator = bench.decorated(make(async_numbers))(bench)
        bench.clock.advance(100)
        async for number in generator:
            found.append(number)
            assert bench.inside() == 1

    asyncio.run(main())

    assert found == [0, 1, 2] * 2
    assert bench.durations() == [2, 6, 3, 3]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_a_generator_that_was_there_before(bench: Bench) -> None:
    """A function that shows somebody else's generator does not close it when the show is over."""
    generator = numbers(bench)
    next(generator)
    function = bench.decorated(lambda: generator)
    for _ in range(2):
        assert function() is generator
    gc.collect()

    assert list(generator) == [1, 2]
    assert bench.durations()[0] == 2


def test_methods_of_classes_and_static_ones(bench: Bench) -> None:
    """A scope above `@classmethod` and `@staticmethod` measures as one below."""

    class Shop:
        @bench.timer.time()
        @classmethod
        async def of_class(cls) -> Any:
            await asyncio.sleep(0)
            bench.clock.advance(1)
            return cls

        @bench.timer.time()
        @staticmethod
        def static(number: int) -> Any:
            bench.clock.advance(1)
            return number

    assert asyncio.run(Shop.of_class()) is Shop
    assert asyncio.run(Shop().of_class()) is Shop
    assert (Shop.static(3), Shop().static(4)) == (3, 4)
    assert bench.durations() == [4, 4, 1, 1]
    with pytest.raises(InvalidTypeError):
        bench.timer.time()(classmethod(property(lambda cls: 3)))  # type: ignore[type-var, arg-type]  # on purpose


class Unhashable(type):
    """A class of classes that compare, and have no hash for it."""

    def __eq__(cls, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]  # on purpose


class Unaskable(type):
    """A class of classes that cannot be asked what they can do."""

    def __getattr__(cls, name: str) -> Any:
        raise RuntimeError("do not ask")


@pytest.mark.parametrize("kind", [Unhashable, Unaskable])
def test_results_of_strange_classes(bench: Bench, kind: Any) -> None:
    """A result that nothing can be found out of is handed on."""
    result = kind("Strange", (), {})()

    assert bench.decorated(lambda: result)() is result
    assert (bench.durations()[0], bench.inside()) == (1, 0)


class Strange:
    """Looks like a future of asyncio, and is none."""

    _asyncio_future_blocking = False

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.callbacks: List[Any] = []

    def done(self) -> bool:
        """Return whether it is done."""
        if self.fault == "done raises":
            raise RuntimeError(self.fault)
        return False

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        if self.fault == "cancelled raises":
            raise RuntimeError(self.fault)
        return False

    def add_done_callback(self, callback: Any) -> None:
        """Fail, before or after it has taken the callback."""
        if self.fault == "raises before":
            raise RuntimeError(self.fault)
        self.callbacks.append(callback)
        if self.fault == "raises after":
            raise RuntimeError(self.fault)
        if self.fault == "calls at once":
            callback(self)


class WithoutCallbacks:
    """Looks like a future that takes no callback."""

    _asyncio_future_blocking = False

    def done(self) -> bool:
        """Return whether it is done."""
        return False


class WithAnotherSignature(WithoutCallbacks):
    """Looks like a future that takes callbacks in another way."""

    def add_done_callback(self, kind: str, callback: Any) -> None:
        """Not be called."""


@pytest.mark.parametrize(
    "result",
    [
        Strange("done raises"),
        Strange("raises before"),
        Strange("raises after"),
        Strange("calls at once"),
        WithoutCallbacks(),
        WithAnotherSignature(),
    ],
    ids=lambda result: f"{type(result).__name__} {getattr(result, 'fault', '')}",
)
def test_futures_that_do_not_say_when_they_are_done(bench: Bench, result: Any) -> None:
    """What was called gets its result, and is measured until it has returned, once."""

    def function() -> Any:
        bench.clock.advance(2)
        return result

    returned = bench.decorated(function)()
    bench.clock.advance(5)
    for callback in getattr(result, "callbacks", []):
        callback(result)

    assert returned is result
    assert bench.durations() == [1, 2, 2, 2]
    assert (bench.inside(), bench.marked()) == (0, 0)


@pytest.mark.parametrize("arguments", [0, 1, 2])
@pytest.mark.parametrize("fault", ["", "cancelled raises"])
def test_futures_that_call_back_in_a_way_of_their_own(bench: Bench, fault: str, arguments: int) -> None:
    """They are measured until then, and nothing is raised into whoever calls back."""
    result = Strange(fault)
    bench.decorated(lambda: result)()
    bench.clock.advance(3)

    for callback in result.callbacks:
        callback(*[result] * arguments)

    assert bench.durations() == [1, 3, 3, 3]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_what_frameworks_ask_of_a_decorated_callable(bench: Bench) -> None:
    """An object or a partial that is called for a coroutine is a coroutine function once it is decorated."""

    async def work() -> None: ...

    class View:
        async def __call__(self) -> None: ...

    for function in (work, functools.partial(work), View(), functools.partial(View())):
        assert inspect.iscoroutinefunction(bench.decorated(function))
    assert not inspect.iscoroutinefunction(bench.decorated(lambda: work()))
