"""What reporters that a loop drives do when the program ends."""

from __future__ import annotations

from typing import List

import pytest

from tests.conftest import RunScript

PREAMBLE = """
import asyncio, atexit, os, signal, sys, threading, time
from tornado.ioloop import IOLoop, PeriodicCallback
from tapes import Registry
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter

def say(*words):
    os.write(1, f"{' '.join(map(str, words))}\\n".encode())  # at once: threads say something as well

class Plain(TornadoScheduledReporter):
    def report(self):
        say("plain", "report", registry.get_stats().events.value)

    def close(self):
        say("plain", "closed")

class Coroutine(TornadoScheduledReporter):
    async def report(self):
        await asyncio.sleep(0)
        say("coroutine", "report", registry.get_stats().events.value)

    def close(self):
        say("coroutine", "closed")

class Apart(TornadoStreamReporter):
    def __init__(self, interval, registry):
        super().__init__(interval, self, registry)

    def write(self, text):
        say("apart", "report", registry.get_stats().events.value)

    def flush(self):
        pass

    def close(self):
        super().close()
        say("apart", "closed")

registry = Registry()
events = registry.counter("events")
kinds = {"plain": Plain, "coroutine": Coroutine, "apart": Apart}
reporters = [kinds[kind](3600, registry) for kind in sys.argv[1].split()]

def start():
    for reporter in reporters:
        reporter.start()

async def first():
    deadline = time.monotonic() + 60
    while not all(reporter.reports for reporter in reporters):
        assert time.monotonic() < deadline, "it has not reported"
        await asyncio.sleep(0.002)
    events.increment(7)
"""

KINDS = ["plain", "coroutine", "apart"]

PROGRAMS = {
    "after asyncio.run() has ended": """
async def main():
    start()
    await first()
asyncio.run(main())
""",
    "after the loop was stopped and not closed, while a coroutine waits": """
async def main():
    start()
    await first()
    coroutine = reporters[1]
    async def hang():
        await asyncio.sleep(3600)
    report, coroutine.report = coroutine.report, hang
    coroutine._drive.make_reports()
    await asyncio.sleep(0.01)
    coroutine.report = report
    loop.stop()
loop = IOLoop.current()
loop.add_callback(main)
loop.start()
""",
    "just after a stop on the thread of the loop": """
async def main():
    start()
    await first()
    for reporter in reporters:
        reporter.stop()
asyncio.run(main())
""",
    "after a handler of asyncio's for SIGTERM has stopped the loop": """
async def main():
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    start()
    await first()
    os.kill(os.getpid(), signal.SIGTERM)
    await end.wait()
asyncio.run(main())
""",
    "while a loop still runs in a thread": """
async def main():
    start()
    await first()
    ready.set()
    await asyncio.sleep(3600)
ready = threading.Event()
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
assert ready.wait(30)
""",
}


def said_by(kind: str, output: str) -> List[str]:
    """Return what the reporter of this kind has said, and whoever has no kind."""
    lines = [line.split(" ", 1) if line.startswith(tuple(KINDS)) else (kind, line) for line in output.splitlines()]
    return [said for speaker, said in lines if speaker == kind]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_last_numbers_are_reported(program: str, run_script: RunScript) -> None:
    """A program whose loop has run has its last numbers reported once, however it ends."""
    done = run_script(PREAMBLE + program, " ".join(KINDS))

    assert (done.returncode, done.stderr) == (0, "")
    for kind in KINDS:
        assert said_by(kind, done.stdout) == ["report 0", "report 7", "closed"]


def test_when_no_loop_has_ever_run(run_script: RunScript) -> None:
    """A program that never runs a loop makes one report, when it ends."""
    done = run_script(PREAMBLE + "start()\nevents.increment(7)\n", " ".join(KINDS))

    assert (done.returncode, done.stderr) == (0, "")
    for kind in KINDS:
        assert said_by(kind, done.stdout) == ["report 7", "closed"]


def test_ctrl_c_ends_the_program_with_a_last_report(run_script: RunScript) -> None:
    """KeyboardInterrupt out of the loop: the last numbers are reported before the program ends."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    start()
    await first()
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(30)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    say("interrupted")
""",
        " ".join(KINDS),
    )

    assert (done.returncode, done.stderr) == (0, "")
    for kind in KINDS:
        assert said_by(kind, done.stdout) == ["report 0", "interrupted", "report 7", "closed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stops", [True, False])
def test_sigterm_in_the_middle_of_a_report(kind: str, stops: bool, run_script: RunScript) -> None:
    """A handler that calls sys.exit(), with a stop before it or without, ends the program, after one last report."""
    done = run_script(
        PREAMBLE
        + """
(reporter,) = reporters
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

    said = said_by(kind, done.stdout)
    assert (done.returncode, done.stderr) == (5, "")
    if kind == "apart":
        said.pop(0)  # its thread finishes the report that was under way, with the old number or with the new one
    assert said == ["report 7", "closed"]
