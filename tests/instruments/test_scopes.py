"""Scopes around blocks, functions and generators."""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from typing import Any, Generator, Iterator, List

import pytest

from tapes.testing import ManualClock
from tests.concurrency.together import in_threads
from tests.instruments.bench import Bench


def test_one_scope_entered_again_while_it_is_entered(bench: Bench) -> None:
    """Each `with` measures its own time, also of one and the same scope."""
    timing = bench.timer.time()
    with timing:
        bench.clock.advance(1)
        with timing:
            bench.clock.advance(2)
            with timing:
                bench.clock.advance(4)
        bench.clock.advance(8)

    assert bench.durations() == [3, 4 + 6 + 15, 4, 15]


def test_one_scope_used_again_after_nesting(bench: Bench) -> None:
    """It measures like a new one."""
    timing = bench.timer.time()
    for _ in range(3):
        with timing:
            with timing:
                bench.clock.advance(1)
            bench.clock.advance(1)
        with timing:
            bench.clock.advance(4)

    assert bench.durations() == [9, 3 * (1 + 2 + 4), 1, 4]


def test_a_block_that_raises_is_measured(bench: Bench) -> None:
    """The exception goes on."""

    def block() -> None:
        with bench.timer.time():
            bench.clock.advance(3)
            raise KeyError

    with pytest.raises(KeyError):
        block()

    assert bench.durations() == [1, 3, 3, 3]


def test_what_is_marked(bench: Bench) -> None:
    """Exceptions of the types given and of those derived from them; without types, every Exception."""

    def raised(scope: Any, error: BaseException) -> int:
        before = bench.marked()
        with pytest.raises(type(error)), scope:
            raise error
        return bench.marked() - before

    every, lookup = bench.meter.mark_exceptions(), bench.meter.mark_exceptions(LookupError, OSError)
    assert raised(every, ValueError()) == 1
    assert raised(every, KeyboardInterrupt()) == 0
    assert raised(lookup, KeyError()) == 1
    assert raised(lookup, FileNotFoundError()) == 1
    assert raised(lookup, ValueError()) == 0
    assert raised(bench.meter.mark_exceptions(KeyboardInterrupt), KeyboardInterrupt()) == 1
    with every:
        pass
    assert bench.marked() == 4


def test_an_exception_through_several_scopes(bench: Bench) -> None:
    """Each of them marks it."""
    scope = bench.meter.mark_exceptions()
    with pytest.raises(ValueError, match="x"), scope, scope:
        raise ValueError("x")

    assert bench.marked() == 2


def test_a_function(bench: Bench) -> None:
    """Each call is measured; arguments and results pass through."""

    def function(seconds: float, *more: int, key: str) -> Any:
        bench.clock.advance(seconds)
        return seconds, more, key, bench.inside()

    function = bench.decorated(function)

    assert function(1, 2, 3, key="x") == (1, (2, 3), "x", 1)
    assert function(4, key="y") == (4, (), "y", 1)
    assert bench.durations() == [2, 5, 1, 4]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_a_function_that_raises(bench: Bench) -> None:
    """It is measured, marked, and no longer inside."""

    def function() -> None:
        bench.clock.advance(2)
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        bench.decorated(function)()

    assert bench.durations() == [1, 2, 2, 2]
    assert (bench.inside(), bench.marked()) == (0, 1)


def test_recursion(bench: Bench) -> None:
    """Every call of a recursive function is measured by itself."""
    inside: List[Any] = []

    @bench.timer.time()
    @bench.gauge.track_in_progress()
    def recursive(depth: int) -> int:
        inside.append(bench.inside())
        bench.clock.advance(1)
        return 0 if depth == 0 else 1 + recursive(depth - 1)

    assert recursive(3) == 3
    assert inside == [1, 2, 3, 4]
    assert bench.durations() == [4, 1 + 2 + 3 + 4, 1, 4]


