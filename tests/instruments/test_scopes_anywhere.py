"""A scope is entered and left by any threads, tasks and contexts, and never raises of itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import threading
import tracemalloc
import weakref
from contextvars import copy_context
from typing import Any, Callable, Generator, Iterator, List

import pytest

from tests.instruments.bench import Bench


def elsewhere(function: Callable[[], Any]) -> None:
    """Call a function in another thread, in a copy of this context, and raise what it raises."""
    raised: List[BaseException] = []

    def call() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001  told to the test
            raised.append(error)

    thread = threading.Thread(target=copy_context().run, args=(call,))
    thread.start()
    thread.join()
    for error in raised:
        raise error


def here(function: Callable[[], Any]) -> None:
    """Call a function in this thread, in a copy of this context."""
    copy_context().run(function)


def directly(function: Callable[[], Any]) -> None:
    """Call a function in this very context."""
    function()


def dependency(scope: Any) -> Generator[None, None, None]:
    """Do as a dependency of FastAPI does whose halves run before and after a request."""
    with scope:
        yield


def stacked(scope: Any) -> Generator[None, None, None]:
    """Do the same by an ExitStack, of which each half is another function."""
    stack = contextlib.ExitStack()
    stack.enter_context(scope)
    yield
    stack.close()


@pytest.mark.parametrize("run", [here, elsewhere])
def test_one_scope_of_overlapping_requests_in_copied_contexts(bench: Bench, run: Callable[..., None]) -> None:
    """Whichever request ends first is measured from its own start."""
    timing, tracking, marking = bench.scopes()
    requests = [dependency(scope) for _ in range(2) for scope in (timing, tracking, marking)]
    for half in requests[:3]:
        run(lambda: next(half))  # noqa: B023  it is called at once
    bench.clock.advance(1)
    for half in requests[3:]:
        run(lambda: next(half))  # noqa: B023  it is called at once
    bench.clock.advance(2)
    assert bench.inside() == 2

    for half in requests[:3]:
        run(lambda: next(half, None))  # noqa: B023  it is called at once
    assert bench.durations() == [1, 3, 3, 3]
    bench.clock.advance(4)
    for half in requests[3:]:
        run(half.close)

    assert bench.durations() == [2, 3 + 6, 3, 6]
    assert (bench.inside(), bench.marked()) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_requests_in_any_order_are_measured_each_from_its_start(bench: Bench, seed: int) -> None:
    """However blocks of one scope begin and end, in whatever contexts: each has its own duration."""
    draw = random.Random(seed)
    clock = bench.clock
    scope = bench.timer.time()
    running: List[Any] = []
    expected = []
    for _ in range(200):
        clock.advance(draw.randrange(1, 1000))
        run: Callable[..., None] = draw.choice([here, directly])
        if running and draw.random() < 0.5:
            started, request = running.pop(draw.randrange(len(running)))
            expected.append(clock.monotonic() - started)
            run(lambda: next(request, None))  # noqa: B023  it is called at once
        else:
            request = dependency(scope)
            run(lambda: next(request))  # noqa: B023  it is called at once
            running.append((clock.monotonic(), request))
        count, total, *extremes = bench.durations()

        assert [count, total] == [len(expected), sum(expected)]
        if expected and clock.monotonic() < 300:
            assert extremes == [min(expected), max(expected)]


@pytest.mark.parametrize("run", [here, elsewhere])
def test_stacks_of_overlapping_requests_in_copied_contexts(bench: Bench, run: Callable[..., None]) -> None:
    """Nothing tells which of them is left, so only count and sum are sure, and nothing is raised."""
    timing = bench.timer.time()
    requests = []
    for number in range(4):
        requests.append((stacked if number % 2 else dependency)(timing))
        run(lambda: next(requests[-1]))
        bench.clock.advance(1)
    for request in requests:
        run(lambda: next(request, None))  # noqa: B023  it is called at once
        bench.clock.advance(1)

    assert bench.durations()[:2] == [4, 4 * 4]


def plainly(scope: Any) -> Any:
    """Return the scope, to be entered and left by the function that has it."""
    return scope


@contextlib.contextmanager
def by_a_stack(scope: Any) -> Iterator[None]:
    """Enter and leave the scope in other functions."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(scope)
        yield


