"""When a loop makes reports, on a loop whose time leaps from one timer to the next."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Callable, Dict, List, Optional

import pytest
from tornado.ioloop import IOLoop

from tapes.errors import ReporterOptionError
from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.reporting.run import Run
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.pace import Pace
from tests.tornado.conftest import LeapingLoop


class Timed(TornadoScheduledReporter):
    """Notes when its reports begin and end, by the time of the loop that they run on."""

    def __init__(self, loop: LeapingLoop, during: Callable[[], Optional[Awaitable[Any]]]) -> None:
        super().__init__(10, Registry())
        self.loop = loop
        self.during = during
        self.begun: List[float] = []
        self.under_way = self.most_under_way = 0

    def report(self) -> Optional[Awaitable[Any]]:
        """Note the time and do what there is to do."""
        self.begun.append(self.loop.time())
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        waiting = self.during()
        if waiting is None:
            self.under_way -= 1
            return None
        return self.wait_for(waiting)

    async def wait_for(self, waiting: Awaitable[Any]) -> None:
        """Wait."""
        try:
            await waiting
        finally:
            self.under_way -= 1


def reported(loop: LeapingLoop, reporter: Timed, seconds: float) -> List[float]:
    """Return when reports begin while the loop runs for so many seconds."""

    async def main() -> None:
        reporter.start()
        await asyncio.sleep(seconds)

    loop.run_until_complete(main())
    times = list(reporter.begun)
    reporter.during = lambda: None  # the last report has no loop whose time leaps
    return times


DURING: Dict[str, Callable[[LeapingLoop, float], Optional[Awaitable[Any]]]] = {
    "in no time": lambda loop, seconds: None,
    "plain": lambda loop, seconds: loop.spend(seconds),
    "coroutine": lambda loop, seconds: asyncio.sleep(seconds),
    "future": lambda loop, seconds: asyncio.ensure_future(asyncio.sleep(seconds)),
}
"""What reports are that take so many seconds."""


@pytest.mark.parametrize(
    ("what", "takes", "runs", "expected"),
    [
        ("in no time", 0, 35, [0, 10, 20, 30]),
        ("plain", 2.5, 35, [0, 10, 20, 30]),
        ("plain", 25, 70, [0, 30, 60]),
        ("coroutine", 2.5, 35, [0, 10, 20, 30]),
        ("coroutine", 25, 89, [0, 30, 60]),
        ("future", 15, 39, [0, 20]),
    ],
)
def test_reports_come_at_whole_intervals_after_the_start_and_never_overlap(
    leaping: LeapingLoop, what: str, takes: float, runs: float, expected: List[float]
) -> None:
    """The first report comes at once. However long a report takes, the next is on time; what was due is left out."""
    reporter = Timed(leaping, lambda: DURING[what](leaping, takes))

    times = reported(leaping, reporter, runs)

    assert times == expected
    assert (reporter.reports, reporter.failures, reporter.most_under_way) == (len(expected), 0, 1)
    reporter.stop()


def test_a_loop_that_was_busy_makes_one_report_and_no_burst(leaping: LeapingLoop) -> None:
    """When several intervals pass while something else keeps the loop, one report is made, and no time is shifted."""
    reporter = Timed(leaping, lambda: None)
    leaping.call_at(5, lambda: leaping.spend(30))

    times = reported(leaping, reporter, 55)

    assert times == [0, 35, 40, 50]
    reporter.stop()


def test_a_run_in_a_forked_child_begins_with_an_interval(leaping: LeapingLoop) -> None:
    """In a child the first call comes after one interval, when whatever else has to be set up there has been."""
    times: List[float] = []
    run = Run(lambda: None, in_child=True)
    pace = Pace(10, run, lambda: times.append(leaping.time()))

    async def main() -> None:
        pace.begin(IOLoop.current())
        await asyncio.sleep(25)
        run.request_stop()
        pace.wake()

    leaping.run_until_complete(main())

    assert times == [10, 20, 25]  # the last one is for the stop


def test_the_time_of_day_does_not_matter(leaping: LeapingLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on the wall that is set back or forth, which is what `IOLoop.time()` shows, changes nothing."""
    wall = iter([1e9, 0.0, 5e9] * 100)
    monkeypatch.setattr(IOLoop, "time", lambda self: next(wall))
    reporter = Timed(leaping, lambda: None)

    times = reported(leaping, reporter, 35)

    assert times == [0, 10, 20, 30]
    reporter.stop()


def test_the_last_report_takes_the_place_of_those_to_come(leaping: LeapingLoop) -> None:
    """After a stop nothing more is reported, and the loop has no timer of the reporter left."""
    reporter = Timed(leaping, lambda: None)

    async def main() -> None:
        reporter.start()
        await asyncio.sleep(15)
        reporter.stop()
        await asyncio.sleep(1)
        assert [timer for timer in leaping._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
        await asyncio.sleep(100)

    leaping.run_until_complete(main())

    assert reporter.begun == [0, 10, 15]


def test_a_failing_coroutine_is_a_failed_report(leaping: LeapingLoop, caplog: pytest.LogCaptureFixture) -> None:
    """What a coroutine raises after it has waited is counted, kept and logged like what a plain report raises."""
    error = OSError("the far end has gone")

    async def fail() -> None:
        await asyncio.sleep(1)
        raise error

    reporter = Timed(leaping, fail)

    times = reported(leaping, reporter, 15)

    assert times == [0, 10]
    assert (reporter.reports, reporter.failures, reporter.last_error) == (0, 2, error)
    assert [record.getMessage() for record in caplog.records] == [
        "Timed(interval=10) could not report: the far end has gone. It will try again."
    ]
    reporter.stop()


def test_a_system_exit_in_a_coroutine_does_not_end_the_loop(leaping: LeapingLoop) -> None:
    """SystemExit is a failed report, in a coroutine too, where asyncio would let it end the loop."""

    async def leave() -> None:
        await asyncio.sleep(1)
        raise SystemExit(3)

    reporter = Timed(leaping, leave)

    times = reported(leaping, reporter, 15)

    assert (times, reporter.failures) == ([0, 10], 2)
    reporter.stop()


def test_a_coroutine_that_is_cancelled_is_neither_a_report_nor_a_failure(
    leaping: LeapingLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever cancels a report does not want it; the next one comes at its time."""
    reporter = Timed(leaping, lambda: asyncio.sleep(5))

    async def main() -> None:
        mine = asyncio.current_task()
        reporter.start()
        await asyncio.sleep(1)
        for task in asyncio.all_tasks() - {mine}:
            task.cancel()
        await asyncio.sleep(8)
        assert (reporter.reports, reporter.failures) == (0, 0)
        await asyncio.sleep(10)

    leaping.run_until_complete(main())

    assert reporter.begun == [0, 10]
    assert (reporter.reports, reporter.failures, caplog.records) == (1, 0, [])
    reporter.during = lambda: None
    reporter.stop()


@pytest.mark.parametrize("wrong", [asyncio.sleep, "current", 1])
def test_what_is_no_loop_is_refused(wrong: Any) -> None:
    """Something else than an IOLoop is refused by the constructor, and named, with what to give."""

    class Unmade(TornadoScheduledReporter):
        def report(self) -> None:
            """Do nothing."""

    with pytest.raises(
        ReporterOptionError, match=r"io_loop is an IOLoop of Tornado, like IOLoop.current\(\)"
    ) as caught:
        Unmade(10, io_loop=wrong)

    assert repr(wrong) in str(caught.value)
    assert Unmade(10).registry is DEFAULT_REGISTRY
