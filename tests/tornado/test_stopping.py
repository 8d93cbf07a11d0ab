"""Stops: on the thread of the loop and on others, with the loop and without, in signal handlers and in reports."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Any, Awaitable, Callable, Iterator, List, Optional

import pytest
import tornado.gen

from tapes.registry import Registry
from tapes.reporting.tornado import TornadoScheduledReporter, drive
from tests.conftest import PATIENCE, Until
from tests.tornado.conftest import LoopThread, happened


class Noting(TornadoScheduledReporter):
    """Notes in which threads its reports are made, and how often it is closed."""

    def __init__(self, io_loop: Any = None, during: Callable[[], object] = lambda: None) -> None:
        super().__init__(3600, Registry(), io_loop)
        self.during = during
        self.threads: List[threading.Thread] = []
        self.closed = 0

    def report(self) -> Optional[Awaitable[Any]]:
        """Report."""
        self.threads.append(threading.current_thread())
        self.during()
        return None

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    @property
    def outcome(self) -> Any:
        """How many reports were begun and made, how many failed, and how often it was closed."""
        return len(self.threads), self.reports, self.failures, self.closed


class Waiting(Noting):
    """Makes reports that wait for the test."""

    def __init__(self, io_loop: Any = None, during: Callable[[], object] = lambda: asyncio.sleep(0)) -> None:
        super().__init__(io_loop, during)

    async def report(self) -> None:
        """Report."""
        self.threads.append(threading.current_thread())
        waiting: Any = self.during()
        await waiting


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Neither tapes nor asyncio has anything to say about a stop."""
    caplog.set_level(logging.INFO)
    yield
    gc.collect()  # asyncio complains about tasks when they are collected
    assert [record.getMessage() for record in caplog.records] == []


async def reported(reporter: Noting) -> None:
    """Start a reporter, and wait until it has reported."""
    reporter.start()
    await happened(lambda: reporter.reports)


# By another thread, while the loop runs.


def test_the_loop_makes_the_last_report_for_another_thread(loop_thread: LoopThread, until: Until) -> None:
    """stop() on another thread waits until the loop has made the last report and closed everything."""
    reporter = Noting(loop_thread.io_loop)
    reporter.start()
    until(lambda: reporter.reports)
    release = threading.Event()
    loop_thread.io_loop.add_callback(release.wait, PATIENCE)
    stopper = threading.Thread(target=reporter.stop, args=(PATIENCE,), daemon=True)

    stopper.start()
    until(lambda: not reporter.running)
    stopper.join(0.1)  # in which it could make the report itself, while the loop is busy
    assert reporter.outcome == (1, 1, 0, 0)
    release.set()
    stopper.join(PATIENCE)

    assert reporter.outcome == (2, 2, 0, 1)
    assert reporter.threads == [loop_thread.thread] * 2


def test_the_loop_finishes_a_coroutine_before_the_last_report(loop_thread: LoopThread, until: Until) -> None:
    """stop() on another thread waits for a coroutine that is under way, and for the last one after it."""
    release: Any = loop_thread.call(asyncio.Event)
    reporter = Waiting(loop_thread.io_loop, lambda: release.wait())
    reporter.start()
    until(lambda: reporter.threads)
    stopper = threading.Thread(target=reporter.stop, args=(PATIENCE,), daemon=True)

    stopper.start()
    until(lambda: not reporter.running)
    assert reporter.outcome == (1, 0, 0, 0)
    loop_thread.call(release.set)
    stopper.join(PATIENCE)

    assert reporter.outcome == (2, 2, 0, 1)
    assert reporter.threads == [loop_thread.thread] * 2


