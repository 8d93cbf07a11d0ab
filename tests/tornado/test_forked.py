"""Reporters that are started before a fork: they report on the loop of the child, whichever way it comes about."""

from __future__ import annotations

import pytest

from tests.conftest import RunScript

PREAMBLE = """
import asyncio, multiprocessing, os, sys, threading, time
import tornado.process
from tornado.ioloop import IOLoop
from tapes.reporting.tornado import TornadoScheduledReporter, loops
from tapes.reporting.tornado.stream import TornadoStreamReporter

def say(kind):
    who = "parent" if os.getpid() == parent else "child"
    where = "loop" if threading.current_thread() is threading.main_thread() else "thread"
    os.write(1, f"{kind} of {who} on {where}\\n".encode())

class Writer(TornadoScheduledReporter):
    def report(self):
        say("plain")

class Waiter(TornadoScheduledReporter):
    async def report(self):
        await asyncio.sleep(0)
        say("coroutine")

class Blocker(TornadoStreamReporter):
    def report(self):
        say("apart")

parent = os.getpid()
reporters = [Writer(0.05), Waiter(0.05), Blocker(0.05)]

def start():
    for reporter in reporters:
        reporter.start()

async def until(happened):
    deadline = time.monotonic() + 30
    while not all(happened(reporter) for reporter in reporters):
        assert time.monotonic() < deadline, "it has not happened"
        await asyncio.sleep(0.005)

async def three_reports():
    IOLoop.current()
    await until(lambda reporter: reporter.reports >= 3)
    for reporter in reporters:
        reporter.stop()
    await until(lambda reporter: reporter._run.done.is_set())

def run():
    if sys.argv[1:] == ["ioloop"]:
        IOLoop.current().run_sync(three_reports)
    else:
        asyncio.run(three_reports())
"""

PROGRAMS = {
    "no fork": "start(); run()",
    "os.fork": """
start()
pid = os.fork()
if pid == 0:
    run()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
os._exit(0)
""",
    "multiprocessing": """
start()
process = multiprocessing.get_context("fork").Process(target=run)
process.start()
process.join()
assert process.exitcode == 0
os._exit(0)
""",
    "fork_processes": """
start()
try:
    tornado.process.fork_processes(1)
except SystemExit:
    os._exit(0)
run()
""",
    "started in a child of a process in which a loop runs": """
async def serve():
    IOLoop.current()
    running.set()
    await asyncio.sleep(3600)
running = threading.Event()
threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
running.wait(30)
def child():
    assert len(IOLoop._ioloop_for_asyncio) == 1
    start()
    run()
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 0
""",
}


@pytest.mark.parametrize("loop", ["ioloop", "asyncio"])
@pytest.mark.parametrize("forked", PROGRAMS)
def test_a_reporter_that_was_started_before_reports_on_the_loop_that_runs_then(
    loop: str, forked: str, run_script: RunScript
) -> None:
    """Started before the loop, it makes its reports, the last one included, on the loop of its own process."""
    done = run_script(PREAMBLE + PROGRAMS[forked], loop)

    lines = done.stdout.splitlines()
    who = "parent" if forked == "no fork" else "child"
    expected = {f"plain of {who} on loop", f"coroutine of {who} on loop", f"apart of {who} on thread"}
    assert (done.returncode, done.stderr) == (0, "")
    assert set(lines) == expected
    assert min(map(lines.count, expected)) >= 4


def test_a_fork_in_a_running_loop_leaves_the_parent_reporting(run_script: RunScript) -> None:
    """A child that is forked while the loop runs ignores that loop, reports at its stop, and the parent goes on."""
    done = run_script(
        PREAMBLE
        + """
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # the test blocks it
    IOLoop.current()
    start()
    await until(lambda reporter: reporter.reports >= 2)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert all(reporter.running for reporter in reporters)
            time.sleep(0.2)
            assert loops._running() == []
            assert [reporter.reports for reporter in reporters] == [0, 0, 0]
            for reporter in reporters:
                reporter.stop()
            assert [reporter.reports for reporter in reporters] == [1, 1, 1]
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    os.write(1, b"--\\n")
    await three_reports()
asyncio.run(main())
"""
    )

    before, _, after = done.stdout.partition("--\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(line.split()[0] for line in before.splitlines() if "of child" in line) == [
        "apart",
        "coroutine",
        "plain",
    ]
    assert "of child" not in after
    assert set(after.split()) >= {"plain", "coroutine", "apart"}