@pytest.mark.parametrize("entered", [plainly, by_a_stack])
def test_one_scope_in_several_tasks(bench: Bench, entered: Callable[[Any], Any]) -> None:
    """Each task leaves what it has entered, in whatever order."""
    timing = bench.timer.time()
    found: List[Any] = []

    async def task(seconds: float, turns: int) -> None:
        with entered(timing):
            bench.clock.advance(seconds)
            for _ in range(turns):
                await asyncio.sleep(0)
        found.append(bench.durations())

    async def main() -> None:
        await asyncio.gather(task(1, 3), task(2, 1), task(4, 2))

    asyncio.run(main())

    # The second leaves first, after 2 + 4 s; then the third, after 4 s; then the first, after all 7 s.
    assert found == [[1, 6, 6, 6], [2, 10, 4, 6], [3, 17, 4, 7]]


def test_two_scopes_that_overlap(bench: Bench) -> None:
    """What was asked for twice is measured twice, when it is entered later too."""
    first, second = bench.timer.time(), bench.timer.time()
    assert first is not second
    for _ in range(2):
        first.__enter__()
        bench.clock.advance(1)
        second.__enter__()
        bench.clock.advance(2)
        first.__exit__(None, None, None)
        bench.clock.advance(4)
        second.__exit__(None, None, None)
    third = bench.timer.time()

    assert bench.durations() == [4, 2 * (3 + 6), 3, 6]
    assert third not in (first, second)


def test_what_was_not_entered_is_left(bench: Bench) -> None:
    """It measures nothing and raises nothing, also after an honest use and of a scope that is shared."""
    for scope in bench.scopes():
        scope.__exit__(None, None, None)
        with scope, scope:
            bench.clock.advance(1)
        scope.__exit__(None, None, None)
        here(lambda: scope.__exit__(None, None, None))  # noqa: B023  it is called at once
        with scope:
            bench.clock.advance(1)

    assert bench.durations() == [3, 3, 1, 1]
    assert (bench.inside(), bench.marked()) == (0, 0)


def test_what_is_never_left(bench: Bench) -> None:
    """Further blocks of the timer are measured from their own starts."""
    bench.timer.time().__enter__()
    bench.clock.advance(100)
    for _ in range(3):
        with bench.timer.time():
            bench.clock.advance(1)

    assert bench.durations() == [3, 3, 1, 1]


class Local:
    """Something that a function has in its hands."""


@pytest.mark.parametrize("run", [here, directly])
def test_no_block_is_kept_alive(bench: Bench, run: Callable[..., Any]) -> None:
    """What a block had in its hands is let go of when it is left, in whatever context."""
    timing = bench.timer.time()
    locals_of: List[Any] = []

    def block() -> Iterator[None]:
        local = Local()
        locals_of.append(weakref.ref(local))
        with timing:
            yield

    def overlap() -> None:
        request = block()
        next(request)
        run(lambda: next(request, None))

    with timing:
        for _ in range(3):
            overlap()
    gc.collect()

    assert [local() for local in locals_of] == [None, None, None]


def test_blocks_that_hand_over_to_one_another_leave_nothing_behind(bench: Bench) -> None:
    """However many there have been: there is always one that is entered, and the one before it is left after that."""
    timing = bench.timer.time()

    def block() -> Iterator[None]:
        with timing:
            yield

    blocks = [block()]
    next(blocks[0])

    def hand_over(times: int) -> None:
        for _ in range(times):
            blocks.append(block())
            next(blocks[1])
            next(blocks.pop(0), None)
        bench.timer.read(bench.clock.monotonic())  # which leaves no durations to be folded

    hand_over(100)
    tracemalloc.start()
    try:
        hand_over(100)
        before, _ = tracemalloc.get_traced_memory()
        hand_over(5_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    next(blocks[0], None)

    assert after - before < 50_000
    assert bench.timer.read(bench.clock.monotonic()).events.count == 5_201


def test_a_gauge_that_gets_a_producer_while_a_block_is_in_progress(bench: Bench) -> None:
    """The block that was entered is left in peace."""
    with bench.gauge.track_in_progress():
        bench.gauge.producer = lambda: 7

    assert bench.inside() == 7