@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_several_threads_bring_about_one_last_report(kind: Any, loop_thread: LoopThread, until: Until) -> None:
    """However many threads stop it, the loop's own among them, there is one last report, and it is closed once."""
    for _ in range(20):
        reporter = kind(loop_thread.io_loop)
        reporter.start()
        threads = [threading.Thread(target=reporter.stop, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        loop_thread.call(reporter.stop)
        for thread in threads:
            thread.join(PATIENCE)
        until(partial(getattr, reporter, "closed"))

        begun, made, failed, closed = reporter.outcome
        assert (begun, failed, closed) == (made, 0, 1)
        assert made in (1, 2)  # the second, if the loop had made the first before it was stopped


def test_a_loop_that_stops_meanwhile_leaves_the_last_report_to_who_waits(loop_thread: LoopThread, until: Until) -> None:
    """A thread that waits in stop() for a coroutine gives it up when the loop has ended, and makes the last report."""
    reporter = Waiting(loop_thread.io_loop)
    release: Any = loop_thread.call(asyncio.Event)
    reporter.during = lambda: release.wait()
    reporter.start()
    until(lambda: reporter.threads)
    reporter.during = lambda: asyncio.sleep(0)
    stopper = threading.Thread(target=reporter.stop, args=(PATIENCE,), daemon=True)
    stopper.start()
    until(lambda: not reporter.running)

    loop_thread.stop()
    stopper.join(PATIENCE)

    assert reporter.outcome == (2, 1, 0, 1)
    assert reporter.threads[1].name == "tapes-Waiting"


# On the thread of the loop.


@pytest.mark.parametrize("begun", [True, False])
def test_a_plain_report_is_made_right_there(begun: bool) -> None:
    """stop() on the thread of the loop has made the last report and closed everything when it returns."""
    reporter = Noting()
    expected = (1 + begun, 1 + begun, 0, 1)

    async def main() -> None:
        reporter.start()
        if begun:
            await happened(lambda: reporter.reports)
        reporter.stop()
        assert reporter.outcome == expected
        await asyncio.sleep(0.01)

    asyncio.run(main())

    reporter.stop()
    assert reporter.outcome == expected


@pytest.mark.parametrize("begun", [True, False])
def test_a_last_coroutine_is_left_to_the_loop(begun: bool) -> None:
    """stop() on the thread of the loop returns at once, and the loop makes the last report and ends the run."""
    reporter = Waiting()

    async def main() -> None:
        reporter.start()
        if begun:
            await happened(lambda: reporter.reports)
        before = reporter.reports
        reporter.stop()
        assert (reporter.running, reporter.reports, reporter.closed) == (False, before, 0)
        await happened(lambda: reporter.closed)
        assert reporter.threads[-1] is threading.main_thread()

    asyncio.run(main())

    reporter.stop()
    assert reporter.outcome == (1 + begun, 1 + begun, 0, 1)


def test_a_coroutine_under_way_is_finished_first() -> None:
    """stop() on the thread of the loop returns at once; the coroutine goes on, then the last one is made."""
    reporter = Waiting()

    async def main() -> None:
        release = asyncio.Event()
        reporter.during = release.wait
        reporter.start()
        await happened(lambda: reporter.threads)
        reporter.stop()
        reporter.stop()
        await asyncio.sleep(0.01)
        assert reporter.outcome == (1, 0, 0, 0)
        release.set()
        await happened(lambda: reporter.closed)

    asyncio.run(main())

    reporter.stop()
    assert reporter.outcome == (2, 2, 0, 1)


def test_a_coroutine_may_stop_its_reporter() -> None:
    """stop() in the middle of a coroutine returns at once, and one more report is made."""
    reporter = Waiting()

    async def during() -> None:
        await asyncio.sleep(0)
        reporter.stop()

    async def main() -> None:
        reporter.during = during
        reporter.start()
        await happened(lambda: reporter.closed)

    asyncio.run(main())

    assert reporter.outcome == (2, 2, 0, 1)


def test_a_report_may_stop_its_reporter_and_its_loop(io_loop: Any) -> None:
    """A stop in a plain report is followed by the last report at once, even if the loop does nothing more."""

    def leave() -> None:
        reporter.stop()
        io_loop.stop()

    reporter = Noting(io_loop, leave)
    reporter.start()
    io_loop.start()

    assert reporter.outcome == (2, 2, 0, 1)


def test_close_may_stop_its_reporter() -> None:
    """A stop in close() returns at once and changes nothing."""

    class Closing(Noting):
        def close(self) -> None:
            super().close()
            self.stop()

    reporter = Closing()

    async def main() -> None:
        await reported(reporter)
        reporter.stop()

    asyncio.run(main())

    assert reporter.outcome == (2, 2, 0, 1)


def test_the_end_of_asyncio_run_just_after_a_stop_does_not_take_the_last_report() -> None:
    """A last coroutine that asyncio.run() cancels is no failure, and is made by the next stop(), as at the exit."""
    reporter = Waiting()

    async def main() -> None:
        await reported(reporter)
        reporter.during = lambda: asyncio.sleep(3600)
        reporter.stop()

    asyncio.run(main())
    reporter.during = lambda: asyncio.sleep(0)
    assert (reporter.reports, reporter.failures, reporter.closed) == (1, 0, 0)
    reporter.stop()

    assert (reporter.reports, reporter.failures, reporter.closed) == (2, 0, 1)
    assert reporter.threads[-1].name == "tapes-Waiting"


def test_a_last_report_that_is_always_cancelled_does_not_go_on_for_ever() -> None:
    """It is not tried again by the loop, but by the next stop(), where it is a failure."""
    reporter = Waiting()

    async def cancelled() -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def main() -> None:
        reporter.during = cancelled
        reporter.start()
        await happened(lambda: reporter.threads)
        reporter.stop()
        await asyncio.sleep(0.05)

    asyncio.run(main())

    assert (len(reporter.threads), reporter.failures, reporter.closed) == (2, 0, 0)
    logging.getLogger("tapes.reporting").disabled = True
    reporter.stop()
    logging.getLogger("tapes.reporting").disabled = False
    assert (reporter.failures, reporter.closed) == (1, 1)


# Without a loop.


def test_before_any_loop_a_coroutine_is_made_on_one_of_its_own() -> None:
    """A coroutine gets a loop in a daemon thread, and the loop of the thread that stops it stays what it was."""
    policy_loop = asyncio.new_event_loop()
    asyncio.set_event_loop(policy_loop)
    reporter = Waiting()

    try:
        reporter.start()
        reporter.stop()

        assert asyncio.get_event_loop_policy().get_event_loop() is policy_loop
    finally:
        asyncio.set_event_loop(None)
        policy_loop.close()
    assert reporter.outcome == (1, 1, 0, 1)
    assert (reporter.threads[0].name, reporter.threads[0].daemon) == ("tapes-Waiting", True)


def test_a_function_that_returns_a_coroutine_is_called_right_there() -> None:
    """What is not known to be a coroutine before it is called is waited for all the same."""
    reporter = Noting()
    waited: List[str] = []

    async def wait() -> None:
        waited.append(threading.current_thread().name)

    reporter.report = lambda: wait()  # type: ignore[method-assign]  # no coroutine function
    reporter.start()
    reporter.stop()

    assert waited == ["tapes-Noting"]
    assert (reporter.reports, reporter.closed) == (1, 1)


def test_a_coroutine_of_tornado_is_called_on_a_loop() -> None:
    """Without a loop, a function that asks for the current one as soon as it is called gets one that runs."""
    reporter = Noting()
    loops: List[Any] = []

    @tornado.gen.coroutine
    def report() -> Any:
        loops.append(asyncio.get_running_loop())
        yield tornado.gen.moment

    reporter.report = report  # type: ignore[method-assign]  # to make it a coroutine of the old kind
    reporter.start()
    reporter.stop()

    assert (len(loops), reporter.reports, reporter.failures, reporter.closed) == (1, 1, 0, 1)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_a_loop_that_never_ran(kind: Any, given: bool, io_loop: Any) -> None:
    """The last report is made although no loop has been started, and the loop has nothing left to do with it."""
    reporter = kind(io_loop if given else None)

    reporter.start()
    reporter.stop()
    io_loop.asyncio_loop.run_until_complete(asyncio.sleep(0.01))

    assert reporter.outcome == (1, 1, 0, 1)
    assert (reporter.threads[0] is threading.main_thread()) is (kind is Noting)


@pytest.mark.parametrize("kind", [Noting, Waiting])
@pytest.mark.parametrize("closed", [True, False])
def test_a_loop_that_has_ended(kind: Any, closed: bool, until: Until) -> None:
    """After the loop was stopped, or closed too, the last report is made without it."""
    loop = LoopThread()
    reporter = kind(loop.io_loop)
    reporter.start()
    until(lambda: reporter.reports)

    loop.stop()
    if closed:
        loop.close()
    reporter.stop()

    assert reporter.outcome == (2, 2, 0, 1)
    assert reporter.threads[1] is not loop.thread
    loop.close()


def test_a_coroutine_on_a_loop_that_has_stopped_is_given_up() -> None:
    """It is neither a report nor a failure; nobody is warned of it; the last report is made without the loop."""
    loop = LoopThread()
    release: Any = loop.call(asyncio.Event)
    left: List[str] = []

    async def wait() -> None:
        try:
            await release.wait()
        finally:
            left.append(threading.current_thread().name)

    reporter = Waiting(loop.io_loop, wait)
    reporter.start()
    loop.call(lambda: None)
    loop.call(lambda: None)
    loop.stop()
    assert len(reporter.threads) == 1
    reporter.during = lambda: asyncio.sleep(0)

    reporter.stop()

    assert reporter.outcome == (2, 1, 0, 1)
    assert left == ["MainThread"]
    loop.io_loop.close()


def test_a_coroutine_that_has_not_begun_is_given_up_without_a_warning(io_loop: Any) -> None:
    """A loop that stops before the first step of a coroutine leaves nothing behind that Python would complain of."""
    reporter = Waiting(io_loop)
    reporter.start()
    io_loop.add_callback(io_loop.stop)
    io_loop.start()
    assert (reporter.running, reporter.threads) == (True, [])

    reporter.stop()

    assert reporter.outcome == (1, 1, 0, 1)


def test_a_coroutine_that_hangs_without_a_loop_does_not_hold_up_a_stop(caplog: pytest.LogCaptureFixture) -> None:
    """stop() returns within its deadline, says so, and what comes later is not counted."""
    hang = threading.Event()
    reporter = Waiting(None, lambda: asyncio.get_running_loop().run_in_executor(None, hang.wait, PATIENCE))
    reporter.start()

    reporter.stop(0.05)

    assert not reporter.running
    assert [record.getMessage() for record in caplog.records] == [
        "Waiting(interval=3600) did not stop within 0.05 s: it is abandoned, and its last report may be lost."
    ]
    caplog.clear()
    hang.set()
    reporter.threads[0].join(PATIENCE)
    assert reporter.closed == 1


def test_the_end_of_asyncio_run_is_no_failure() -> None:
    """A coroutine that asyncio.run() cancels when it ends is not counted, and the last report comes with the stop."""
    reporter = Waiting(None, lambda: asyncio.sleep(3600))

    async def main() -> None:
        reporter.start()
        await happened(lambda: reporter.threads)

    asyncio.run(main())
    assert reporter.running
    reporter.during = lambda: asyncio.sleep(0)
    reporter.stop()

    assert reporter.outcome == (2, 1, 0, 1)


# In signal handlers.


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Handle SIGUSR1 with a function."""
    previous = signal.getsignal(signal.SIGUSR1)

    def handle_with(function: Callable[[], object]) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: function() and None)

    yield handle_with
    signal.signal(signal.SIGUSR1, previous)


def test_a_signal_handler_stops_a_reporter_in_the_middle_of_its_report(on_signal: Any) -> None:
    """The stop returns at once; the report that was interrupted is finished, and a last one made after it."""
    reporter = Noting()
    seen: List[Any] = []

    def stop() -> None:
        reporter.stop()
        seen.append(reporter.outcome)

    async def main() -> None:
        on_signal(stop)
        reporter.during = lambda: signal.raise_signal(signal.SIGUSR1) if not seen else None
        reporter.start()
        await happened(lambda: reporter.closed)

    asyncio.run(main())

    assert seen == [(1, 0, 0, 0)]
    assert reporter.outcome == (2, 2, 0, 1)


@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_a_signal_handler_wakes_a_loop_that_waits(kind: Any, on_signal: Any, io_loop: Any) -> None:
    """A loop that has nothing else to do is woken, and ends the run."""
    reporter = kind(io_loop, *([] if kind is Noting else [lambda: asyncio.sleep(0)]))
    end = reporter.end

    def ended(run: Any) -> None:
        end(run)
        io_loop.add_callback(io_loop.stop)

    reporter.end = ended
    on_signal(reporter.stop)
    reporter.start()
    # Again and again: one that comes just as the loop begins to wait does not wake it.
    io_loop.add_callback(lambda: io_loop.add_callback(signal.setitimer, signal.ITIMER_REAL, 0.05, 0.05))
    previous = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGUSR1))

    try:
        io_loop.start()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    assert reporter.outcome == (2, 2, 0, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_what_a_signal_raises_in_a_report_ends_the_program_and_is_no_failure(
    number: int, kind: Any, on_signal: Any, io_loop: Any
) -> None:
    """Ctrl-C and sys.exit() in a handler end the loop, also when they come in the middle of a report."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(7)

    async def interrupt() -> None:
        signal.raise_signal(number)

    reporter = kind(io_loop, interrupt if kind is Waiting else lambda: signal.raise_signal(number))
    on_signal(int)
    signal.signal(signal.SIGUSR1, leave)
    reporter.start()

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        io_loop.start()
    assert reporter.outcome == (1, 0, 0, 0)
    assert reporter.running
    reporter.during = (lambda: asyncio.sleep(0)) if kind is Waiting else lambda: None
    reporter.stop()

    assert reporter.outcome == (2, 1, 0, 1)


@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_a_signal_handler_stops_a_reporter_in_the_middle_of_its_start(kind: Any, on_signal: Any) -> None:
    """A start that is stopped meanwhile opens, makes one report, and closes."""

    class Opening(kind):  # type: ignore[misc]  # either
        def open(self) -> None:
            signal.raise_signal(signal.SIGUSR1)

    reporter = Opening()
    on_signal(reporter.stop)

    reporter.start()

    assert not reporter.running
    assert reporter.outcome == (1, 1, 0, 1)


class CutIn:
    """A trace function that does something at one step of the work that is shared between a loop and a stop."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self.left = step
        self.act = act

    def __call__(self, frame: Any, event: str, arg: object) -> Any:
        """Count the lines."""
        if frame.f_code.co_filename != drive.__file__:
            return None
        if event == "line":
            self.left -= 1
            if not self.left:
                sys.settrace(None)
                self.act()
        return self


async def first_report(reporter: Noting, cut_in: CutIn) -> None:
    """Start a reporter, and wait until it has reported, if nothing cuts in."""
    reporter.start()
    sys.settrace(cut_in)
    try:
        await happened(lambda: reporter.reports)
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_a_stop_at_every_step_of_a_report_makes_one_last_report(kind: Any) -> None:
    """Wherever in the loop's own work a signal handler stops the reporter, it reports once more and ends once."""

    async def main(reporter: Noting, cut_in: CutIn) -> None:
        await first_report(reporter, cut_in)
        reporter.stop()
        await happened(lambda: reporter.closed)

    for step in itertools.count(1):
        reporter = kind()
        cut_in = CutIn(step, reporter.stop)

        asyncio.run(main(reporter, cut_in))

        begun, made, failed, closed = reporter.outcome
        assert (begun, failed, closed) == (made, 0, 1), f"Stopped at step {step}."
        assert made in (1, 2), f"Stopped at step {step}."
        if cut_in.left > 0:
            break

    assert step > 20


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # Ctrl-C came in between
@pytest.mark.parametrize("kind", [Noting, Waiting])
def test_ctrl_c_at_every_step_of_a_report_leaves_a_reporter_that_can_be_stopped(kind: Any) -> None:
    """Wherever in the loop's own work Ctrl-C cuts in, a stop makes the last report and closes everything once."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    # Coroutines that were cut off warn when they are collected, which fails where the interpreter runs code without
    # builtins, like the constructors of named tuples. So they are collected here.
    gc.disable()
    try:
        for step in itertools.count(1):
            reporter = kind()
            cut_in = CutIn(step, interrupt)

            with suppress(KeyboardInterrupt):
                asyncio.run(first_report(reporter, cut_in))
            before = reporter.reports
            reporter.stop()

            outcome = reporter.reports, reporter.failures, reporter.closed
            assert outcome == (before + 1, 0, 1), f"Cut off at step {step}."
            if cut_in.left > 0:
                break
    finally:
        gc.collect()
        gc.enable()

    assert step > 20
