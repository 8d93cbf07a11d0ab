"""Reporters that are started before a fork: they report on the loop of the child, whichever way it comes about."""

from __future__ import annotations

import pytest

from tests.conftest import RunScript

PREAMBLE = """
import asyncio, multiprocessing, os, signal, sys, threading, time
import tornado.process
from tornado.ioloop import IOLoop
from tapes import Registry
from tapes.reporting.tornado import TornadoScheduledReporter
from tapes.reporting.tornado.stream import TornadoStreamReporter

class Writer(TornadoScheduledReporter):
    def report(self):
        where = "loop" if threading.current_thread() is threading.main_thread() else "thread"
        os.write(1, f"{'parent' if os.getpid() == parent else 'child'} {where}\\n".encode())

class Waiter(Writer):
    async def report(self):
        await asyncio.sleep(0)
        super().report()

class Blocker(TornadoStreamReporter):
    def report(self):
        os.write(1, ("parent" if os.getpid() == parent else "child").encode() + b" thread\\n")

parent = os.getpid()
KINDS = {"plain": Writer, "coroutine": Waiter, "apart": Blocker}
reporter = KINDS[sys.argv[1]](0.05)

async def three_reports():
    deadline = time.monotonic() + 30
    while reporter.reports < 3:
        assert time.monotonic() < deadline, "it has not reported"
        await asyncio.sleep(0.005)
    reporter.stop()
    while not reporter._run.done.is_set():
        assert time.monotonic() < deadline, "it has not ended"
        await asyncio.sleep(0.005)

def run_ioloop():
    IOLoop.current().run_sync(three_reports)

async def on_tornado():
    IOLoop.current()
    await three_reports()

def run_asyncio():
    asyncio.run(on_tornado())

run = {"ioloop": run_ioloop, "asyncio": run_asyncio}[sys.argv[2]]
"""

KINDS = ["plain", "coroutine", "apart"]
WAYS = ["ioloop", "asyncio"]
SCRIPTS = {
    "no fork": """
reporter.start()
run()
""",
    "os.fork": """
reporter.start()
pid = os.fork()
if pid == 0:
    run()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
os._exit(0)
""",
    "multiprocessing": """
reporter.start()
process = multiprocessing.get_context("fork").Process(target=run)
process.start()
process.join()
assert process.exitcode == 0
os._exit(0)
""",
    "fork_processes": """
reporter.start()
try:
    tornado.process.fork_processes(1)
except SystemExit:
    os._exit(0)
run()
""",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("forked", SCRIPTS)
def test_a_reporter_that_was_started_before_reports_on_the_loop_that_runs_then(
    kind: str, way: str, forked: str, run_script: RunScript
) -> None:
    """Started before the fork and before the loop, it makes its reports, the last one included, on the child's loop."""
    done = run_script(PREAMBLE + SCRIPTS[forked], kind, way)

    lines = done.stdout.splitlines()
    who = "parent" if forked == "no fork" else "child"
    where = "thread" if kind == "apart" else "loop"
    assert (done.returncode, done.stderr) == (0, "")
    assert set(lines) == {f"{who} {where}"}
    assert len(lines) >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_in_a_running_loop_leaves_the_parent_reporting(kind: str, run_script: RunScript) -> None:
    """A child that is forked while the loop runs ignores that loop, reports at its stop, and the parent goes on."""
    done = run_script(
        PREAMBLE
        + """
from tapes.reporting.tornado import loops
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # the test blocks it
    IOLoop.current()
    reporter.start()
    while reporter.reports < 2:
        await asyncio.sleep(0.005)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert reporter.running
            time.sleep(0.2)
            assert loops._running() == []
            assert reporter.reports == 0
            reporter.stop()
            assert reporter.reports == 1, reporter.reports
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    os.write(1, b"--\\n")
    await three_reports()
asyncio.run(main())
""",
        kind,
        "asyncio",
    )

    before, _, after = done.stdout.partition("--\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in before.splitlines()].count("child") == 1
    assert {line.split()[0] for line in after.splitlines()} == {"parent"}


def test_a_child_that_starts_a_reporter_ignores_the_loops_of_its_parent(run_script: RunScript) -> None:
    """A reporter that is started in the child of a process in which a loop runs waits for a loop of the child."""
    done = run_script(
        PREAMBLE
        + """
loop = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
async def serve():
    IOLoop.current()
    running.set()
    await asyncio.sleep(3600)
running = threading.Event()
loop.start()
running.wait(30)
def child():
    assert len(IOLoop._ioloop_for_asyncio) == 1
    reporter.start()
    run()
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
assert process.exitcode == 0
""",
        "plain",
        "asyncio",
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.splitlines()) == {"child loop"}