def test_methods_of_all_kinds(bench: Bench) -> None:
    """Below `@property`, `@classmethod` and `@staticmethod` a scope works as on a function."""

    class Shop:
        @bench.timer.time()
        def method(self) -> Any:
            return self

        @classmethod
        @bench.timer.time()
        def of_class(cls) -> Any:
            return cls

        @staticmethod
        @bench.timer.time()
        def static() -> Any:
            return 3

        @property
        @bench.timer.time()
        def attribute(self) -> Any:
            return 4

    shop = Shop()

    assert [shop.method(), shop.of_class(), Shop.of_class(), shop.static(), shop.attribute] == [shop, Shop, Shop, 3, 4]
    assert bench.durations()[0] == 5


def test_functions_called_in_many_threads(bench: Bench) -> None:
    """Calls that overlap in different threads have each its own time."""
    barrier = threading.Barrier(5)
    inside: List[Any] = []

    @bench.timer.time()
    @bench.gauge.track_in_progress()
    def function() -> None:
        barrier.wait(60)
        barrier.wait(60)

    def watch() -> None:
        barrier.wait(60)
        inside.append(bench.inside())
        bench.clock.advance(7)
        barrier.wait(60)

    in_threads(watch, *[function] * 4)

    assert inside == [4]
    assert bench.durations() == [4, 28, 7, 7]


def echo(bench: Bench, log: List[Any]) -> Generator[int, Any, str]:
    """Yield numbers, log what comes back, and return."""
    for number in range(3):
        bench.clock.advance(1)
        try:
            log.append((yield number))
        except ValueError as error:
            log.append(repr(error))
        except GeneratorExit:
            log.append("closed")
            raise
    return "end"


def test_a_generator_is_measured_from_its_first_step_to_its_end(bench: Bench) -> None:
    """The time between its steps counts, the time before the first does not."""
    log: List[Any] = []
    function = bench.decorated(echo)
    generator = function(bench, log)
    bench.clock.advance(100)

    assert bench.inside() is None
    values = []
    for value in generator:
        values.append(value)
        assert bench.inside() == 1
        bench.clock.advance(10)

    assert (values, log) == ([0, 1, 2], [None, None, None])
    assert bench.durations() == [1, 33, 33, 33]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_what_is_sent_to_a_generator_and_thrown_into_it(bench: Bench) -> None:
    """It behaves as if it were not decorated, its return value included."""
    log: List[Any] = []
    generator = bench.decorated(echo)(bench, log)

    assert next(generator) == 0
    assert generator.send("sent") == 1
    assert generator.throw(ValueError("thrown")) == 2
    with pytest.raises(StopIteration) as caught:
        next(generator)
    assert caught.value.value == "end"
    assert log == ["sent", "ValueError('thrown')", None]
    assert bench.marked() == 0


@pytest.mark.parametrize("how", ["close", "delete"])
def test_a_generator_that_is_left_early(bench: Bench, how: str) -> None:
    """Closed or forgotten, it is no longer inside, and what it has taken is recorded."""
    log: List[Any] = []
    generator = bench.decorated(echo)(bench, log)
    next(generator)
    bench.clock.advance(5)

    if how == "close":
        generator.close()
    else:
        del generator

    assert log == ["closed"]
    assert bench.durations() == [1, 6, 6, 6]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_a_generator_that_never_starts(bench: Bench) -> None:
    """There is nothing to measure."""
    bench.decorated(echo)(bench, []).close()

    assert bench.durations() == [0, 0, 0, 0]
    assert bench.inside() is None


def test_a_generator_that_raises(bench: Bench) -> None:
    """The exception is marked, and goes to whoever takes the step."""

    def failing() -> Iterator[int]:
        yield 1
        raise KeyError("x")

    generator = bench.decorated(failing)()
    next(generator)
    with pytest.raises(KeyError):
        next(generator)

    assert (bench.inside(), bench.marked(), bench.durations()[0]) == (0, 1, 1)


def test_generators_that_run_side_by_side(bench: Bench) -> None:
    """They may end in any order."""
    function = bench.decorated(echo)
    first, second = function(bench, []), function(bench, [])
    next(first)
    bench.clock.advance(10)
    next(second)
    bench.clock.advance(10)
    first.close()
    bench.clock.advance(10)
    second.close()

    assert bench.durations() == [2, 22 + 21, 21, 22]
    assert bench.inside() == 0


