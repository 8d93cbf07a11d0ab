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
    import tapes.process.shutdown, tapes.process.termination
    tapes.process.shutdown.EXIT_TIMEOUT = tapes.process.termination.EXIT_TIMEOUT = seconds

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


TERMINATED = -signal.SIGTERM


PROGRAMS = {
    "by default": """
first(configure())
orders.increment(7)
terminate()
time.sleep(60)
""",
    "with sigterm = false": """
first(configure(sigterm=False))
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
orders.increment(7)
terminate()
time.sleep(60)
""",
    "with a handler that was set before": """
signal.signal(signal.SIGTERM, lambda *_: print("mine", file=sys.stderr))
first(configure())
terminate()
""",
    "with a handler that is set later": """
first(configure())
signal.signal(signal.SIGTERM, lambda *_: print("mine", file=sys.stderr))
terminate()
""",
    "where it is ignored": """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
first(configure())
terminate()
""",
    "in another thread": """
thread = threading.Thread(target=lambda: first(configure()))
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
""",
    "in a storm of signals": """
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
""",
    "with a lock held": """
held = threading.Lock()

class Locking(ScheduledReporter):
    def report(self):
        with held:
            print("reported", file=sys.stderr)

first(configure())
reporter = Locking(3600)
reporter.start()
while not reporter.reports:
    time.sleep(0.005)
with held:
    terminate()
    time.sleep(0.1)
time.sleep(60)
""",
    "in a forked child": """
first(configure())
pid = os.fork()
if not pid:
    orders.increment(5)
    terminate()
    time.sleep(60)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr)
orders.increment(2)
""",
    "while it forks": """
class Slow(ScheduledReporter):
    def report(self):
        while orders_said and not forked:
            time.sleep(0.005)

orders_said, forked = [], []
slow = Slow(3600)
slow.start()
first(configure())
orders_said.append(7)
orders.increment(7)
terminate()
pid = os.fork()
if not pid:
    orders.increment(5)
    time.sleep(60)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr)
forked.append(pid)
time.sleep(60)
""",
    "while a reporter forks": """
class Forking(ScheduledReporter):
    def report(self):
        if orders_said:
            pid = os.fork()
            if not pid:
                time.sleep(0.1)
                os._exit(3)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr)

orders_said = []
configuration = configure()
Forking(3600).start()
first(configuration)
orders_said.append(7)
orders.increment(7)
terminate()
time.sleep(60)
""",
    "with a handler of asyncio's": """
import asyncio
first(configure())

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    orders.increment(7)
    terminate()
    await stopping.wait()

asyncio.run(main())
""",
    "raised again by a server": """
signal.signal(signal.SIGTERM, signal.SIG_DFL)
served = signal.signal(signal.SIGTERM, lambda *_: print("mine", file=sys.stderr))
first(configure())
terminate()
orders.increment(7)
signal.signal(signal.SIGTERM, served)
signal.raise_signal(signal.SIGTERM)
print("not reached", file=sys.stderr)
""",
    "raised again by a server that was configured before": """
first(configure())
served = signal.signal(signal.SIGTERM, lambda *_: print("mine", file=sys.stderr))
terminate()
orders.increment(7)
signal.signal(signal.SIGTERM, served)
signal.raise_signal(signal.SIGTERM)
print("not reached", file=sys.stderr)
""",
    "raised again after Ctrl-C": """
first(configure())
signal.signal(signal.SIGINT, signal.SIG_DFL)
orders.increment(7)
signal.raise_signal(signal.SIGINT)
""",
    "sent again by a server": """
first(configure())
orders.increment(7)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
terminate()
""",
    "raised again in a forked child": """
first(configure())
pid = os.fork()
if not pid:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    orders.increment(5)
    signal.raise_signal(signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=sys.stderr)
orders.increment(2)
""",
    "raised again with sigterm = false": """
first(configure(sigterm=False))
orders.increment(7)
signal.raise_signal(signal.SIGTERM)
""",
    "sent to a thread that waits for it": """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
configuration = configure()
first(configuration)
orders.increment(2)
os.kill(os.getpid(), signal.SIGHUP)
assert signal.sigwait({signal.SIGHUP}) == signal.SIGHUP
first(configuration)
orders.increment(5)
""",
    "raised while it is blocked": """
configuration = configure()
first(configuration)
orders.increment(2)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
signal.raise_signal(signal.SIGTERM)
first(configuration)
orders.increment(5)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
time.sleep(60)
""",
    "sent where faulthandler has registered it": """
import faulthandler
signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # shells let what they run in the background ignore it
configuration = configure()
first(configuration)
orders.increment(2)
faulthandler.register(signal.SIGQUIT, open(os.devnull, "w"))
os.kill(os.getpid(), signal.SIGQUIT)
first(configuration)
orders.increment(5)
""",
    "raised by another thread": """
first(configure())
orders.increment(7)
threading.Thread(target=signal.raise_signal, args=(signal.SIGTERM,)).start()
time.sleep(60)
""",
    "with a coroutine": """
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
""",
}


