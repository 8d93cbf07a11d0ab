"""Scopes around coroutines and asynchronous generators."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
from typing import Any, AsyncGenerator, AsyncIterator, Callable, Coroutine, List

import pytest

from tapes.registry import Registry
from tapes.snapshot import Reading
from tapes.testing import ManualClock


class Bench:
    """A metric of each kind that has scopes, and the clock they go by."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Registry(clock=self.clock)
        self.timer = self.registry.timer("t")
        self.gauge = self.registry.gauge("g")
        self.meter = self.registry.meter("m")

    def durations(self) -> List[Any]:
        """Return count, sum, min and max of the timer."""
        statistics = Reading.of(self.timer, self.clock.monotonic()).statistics
        return [statistics[key] for key in ("count", "sum", "min", "max")]

    def inside(self) -> Any:
        """Return how many are inside of the gauge's scope."""
        return Reading.of(self.gauge, 0.0).statistics["value"]

    def marked(self) -> int:
        """Return how many exceptions were marked."""
        return self.meter.read(self.clock.monotonic()).count

    def decorated(self, function: Callable[..., Any]) -> Any:
        """Return the function in a scope of each kind."""
        for scope in (self.timer.time(), self.gauge.track_in_progress(), self.meter.mark_exceptions()):
            function = scope(function)
        return function


@pytest.fixture
def bench() -> Bench:
    """Return fresh metrics."""
    return Bench()


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run `main` in a loop of its own."""
    return asyncio.run(main)


def test_a_coroutine_function(bench: Bench) -> None:
    """It is measured until it returns, waiting included."""

    async def function(seconds: float) -> Any:
        await asyncio.sleep(0)
        bench.clock.advance(seconds)
        await asyncio.sleep(0)
        return seconds, bench.inside()

    function = bench.decorated(function)

    assert run(function(3)) == (3, 1)
    assert bench.durations() == [1, 3, 3, 3]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_a_coroutine_that_raises(bench: Bench) -> None:
    """The exception is marked and goes on."""

    async def function() -> None:
        bench.clock.advance(2)
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(bench.decorated(function)())

    assert bench.durations() == [1, 2, 2, 2]
    assert (bench.inside(), bench.marked()) == (0, 1)


def test_a_coroutine_that_is_cancelled(bench: Bench) -> None:
    """It is measured until then. To be cancelled is no failure, unless one asks for it to be marked."""
    cancellations = bench.registry.meter("cancellations")

    async def function() -> None:
        await asyncio.Event().wait()

    wrapped = cancellations.mark_exceptions(asyncio.CancelledError)(bench.decorated(function))

    async def main() -> None:
        task = asyncio.ensure_future(wrapped())
        await asyncio.sleep(0)
        assert bench.inside() == 1
        bench.clock.advance(5)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())

    assert bench.durations() == [1, 5, 5, 5]
    assert (bench.inside(), bench.marked(), cancellations.read(bench.clock.monotonic()).count) == (0, 0, 1)


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

    run(main())

    # Three turns of the loop, in which the tasks advance the clock one after the other.
    assert bench.durations() == [4, 2 + 5 + 1 + 7, 1, 7]
    assert bench.inside() == 0


def test_one_scope_in_two_tasks(bench: Bench) -> None:
    """Each task leaves what it has entered."""
    timing = bench.timer.time()
    found: List[Any] = []

    async def inside(seconds: float, turns: int) -> None:
        with timing:
            bench.clock.advance(seconds)
            for _ in range(turns):
                await asyncio.sleep(0)
        found.append(bench.durations())

    async def main() -> None:
        await asyncio.gather(inside(1, 3), inside(2, 1), inside(4, 2))

    run(main())

    # The second leaves first, after 2 + 4 s; then the third, after 4 s; then the first, after all 7 s.
    assert found == [[1, 6, 6, 6], [2, 10, 4, 6], [3, 17, 4, 7]]


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

    assert run(main()) == [0, 1, 2]
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

    run(main())

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

    run(main())

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
        run(main())

    assert (bench.durations(), bench.inside(), bench.marked()) == ([1, 1, 1, 1], 0, 1)


def test_an_async_generator_that_is_closed(bench: Bench) -> None:
    """The one inside is closed with it, at once."""
    log: List[Any] = []

    async def main() -> None:
        generator = bench.decorated(echo)(bench, log)
        await generator.__anext__()
        bench.clock.advance(5)
        await generator.aclose()
        assert log == ["closed", "finally"]

    run(main())

    assert (bench.durations(), bench.inside(), bench.marked()) == ([1, 6, 6, 6], 0, 0)


def test_an_async_generator_that_is_left_by_break(bench: Bench) -> None:
    """It is finalised by the loop, like any other."""
    log: List[Any] = []

    async def main() -> None:
        async for _ in bench.decorated(echo)(bench, log):
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)
        assert log == ["closed", "finally"]

    run(main())

    assert (bench.durations()[0], bench.inside(), bench.marked()) == (1, 0, 0)


def test_an_async_generator_that_is_open_when_the_loop_ends(bench: Bench) -> None:
    """The loop closes it."""
    log: List[Any] = []
    kept: List[Any] = []

    async def main() -> None:
        kept.append(bench.decorated(echo)(bench, log))
        await kept[0].__anext__()

    run(main())

    assert log == ["closed", "finally"]
    assert (bench.durations()[0], bench.inside()) == (1, 0)


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

    run(main())

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

    run(main())

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

    run(main())

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


def test_partial_coroutine_functions_and_methods(bench: Bench) -> None:
    """They are measured until they have been awaited, too."""

    async def sell(seconds: float) -> float:
        await asyncio.sleep(0)
        bench.clock.advance(seconds)
        return seconds

    class Shop:
        async def sell(self, seconds: float) -> float:
            return await sell(seconds)

    partial = bench.decorated(functools.partial(sell, 4))
    method = bench.decorated(Shop().sell)

    assert [run(partial()), run(method(2))] == [4, 2]
    assert bench.durations() == [2, 6, 2, 4]
