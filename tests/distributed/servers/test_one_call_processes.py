"""One call in processes that Python itself starts: what the aggregator counts is what they have recorded."""

from __future__ import annotations

import sys

import pytest

from tests.distributed.one_call import AT_THE_END, OneCall
from tests.distributed.whole.programs import Place, Program

MULTIPROCESSING = """
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

def work(number):
    served.increment(number)

def main(context):
    started = [context.Process(target=work, args=(1,)) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()

    closed = context.Pool(2)
    closed.map(work, [100] * 10, chunksize=1)
    closed.close()
    closed.join()

    with context.Pool(2) as terminated:
        terminated.map(work, [10_000] * 10, chunksize=1)

    with context.Pool(2, maxtasksperchild=3) as recycled:
        recycled.map(work, [1_000_000] * 10, chunksize=1)

    with ProcessPoolExecutor(2, context) as executor:
        list(executor.map(work, [100_000_000] * 10))

if __name__ == "__main__":
    main(multiprocessing.get_context(sys.argv[1]))
"""
EACH_WAY = 10_10_10_10_04
"""What the processes of MULTIPROCESSING record together: each way has two digits."""

FORKS = """
import os
import sys

def forked(work, end):
    pid = os.fork()
    if pid == 0:
        work()
        end()
    os.waitpid(pid, 0)

def exit_at_once():
    configuration.stop()
    os._exit(0)

def show_and_exit_at_once():
    configuration.get_stats()
    os._exit(0)

def fork_and_work():
    served.increment(1)
    forked(lambda: served.increment(100), sys.exit)

served.increment(1000)
forked(lambda: served.increment(1), sys.exit)
forked(lambda: served.increment(2), exit_at_once)
forked(lambda: served.increment(3), show_and_exit_at_once)
forked(fork_and_work, sys.exit)
"""

OTHER_PROGRAMS = """
import os
import subprocess
import sys

served.increment(1)
if len(sys.argv) == 1:
    again = [sys.executable, __file__, "again"]
    subprocess.run(again, cwd=".", check=True)
    os.spawnv(os.P_WAIT, again[0], again)
"""


def ran(one: OneCall, code: str, *arguments: str) -> Program:
    """Run an application in its folder to its end."""
    one.application(code)
    quiet = ["-W", "ignore:This process:DeprecationWarning"]  # of forks with threads, which is what is tested
    program = one.place.command([sys.executable, *quiet, "application.py", *arguments], {}, one.folder)
    assert (program.ended(), program.said()) == (0, "")
    return program


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_are_counted(place: Place, method: str) -> None:
    """Processes, pools that are closed, terminated and recycled, and executors; by each start method."""
    one = OneCall(place, interval=AT_THE_END)

    one.check(EACH_WAY, ran(one, MULTIPROCESSING, method))


@pytest.mark.parametrize(("code", "served"), [(FORKS, 1107), (OTHER_PROGRAMS, 3)], ids=["forks", "other-programs"])
def test_processes_that_a_program_starts_by_itself_are_counted(place: Place, code: str, served: int) -> None:
    """Forked ones, their own forks, and such as run a program again.

    Those that end by `os._exit` have stopped the configuration before, or have shown the statistics of all.
    """
    one = OneCall(place, interval=AT_THE_END)

    one.check(served, ran(one, code))