@pytest.mark.parametrize(
    ("how", "returncode", "errors", "reports"),
    [
        ("by default", TERMINATED, "", [0, 7]),
        ("with sigterm = false", TERMINATED, "", [0]),
        ("with a handler that was set before", 0, "mine\n", [0, 0]),
        ("with a handler that is set later", 0, "mine\n", [0, 0]),
        ("where it is ignored", 0, "", [0, 0]),
        ("in another thread", 0, "", [0, 0]),
        ("in a storm of signals", TERMINATED, "slow\n", [0, 7]),
        ("with a lock held", TERMINATED, "reported\nreported\n", [0, 0]),
        ("in a forked child", 0, f"{TERMINATED}\n", [0, 5, 2]),
        ("while it forks", TERMINATED, f"{TERMINATED}\n", [0, 7]),
        ("while a reporter forks", TERMINATED, "3\n", [0, 7]),
        ("with a handler of asyncio's", 0, "", [0, 7]),
        ("raised again by a server", TERMINATED, "mine\n", [0, 7]),
        ("raised again by a server that was configured before", TERMINATED, "mine\n", [0, 7]),
        ("raised again after Ctrl-C", -signal.SIGINT, "", [0, 7]),
        ("sent again by a server", TERMINATED, "", [0, 7]),
        ("raised again in a forked child", 0, f"{TERMINATED}\n", [0, 5, 2]),
        ("raised again with sigterm = false", TERMINATED, "", [0]),
        ("sent to a thread that waits for it", 0, "", [0, 2, 2, 7]),
        ("raised while it is blocked", TERMINATED, "", [0, 2, 2, 7]),
        ("sent where faulthandler has registered it", 0, "", [0, 2, 2, 7]),
        ("raised by another thread", TERMINATED, "", [0, 7]),
        ("with a coroutine", TERMINATED, "reported 0\nreported 7\n", [0, 7]),
    ],
)
def test_what_comes_of_a_process(
    run_script: RunScript, how: str, returncode: int, errors: str, reports: List[int]
) -> None:
    """Where SIGTERM has its default action, a process ends by it after a last report; else it is left alone."""
    done = run_script(PREAMBLE + PROGRAMS[how])

    assert (done.returncode, done.stderr, orders(done)) == (returncode, errors, reports)


def test_signals_may_be_sent_by_processes_of_a_pool(run_script: RunScript) -> None:
    """The functions that send them are pickled by their names, as they were."""
    done = run_script(f"""{PREAMBLE}
import pickle
first(configure())
for function in (os.kill, signal.raise_signal):
    assert pickle.loads(pickle.dumps(function)) is function
""")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_report_that_hangs_does_not_hold_up_the_end(run_script: RunScript) -> None:
    """The process ends when the deadline has passed, with the reports that could be made."""
    done = run_script(f"""{PREAMBLE}
exit_within(2)

class Hanging(ScheduledReporter):
    def report(self):
        time.sleep(600)

Hanging(3600).start()
first(configure())
orders.increment(7)
terminate()
time.sleep(60)
""")

    assert (done.returncode, orders(done)) == (TERMINATED, [0, 7])
    assert "did not stop within" in done.stderr


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
    assert done.returncode == TERMINATED
    assert last["orders"]["value"] - last["latency"]["count"] in (0, 1)
    assert last["orders"]["value"] > 1


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

    assert (done.returncode, done.stderr) == (TERMINATED, "")
    assert orders(done) == [0, 7]
