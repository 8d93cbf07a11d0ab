"""What reporters that a loop drives do when the program ends."""

from __future__ import annotations

import pytest

from tests.conftest import RunScript

PREAMBLE = """
import asyncio, atexit, os, signal, sys, threading, time
from tornado.ioloop import IOLoop, PeriodicCallback
from tapes import Registry
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter

class Plain(TornadoScheduledReporter):
    def report(self):
        print("report", registry.get_stats().events.value, flush=True)

class Coroutine(TornadoScheduledReporter):
    async def report(self):
        await asyncio.sleep(0)
        print("report", registry.get_stats().events.value, flush=True)

class Apart(TornadoStreamReporter):
    def __init__(self, interval, registry):
        super().__init__(interval, self, registry)

    def write(self, text):
        print("report", registry.get_stats().events.value, flush=True)

    def flush(self):
        pass

    def close(self):
        super().close()
        print("closed", flush=True)

def close(self):
    print("closed", flush=True)

Plain.close = Coroutine.close = close
registry = Registry()
events = registry.counter("events")
reporter = {"plain": Plain, "coroutine": Coroutine, "apart": Apart}[sys.argv[1]](3600, registry)

async def first():
    deadline = time.monotonic() + 60
    while not reporter.reports:
        assert time.monotonic() < deadline, "it has not reported"
        await asyncio.sleep(0.002)
    events.increment(7)
"""

KINDS = pytest.mark.parametrize("kind", ["plain", "coroutine", "apart"])


@KINDS
def test_after_asyncio_run_has_ended(kind: str, run_script: RunScript) -> None:
    """A program that ends with its loop, without a stop, has its last numbers reported."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    reporter.start()
    await first()
asyncio.run(main())
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["report 0", "report 7", "closed"]


@KINDS
def test_after_the_loop_was_stopped(kind: str, run_script: RunScript) -> None:
    """The same holds for a loop that is stopped and never closed, and for one that waits for a report."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    reporter.start()
    await first()
    if sys.argv[1] == "coroutine":
        async def hang():
            print("hangs", flush=True)
            await asyncio.sleep(3600)
        report, reporter.report = reporter.report, hang
        reporter._drive.go_on()
        await asyncio.sleep(0.01)
        reporter.report = report
    loop.stop()
loop = IOLoop.current()
loop.add_callback(main)
loop.start()
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line != "hangs"] == ["report 0", "report 7", "closed"]


@KINDS
def test_when_no_loop_has_ever_run(kind: str, run_script: RunScript) -> None:
    """A program that never runs a loop makes one report, when it ends."""
    done = run_script(
        PREAMBLE
        + """
reporter.start()
events.increment(7)
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["report 7", "closed"]


@KINDS
def test_just_after_a_stop_on_the_thread_of_the_loop(kind: str, run_script: RunScript) -> None:
    """A stop in the last line of the program's main coroutine loses no report and makes none twice."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    reporter.start()
    await first()
    reporter.stop()
asyncio.run(main())
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["report 0", "report 7", "closed"]


@KINDS
def test_sigterm_that_stops_the_loop(kind: str, run_script: RunScript) -> None:
    """A handler of asyncio's that ends the program: the last numbers are reported."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    reporter.start()
    await first()
    os.kill(os.getpid(), signal.SIGTERM)
    await end.wait()
asyncio.run(main())
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["report 0", "report 7", "closed"]


@KINDS
@pytest.mark.parametrize("stops", [True, False])
def test_sigterm_in_the_middle_of_a_report(kind: str, stops: bool, run_script: RunScript) -> None:
    """A handler that calls sys.exit(), with a stop before it or without, ends the program, after one last report."""
    done = run_script(
        PREAMBLE
        + """
def terminate(number, frame):
    events.increment(7)
    if sys.argv[2] == "True":
        reporter.stop()
    sys.exit(5)
signal.signal(signal.SIGTERM, terminate)

class Killing:
    done = False
    def __call__(self):
        if not self.done:
            self.done = True
            os.kill(os.getpid(), signal.SIGTERM)
            if threading.current_thread() is threading.main_thread():
                time.sleep(30)
        return 1
registry.gauge("killing", Killing())
report = reporter.report
def killing():
    registry.get_stats()
    return report()
async def killing_later():
    await asyncio.sleep(0)
    registry.get_stats()
    await report()
reporter.report = killing_later if sys.argv[1] == "coroutine" else killing
loop = IOLoop.current()
# A signal from another thread that comes just as the loop begins to wait does not wake it.
PeriodicCallback(lambda: None, 20).start()
reporter.start()
loop.start()
""",
        kind,
        str(stops),
    )

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (5, "")
    if kind == "apart":
        lines.pop(0)  # its thread finishes the report that was under way, with the old number or with the new one
    assert lines == ["report 7", "closed"]


@KINDS
def test_ctrl_c_ends_the_program_with_a_last_report(kind: str, run_script: RunScript) -> None:
    """KeyboardInterrupt out of the loop: the last numbers are reported before the program ends."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    reporter.start()
    await first()
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(30)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["report 0", "interrupted", "report 7", "closed"]


@KINDS
def test_a_loop_that_still_runs_in_a_thread_at_the_exit(kind: str, run_script: RunScript) -> None:
    """A loop of a daemon thread makes the last report while the interpreter exits."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    reporter.start()
    await first()
    ready.set()
    await asyncio.sleep(3600)
ready = threading.Event()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
assert ready.wait(30)
""",
        kind,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["report 0", "report 7", "closed"]
