"""What SIGTERM does to processes that have asked for their last reports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import List

import pytest

from tests.conftest import PATIENCE, RunScript
from tests.reporting.lines import statistics

PREAMBLE = """
import os, signal, sys, threading, time, tapes
from tapes.reporting import ScheduledReporter

orders = tapes.counter("orders")

def exit_within(seconds):
    import tapes.process.ending, tapes.process.termination
    tapes.process.ending.EXIT_TIMEOUT = tapes.process.termination.EXIT_TIMEOUT = seconds

exit_within(60)  # on a machine that is busy

def configure(**keys):
    return tapes.configure({"reporters": {"stream": {"interval": 3600}}, **keys})

def first(configuration):
    deadline = time.monotonic() + 30
    while not configuration.reporters["stream"].reports and time.monotonic() < deadline:
        time.sleep(0.005)

def terminate(times=1):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGTERM)
"""


def orders(done: subprocess.CompletedProcess[str]) -> List[int]:
    """Return what the reports say, one after the other."""
    return [tree["orders"]["value"] for tree in statistics(done.stdout)]


def test_the_last_report_is_made_before_the_process_ends(run_script: RunScript) -> None:
    """Where SIGTERM has its default action the process ends by it, as it would have, after a last report."""
    done = run_script(f"""{PREAMBLE}
first(configure())
orders.increment(7)
terminate()
time.sleep(60)
""")

    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert orders(done) == [0, 7]


def test_it_can_be_left_alone(run_script: RunScript) -> None:
    """With sigterm = false the process ends at once, and what came after the last report is lost."""
    done = run_script(f"""{PREAMBLE}
first(configure(sigterm=False))
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
orders.increment(7)
terminate()
time.sleep(60)
""")

    assert (done.returncode, orders(done)) == (-signal.SIGTERM, [0])


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_program_is_the_one_that_counts(run_script: RunScript, when: str) -> None:
    """One that was set before is left, and one that is set later takes the place."""
    done = run_script(f"""{PREAMBLE}
if {when!r} == "before":
    signal.signal(signal.SIGTERM, lambda *_: print("mine", file=sys.stderr))
first(configure())
if {when!r} == "after":
    signal.signal(signal.SIGTERM, lambda *_: print("mine", file=sys.stderr))
terminate()
""")

    assert (done.returncode, done.stderr) == (0, "mine\n")


def test_a_signal_that_is_ignored_stays_ignored(run_script: RunScript) -> None:
    """A process that ignores SIGTERM goes on."""
    done = run_script(f"""{PREAMBLE}
signal.signal(signal.SIGTERM, signal.SIG_IGN)
first(configure())
terminate()
""")

    assert (done.returncode, orders(done)) == (0, [0, 0])


def test_in_another_thread_nothing_is_handled(run_script: RunScript) -> None:
    """No handler can be set from there, and configure() works all the same."""
    done = run_script(f"""{PREAMBLE}
thread = threading.Thread(target=configure)
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
""")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_storm_of_signals_takes_no_report_away(run_script: RunScript) -> None:
    """Signals that come while the last report is made change nothing."""
    done = run_script(f"""{PREAMBLE}
class Slow(ScheduledReporter):
    def report(self):
        if orders_said:
            terminate(50)
            time.sleep(0.1)
            terminate(50)
            print("slow", file=sys.stderr)

orders_said = []
configuration = configure()
slow = Slow(3600)
slow.start()
first(configuration)
orders_said.append(7)
orders.increment(7)
terminate(50)
time.sleep(60)
""")

    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "slow\n")
    assert orders(done) == [0, 7]


def test_a_report_that_hangs_does_not_hold_up_the_end(run_script: RunScript) -> None:
    """The process ends when the deadline has passed, with the reports that could be made."""
    done = run_script(f"""{PREAMBLE}
exit_within(5)

class Hanging(ScheduledReporter):
    def report(self):
        time.sleep(600)

Hanging(3600).start()
first(configure())
orders.increment(7)
terminate()
time.sleep(60)
""")

    assert (done.returncode, orders(done)) == (-signal.SIGTERM, [0, 7])
    assert "has not stopped within" in done.stderr


def test_a_signal_in_the_middle_of_recording_and_reading_loses_nothing(run_script: RunScript) -> None:
    """Whatever the main thread is at, the last report holds all that was recorded before."""
    done = run_script(f"""{PREAMBLE}
