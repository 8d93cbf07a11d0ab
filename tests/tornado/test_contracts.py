"""The contract of reporters, for those that a loop drives."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, List, Optional
from unittest import SkipTest

from tornado.ioloop import IOLoop

from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.driver import LoopDriven
from tapes.reporting.tornado.statsd import TornadoStatsdReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter
from tapes.testing import ManualClock, ReporterContract
from tests.reporting import far_ends, tally
from tests.statsd.listeners import Datagrams
from tests.tornado.conftest import ClockedLoop, LoopThread


class FarEnd:
    """Counts what arrives, or does not let it."""

    def __init__(self) -> None:
        self.arrived = 0
        self.broken = False

    def take(self, registry: Registry) -> None:
        """Take a report."""
        if self.broken:
            raise OSError("broken")
        registry.snapshot()
        self.arrived += 1


class Plain(TornadoScheduledReporter):
    """Reports without waiting for anything."""

    far_end: FarEnd

    def report(self) -> None:
        """Report."""
        self.far_end.take(self.registry)


class Coroutine(TornadoScheduledReporter):
    """Lets the loop go on in the middle of a report."""

    far_end: FarEnd

    async def report(self) -> None:
        """Report."""
        await asyncio.sleep(0)
        self.far_end.take(self.registry)


class OnAClockedLoop(ReporterContract):
    """Tests on loops that run in threads of their own, by the clock of the test."""

    threaded = False  # only: the loop of the test is in one as well
    given = True
    """Whether the reporter is given its loop, or has to find it."""

    def setup_method(self) -> None:
        """There are no loops yet."""
        self.loops: List[LoopThread] = []
        self.pid = os.getpid()
        self.forked = False
        self.clock = ManualClock()

    def teardown_method(self) -> None:
        """Close the loops."""
        for loop in self.loops:
            loop.close()

    def loop_for(self, registry: Optional[Registry]) -> Optional[IOLoop]:
        """Run a loop by the clock of this registry. Return it if the reporter is to be given it."""
        if registry is None or not isinstance(registry.clock, ManualClock):
            return None  # its reporter never runs
        self.clock = registry.clock
        self.loops.append(LoopThread(ClockedLoop(self.clock)))
        self.pid = os.getpid()
        return self.loops[-1].io_loop if self.given else None

    def pause(self) -> None:
        """In a forked child, run a loop there and turn the clock: when it begins is not to be told."""
        if os.getpid() != self.pid:
            self.pid = os.getpid()
            self.loops = [LoopThread(ClockedLoop(self.clock))]
            self.forked = True
        if self.forked:
            self.clock.advance(self.interval / 4)
        super().pause()


class InThePauses(ReporterContract):
    """Tests on a loop that the test runs itself, whenever it waits for something, and in real time."""

    interval = 0.02
    manual_time = False
    threaded = False
    may_hang = False

    def setup_method(self) -> None:
        """Make the loop."""
        self.pid = os.getpid()
        self.io_loop: Any = IOLoop(make_current=False, asyncio_loop=asyncio.new_event_loop())

    def teardown_method(self) -> None:
        """Close it."""
        self.io_loop.close()

    def pause(self) -> None:
        """Run the loop for a moment; in a forked child, one of its own."""
        if os.getpid() != self.pid:
            self.setup_method()
        self.io_loop.asyncio_loop.run_until_complete(asyncio.sleep(0.005))


class TestPlain(OnAClockedLoop):
    """A plain report, on a loop that is given."""

    kind: Any = Plain

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Report to a far end of the test's own."""
        reporter = self.kind(self.interval, registry, self.loop_for(registry))
        reporter.far_end = self.far_end
        return reporter  # type: ignore[no-any-return]

    def setup_method(self) -> None:
        """Make the far end."""
        super().setup_method()
        self.far_end = FarEnd()

    def start_beside(self, reporter: Any) -> None:
        """Start it on another loop than the one that the report holds up."""
        self.loops.append(LoopThread(ClockedLoop(self.clock)))
        reporter._io_loop = self.loops[-1].io_loop
        reporter.start()

    def received(self) -> Optional[int]:
        """Count what has arrived."""
        return self.far_end.arrived

    def break_far_end(self) -> None:
        """Break it."""
        self.far_end.broken = True

    def mend_far_end(self) -> None:
        """Mend it."""
        self.far_end.broken = False