@pytest.mark.parametrize("overlapping", [False, True])
def test_a_generator_whose_steps_are_taken_in_different_contexts(bench: Bench, overlapping: bool) -> None:
    """As a server does that takes each step in another thread: it is measured all the same."""
    function = bench.decorated(echo)
    generator, other = function(bench, []), function(bench, [])
    contextvars.copy_context().run(next, generator)
    if overlapping:
        contextvars.copy_context().run(next, other)
    bench.clock.advance(10)
    contextvars.copy_context().run(next, generator)

    contextvars.copy_context().run(generator.close)

    assert bench.durations()[0] == 1
    assert bench.durations()[3] == 12 + overlapping
    contextvars.copy_context().run(other.close)
    assert bench.inside() in (None, 0)


def test_a_generator_beside_a_block(bench: Bench) -> None:
    """A scope that was asked for before a decorated generator started is entered while that one runs."""
    timing = bench.timer.time()
    generator = bench.timer.time()(echo)(bench, [])
    next(generator)
    bench.clock.advance(8)
    with timing:
        bench.clock.advance(2)
        generator.close()
        closed = bench.durations()
        bench.clock.advance(4)

    assert closed == [1, 11, 11, 11]
    assert bench.durations() == [2, 11 + 6, 6, 11]


def test_what_a_function_is_stays_the_same(bench: Bench) -> None:
    """Name, documentation, signature and everything that `inspect` tells of it are kept."""

    def function(a: int, *, b: str = "") -> int:
        """Documented."""
        return a

    def generator(a: int) -> Iterator[int]:
        yield a

    function.extra = 3  # type: ignore[attr-defined]  # on purpose
    wrapped, wrapped_generator = bench.decorated(function), bench.decorated(generator)

    assert (wrapped.__name__, wrapped.__doc__, wrapped.__module__) == ("function", "Documented.", __name__)
    assert wrapped.__qualname__.endswith("<locals>.function")
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert inspect.unwrap(wrapped) is function
    assert wrapped.extra == 3
    assert inspect.isgeneratorfunction(wrapped_generator)
    assert not inspect.isgeneratorfunction(wrapped)
    assert inspect.isfunction(wrapped)


def test_other_things_that_can_be_called(bench: Bench) -> None:
    """Classes with `__call__`, built-in functions and partial ones are decorated too."""

    class Identity:
        def __call__(self, x: int) -> int:
            bench.clock.advance(1)
            return x

    calls = [bench.decorated(Identity()), bench.decorated(functools.partial(pow, 2)), bench.decorated(abs)]

    assert [calls[0](5), calls[1](3), calls[2](-2)] == [5, 8, 2]
    assert bench.durations() == [3, 1, 0, 1]


def test_a_decorated_function_and_a_block_of_the_same_scope(bench: Bench) -> None:
    """One object may be used for both."""
    timing = bench.timer.time()

    @timing
    def function() -> None:
        bench.clock.advance(1)

    with timing:
        function()
        bench.clock.advance(2)
        function()

    assert bench.durations() == [3, 1 + 1 + 4, 1, 4]


def test_scopes_say_whose_they_are(bench: Bench) -> None:
    """Their representation names the metric."""
    assert [repr(scope) for scope in bench.scopes()] == [
        "<Timing for the timer 't'>",
        "<ProgressTracking for the gauge 'g'>",
        "<ExceptionMarking for the meter 'm'>",
    ]


@pytest.mark.parametrize("start", [0, 5])
def test_a_clock_that_tells_whole_seconds_as_ints(start: int) -> None:
    """An int is as good a float as any."""

    class Whole(ManualClock):
        def monotonic(self) -> float:
            return int(super().monotonic())

    bench = Bench(Whole(start))
    timing = bench.timer.time()
    with timing:
        bench.clock.advance(1)
        with timing:
            bench.clock.advance(2)
        bench.clock.advance(4)

    assert bench.durations() == [2, 2 + 7, 2, 7]