configuration = configure()
first(configuration)
threading.Timer(0.2, terminate).start()
latency = tapes.timer("latency")
while True:
    orders.increment()
    latency.update(0.5)
    tapes.get_stats()
""")

    last = statistics(done.stdout)[-1]
    assert done.returncode == -signal.SIGTERM
    assert last["orders"]["value"] - last["latency"]["count"] in (0, 1)
    assert last["orders"]["value"] > 1


def test_what_the_main_thread_holds_does_not_hold_up_the_end(run_script: RunScript) -> None:
    """A report may wait for a lock that the main thread had when the signal came."""
    done = run_script(f"""{PREAMBLE}
held = threading.Lock()

class Locking(ScheduledReporter):
    def report(self):
        with held:
            print("reported", file=sys.stderr)

configure()
reporter = Locking(3600)
reporter.start()
while not reporter.reports:
    time.sleep(0.005)
with held:
    terminate()
    time.sleep(0.1)
time.sleep(60)
""")

    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "reported\nreported\n")


def test_a_forked_child_makes_its_own_last_report(run_script: RunScript) -> None:
    """A child inherits the handler, reports what it has counted itself, and the parent goes on."""
    done = run_script(f"""{PREAMBLE}
first(configure())
pid = os.fork()
if not pid:
    orders.increment(5)
    terminate()
    time.sleep(60)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr)
orders.increment(2)
""")

    assert (done.returncode, done.stderr) == (0, f"{-signal.SIGTERM}\n")
    assert orders(done) == [0, 5, 2]


def test_a_loop_that_handles_it_later_is_left_to_do_so(run_script: RunScript) -> None:
    """asyncio's add_signal_handler() takes the place, and the program ends in its own way."""
    done = run_script(f"""{PREAMBLE}
import asyncio
first(configure())

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    orders.increment(7)
    terminate()
    await stopping.wait()

asyncio.run(main())
""")

    assert (done.returncode, orders(done)) == (0, [0, 7])


def test_a_coroutine_makes_its_last_report_on_the_loop(run_script: RunScript) -> None:
    """A loop in the main thread goes on until the coroutine that reports has ended, and the process ends then."""
    done = run_script(f"""{PREAMBLE}
import asyncio
from tornado.ioloop import IOLoop
from tapes.reporting.tornado import TornadoScheduledReporter

class Waiting(TornadoScheduledReporter):
    async def report(self):
        await asyncio.sleep(0.05)
        print("reported", tapes.get_stats().orders.value, file=sys.stderr)

async def main():
    IOLoop.current()
    reporter = Waiting(3600)
    reporter.start()
    while not reporter.reports:
        await asyncio.sleep(0.01)
    orders.increment(7)
    terminate()
    await asyncio.sleep(60)

first(configure())
asyncio.run(main())
""")

    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "reported 0\nreported 7\n")


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, for a process 1"
)
def test_process_1_of_a_container_goes_on(tmp_path: Path) -> None:
    """There SIGTERM does nothing by default: it reports, and goes on to report."""
    import sys

    script = tmp_path / "script.py"
    script.write_text(f"""{PREAMBLE}
assert os.getpid() == 1
configuration = configure()
first(configuration)
stream = configuration.reporters["stream"]
for number in range(2):
    orders.increment()
    enough = stream.reports + 2
    terminate()
    deadline = time.monotonic() + 30
    while stream.reports < enough and time.monotonic() < deadline:
        time.sleep(0.005)
    assert stream.running
""")

    done = subprocess.run(
        ["unshare", "--pid", "--fork", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert orders(done)[-1] == 2
    assert {0, 1, 2} == set(orders(done))


def test_a_hub_of_greenlets_may_be_what_the_signal_interrupts(run_script: RunScript) -> None:
    """With gevent the handler is mostly called in its hub, which may not wait: nothing is raised, nothing is lost."""
    pytest.importorskip("gevent")
    done = run_script(f"""
from gevent import get_hub, monkey
monkey.patch_all()
{PREAMBLE}
first(configure())
orders.increment(7)
get_hub().loop.run_callback(terminate)
time.sleep(60)
""")

    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert orders(done) == [0, 7]