class TestCoroutine(TestPlain):
    """A coroutine, on a loop that is given."""

    kind = Coroutine


class TestCoroutineFound(TestCoroutine):
    """A coroutine, on a loop that has to be found."""

    given = False


class TestPlainInThePauses(InThePauses):
    """A plain report, on a loop that begins to run after the start, and runs now and then."""

    kind: Any = Plain

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Report to a far end of the test's own."""
        reporter = self.kind(self.interval, registry)
        reporter.far_end = self.far_end
        return reporter  # type: ignore[no-any-return]

    def setup_method(self) -> None:
        """Make the far end."""
        super().setup_method()
        self.far_end = FarEnd()

    def received(self) -> Optional[int]:
        """Count what has arrived."""
        return self.far_end.arrived


class TestCoroutineInThePauses(TestPlainInThePauses):
    """A coroutine, on a loop that begins to run after the start, and runs now and then."""

    kind = Coroutine


class Apart(OnAClockedLoop):
    """Tests of reporters that have a thread of their own, and a loop that keeps the time."""

    made: Optional[LoopDriven] = None

    def settle(self, clock: ManualClock) -> None:
        """Wait for the thread too."""
        super().settle(clock)
        made = self.made
        assert made is not None
        self.until(lambda: made.idle, "its thread waits again")

    def test_missed_reports_are_left_out(self) -> None:
        """Skip it: whether the thread or the loop sees first that time has passed is not to be told."""
        raise SkipTest("Shown by tests/tornado/test_driver.py.")


class Writing(Apart, far_ends.FarEnd):
    """Tests of a reporter of JSON lines."""

    def writing(self, registry: Optional[Registry], **where: Any) -> Reporter:
        """Make it."""
        self.made = TornadoStreamReporter(self.interval, registry=registry, io_loop=self.loop_for(registry), **where)
        return self.made


class TestTornadoStreamReporter(Writing, far_ends.ToAStream):
    """To a stream."""


class TestTornadoStreamReporterToAFile(Writing, far_ends.ToAFile):
    """To a file."""


class TestTornadoStreamReporterToAPipe(Writing, far_ends.ToAPipe):
    """To a pipe."""


class TestTornadoStreamReporterInThePauses(InThePauses, far_ends.ToAStream):
    """To a stream, by a loop that begins to run after the start, and runs now and then."""

    may_hang = True  # its reports hang in its thread
    threaded = True

    def writing(self, registry: Optional[Registry], **where: Any) -> Reporter:
        """Make it."""
        return TornadoStreamReporter(self.interval, registry=registry, **where)


class TestTornadoStatsdReporter(Apart):
    """To a StatsD that only counts packets."""

    def setup_method(self) -> None:
        """Listen."""
        super().setup_method()
        self.statsd = Datagrams()

    def teardown_method(self) -> None:
        """Listen no more."""
        super().teardown_method()
        self.statsd.close()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Send to it. What is sent each time is a gauge."""
        if registry is not None:
            registry.gauge("contract.level", tags={"thread": str(threading.get_ident())}).set(1)
        self.made = TornadoStatsdReporter(
            self.interval, "127.0.0.1", self.statsd.port, registry=registry, io_loop=self.loop_for(registry)
        )
        return self.made

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Skip: whatever is wrong with its options is refused by its constructor."""
        raise SkipTest("There is no fault of the user's own that the constructor does not find.")

    def received(self) -> Optional[int]:
        """Count the packets."""
        self.statsd.read()
        return len(self.statsd.packets)

    def test_the_registry_is_left_as_it_is(self) -> None:
        """Skip it: there is a gauge besides what it expects."""
        raise SkipTest("Shown by the other suites.")

    def break_far_end(self) -> None:
        """Close its port, so that packets are refused."""
        self.statsd.close()

    def mend_far_end(self) -> None:
        """Open it."""
        self.statsd.reopen()


class TestAPushReporterOnALoop(tally.FarEnd, Apart):
    """A destination that is one sender of three methods, by a loop that is found, from a config by its name."""

    given = False

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Write to the file."""
        self.loop_for(registry)
        made = tally.configured("tornado-tally", registry, interval=self.interval, path=str(self.path))
        assert isinstance(made, LoopDriven)
        self.made = made
        return made

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Write to something that is a folder."""
        self.path.mkdir()
        return tally.configured("tornado-tally", registry, interval=self.interval, path=str(self.path))
