"""Scopes around coroutines and asynchronous generators."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
from typing import Any, AsyncGenerator, AsyncIterator, Awaitable, Callable, List

import pytest

from tests.instruments.bench import Bench


def test_coroutines_that_run_at_the_same_time(bench: Bench) -> None:
    """Each is measured by itself, in whatever order they end, recursive ones too."""

    async def function(turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
            bench.clock.advance(1)
        if turns == 3:
            await wrapped(1)

    wrapped = bench.decorated(function)

    async def main() -> None:
        await asyncio.gather(*(wrapped(turns) for turns in (3, 1, 2)))

    asyncio.run(main())

    # Three turns of the loop, in which the tasks advance the clock one after the other.
    assert bench.durations() == [4, 2 + 5 + 1 + 7, 1, 7]
    assert bench.inside() == 0


async def echo(bench: Bench, log: List[Any]) -> AsyncGenerator[int, Any]:
    """Yield numbers, and log what comes back."""
    try:
        for number in range(3):
            await asyncio.sleep(0)
            bench.clock.advance(1)
            try:
                log.append((yield number))
            except ValueError as error:
                log.append(repr(error))
    except GeneratorExit:
        log.append("closed")
        raise
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    finally:
        log.append("finally")


def test_an_async_generator_is_measured_from_its_first_step_to_its_end(bench: Bench) -> None:
    """The time between its steps counts, the time before the first does not."""
    log: List[Any] = []

    async def main() -> List[Any]:
        generator = bench.decorated(echo)(bench, log)
        bench.clock.advance(100)
        assert bench.inside() is None
        values = []
        async for value in generator:
            values.append(value)
            assert bench.inside() == 1
            bench.clock.advance(10)
        return values

    assert asyncio.run(main()) == [0, 1, 2]
    assert log == [None, None, None, "finally"]
    assert bench.durations() == [1, 33, 33, 33]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_what_is_sent_to_an_async_generator_and_thrown_into_it(bench: Bench) -> None:
    """It behaves as if it were not decorated."""
    log: List[Any] = []

    async def main() -> None:
        generator = bench.decorated(echo)(bench, log)
        assert await generator.asend(None) == 0
        assert await generator.asend("sent") == 1
        assert await generator.athrow(ValueError("thrown")) == 2
        with pytest.raises(StopAsyncIteration):
            await generator.asend(None)

    asyncio.run(main())

    assert log == ["sent", "ValueError('thrown')", None, "finally"]
    assert (bench.durations()[0], bench.inside(), bench.marked()) == (1, 0, 0)


def test_an_exception_that_an_async_generator_lets_through(bench: Bench) -> None:
    """What is thrown into it and not caught is marked, and comes back as the same exception."""
    log: List[Any] = []
    error = KeyError("x")

    async def main() -> None:
        generator = bench.decorated(echo)(bench, log)
        await generator.__anext__()
        with pytest.raises(KeyError) as caught:
            await generator.athrow(error)
        assert caught.value is error
        with pytest.raises(StopAsyncIteration):
            await generator.__anext__()

    asyncio.run(main())

    assert log == ["finally"]
    assert (bench.durations()[0], bench.inside(), bench.marked()) == (1, 0, 1)


def test_an_async_generator_that_raises(bench: Bench) -> None:
    """The exception is marked, and goes to whoever takes the step."""

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise KeyError("x")

    async def main() -> None:
        async for _ in bench.decorated(failing)():
            bench.clock.advance(1)

    with pytest.raises(KeyError):
        asyncio.run(main())

    assert (bench.durations(), bench.inside(), bench.marked()) == ([1, 1, 1, 1], 0, 1)


async def close(generator: AsyncGenerator[int, Any]) -> None:
    """Close it, in the way that it has for that."""
    await generator.aclose()


async def forget(generator: AsyncGenerator[int, Any]) -> None:
    """Leave the loop that is its last holder by `break`."""
    del generator
    gc.collect()
    for _ in range(5):
        await asyncio.sleep(0)


async def leave_open(generator: AsyncGenerator[int, Any]) -> None:
    """Have the event loop end first."""


@pytest.mark.parametrize("leave", [close, forget, leave_open])
def test_an_async_generator_that_is_left_early(bench: Bench, leave: Callable[[Any], Awaitable[None]]) -> None:
    """The one inside is closed with it, at once, or finalised by the loop, like any other."""
    log: List[Any] = []
    kept: List[Any] = []

    async def main() -> None:
        kept.append(bench.decorated(echo)(bench, log))
        await kept[0].__anext__()
        bench.clock.advance(5)
        await leave(kept[0] if leave is leave_open else kept.pop())

    asyncio.run(main())

    assert log == ["closed", "finally"]
    assert (bench.durations(), bench.inside(), bench.marked()) == ([1, 6, 6, 6], 0, 0)


def test_an_async_generator_whose_consumer_is_cancelled(bench: Bench) -> None:
    """The cancellation reaches what it waits for, and is no failure."""
    log: List[Any] = []

    async def waiting() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        finally:
            log.append("finally")

    async def consume() -> None:
        async for _ in bench.decorated(waiting)():
            bench.clock.advance(1)

    async def main() -> None:
        task = asyncio.ensure_future(consume())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert log == ["cancelled", "finally"]
    assert (bench.durations()[0], bench.inside(), bench.marked()) == (1, 0, 0)


def test_an_async_generator_that_does_not_want_to_be_closed(bench: Bench) -> None:
    """To yield when it is closed is the error that it always is."""

    async def stubborn() -> AsyncIterator[int]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    async def main() -> None:
        generator = bench.decorated(stubborn)()
        await generator.__anext__()
        with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit"):
            await generator.aclose()

    asyncio.run(main())

    assert bench.inside() == 0


def test_async_generators_side_by_side(bench: Bench) -> None:
    """They may end in any order, also one inside the other."""
    function = bench.decorated(echo)

    async def main() -> None:
        first, second = function(bench, []), function(bench, [])
        await first.__anext__()
        bench.clock.advance(10)
        await second.__anext__()
        await first.aclose()
        bench.clock.advance(10)
        await second.aclose()

    asyncio.run(main())

    assert bench.durations() == [2, 12 + 11, 11, 12]
    assert bench.inside() == 0


def test_what_an_async_function_is_stays_the_same(bench: Bench) -> None:
    """Frameworks that ask `inspect` or `asyncio` get the same answer as before."""

    async def function(a: int) -> int:
        """Documented."""
        return a

    wrapped, generator = bench.decorated(function), bench.decorated(echo)

    assert inspect.iscoroutinefunction(wrapped)
    assert not inspect.isasyncgenfunction(wrapped)
    assert inspect.isasyncgenfunction(generator)
    assert not inspect.iscoroutinefunction(generator)
    assert (wrapped.__name__, wrapped.__doc__) == ("function", "Documented.")
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert inspect.signature(generator) == inspect.signature(echo)
