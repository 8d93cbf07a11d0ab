"""What reporters do when the interpreter, or a child process, comes to its end."""

from __future__ import annotations

from typing import List, Optional

import pytest

from tests.conftest import RunScript
from tests.reporting.lines import statistics

PREAMBLE = """
import tapes, sys, os, time, threading, multiprocessing
import tapes.process.shutdown
from tapes.reporting import ScheduledReporter
from tapes.reporting.stream import ThreadedStreamReporter

tapes.process.shutdown.EXIT_TIMEOUT = 60  # on a machine that is busy

def first(reporter):
    deadline = time.monotonic() + 30
    while not reporter.reports and time.monotonic() < deadline:
        time.sleep(0.005)
"""


PROGRAMS = {
    "without a stop": """
reporter = ThreadedStreamReporter(3600)
reporter.start()
first(reporter)
tapes.counter("orders").increment(7)
""",
    "counting at the exit": """
import atexit
reporter = ThreadedStreamReporter(3600)
reporter.start()
first(reporter)
atexit.register(tapes.counter("orders").increment)
""",
    "in children of multiprocessing": """
def child():
    tapes.counter("orders").increment(1)
    process = multiprocessing.get_context("fork").Process(target=grandchild)
    process.start()
    process.join()

def grandchild():
    tapes.counter("orders").increment(10)

reporter = ThreadedStreamReporter(3600)
reporter.start()
first(reporter)
tapes.counter("orders").increment(2)
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
""",
    "started in such a child": """
def work():
    reporter = ThreadedStreamReporter(3600)
    reporter.start()
    first(reporter)
    tapes.counter("orders").increment(5)

process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
""",
}


@pytest.mark.parametrize(
    ("how", "values"),
    [
        ("without a stop", [None, 7]),
        ("counting at the exit", [None, 1]),
        ("in children of multiprocessing", [None, 10, 1, 2]),
        ("started in such a child", [None, 5]),
    ],
)
def test_what_is_still_running_reports_once_more(run_script: RunScript, how: str, values: List[Optional[int]]) -> None:
    """Where a process ends without a stop its last numbers are reported, whole intervals early."""
    done = run_script(PREAMBLE + PROGRAMS[how])

    assert (done.returncode, done.stderr) == (0, "")
    assert [tree.get("orders", {}).get("value") for tree in statistics(done.stdout)] == values


def test_reporters_that_hang_hold_up_the_exit_together_and_not_one_by_one(run_script: RunScript) -> None:
    """The exit takes one deadline however many reporters hang, each is logged, and nothing aborts."""
    done = run_script(f"""{PREAMBLE}
tapes.process.shutdown.EXIT_TIMEOUT = 0.3

class Hanging(ScheduledReporter):
    def report(self):
        time.sleep(600)

for _ in range(20):
    Hanging(3600).start()
""")

    assert done.returncode == 0
    assert done.stderr.count("Hanging(interval=3600) did not stop within") == 20


def test_a_reporter_that_hangs_takes_no_last_report_from_another(run_script: RunScript) -> None:
    """Although the first reporter uses up the whole deadline, the second one makes its last report."""
    done = run_script(f"""{PREAMBLE}
tapes.process.shutdown.EXIT_TIMEOUT = 2

class Hanging(ScheduledReporter):
    def report(self):
        time.sleep(600)

Hanging(3600).start()
reporter = ThreadedStreamReporter(3600)
reporter.start()
first(reporter)
""")

    assert (done.returncode, statistics(done.stdout)) == (0, [{}, {}])


def test_a_reporter_that_cannot_be_stopped_takes_no_last_report_from_another(run_script: RunScript) -> None:
    """What its stop() raises is logged, and the next reporter is waited for, however long its report takes."""
    done = run_script(f"""{PREAMBLE}
class Unstoppable(ScheduledReporter):
    def report(self):
        pass

    def stop(self, timeout=5.0):
        raise ValueError("no stop")

class Slow(ThreadedStreamReporter):
    def report(self):
        if self.reports:
            time.sleep(0.3)
        super().report()

Unstoppable(3600).start()
reporter = Slow(3600)
reporter.start()
first(reporter)
""")

    assert (done.returncode, statistics(done.stdout)) == (0, [{}, {}])
    assert "Unstoppable(interval=3600) could not be stopped." in done.stderr
    assert "ValueError: no stop" in done.stderr


def test_a_reporter_that_hangs_on_standard_output_does_not_abort_the_exit(run_script: RunScript) -> None:
    """A stalled reader of standard output costs the last report and not the exit status."""
    done = run_script(f"""{PREAMBLE}
tapes.process.shutdown.EXIT_TIMEOUT = 0.3
reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    while True:
        os.write(writing, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(writing, True)
os.dup2(writing, 1)
reporter = ThreadedStreamReporter(3600)
reporter.start()
time.sleep(0.2)
""")

    assert done.returncode == 0
    assert "did not stop within" in done.stderr


@pytest.mark.parametrize("began", ["before the fork", "after the fork"])
def test_a_child_that_a_thread_has_forked_ends_with_that_thread(run_script: RunScript, began: str) -> None:
    """The threads of reporters do not keep such a child alive; it reports once more when its other threads are done."""
    done = run_script(f"""{PREAMBLE}
import _thread
ended = threading.Semaphore(0)

def work():
    pid = os.fork()
    if pid:
        print(os.waitpid(pid, 0)[1], file=sys.stderr)
        ended.release()
        return
    if {began!r} == "after the fork":
        reporter.start()
        first(reporter)
    threading.Thread(target=last).start()
    sys.exit()

def last():
    time.sleep(0.2)
    tapes.counter("orders").increment(5)

reporter = ThreadedStreamReporter(3600)
if {began!r} == "before the fork":
    reporter.start()
    first(reporter)
threading.Thread(target=work).start()
assert ended.acquire(timeout=30)
_thread.start_new_thread(work, ())
assert ended.acquire(timeout=30)
reporter.stop()
""")

    assert (done.returncode, done.stderr) == (0, "0\n0\n")
    assert statistics(done.stdout).count({"orders": {"value": 5}}) == 2


def test_a_child_that_a_thread_has_forked_ends_although_a_report_hangs(run_script: RunScript) -> None:
    """A reporter that hangs does not keep such a child alive for more than the deadline."""
    done = run_script(f"""{PREAMBLE}
tapes.process.shutdown.EXIT_TIMEOUT = 0.3

class Hanging(ScheduledReporter):
    def report(self):
        if os.getpid() != parent:
            time.sleep(600)

def work():
    pid = os.fork()
    if pid:
        print(os.waitpid(pid, 0)[1], flush=True)

parent = os.getpid()
Hanging(0.01).start()
thread = threading.Thread(target=work)
thread.start()
thread.join(30)
os._exit(thread.is_alive())
""")

    assert (done.returncode, done.stdout) == (0, "0\n")


def test_a_program_that_does_not_use_multiprocessing_does_not_get_it(run_script: RunScript) -> None:
    """Starting and stopping reporters does not import multiprocessing."""
    done = run_script("""
import sys
from tapes.reporting.stream import ThreadedStreamReporter

reporter = ThreadedStreamReporter(3600, sys.stderr)
reporter.start()
reporter.stop()
print("multiprocessing" in sys.modules)
""")

    assert done.stdout == "False\n"
