"""Pools of `multiprocessing`, which end their processes by a signal."""

from __future__ import annotations

import textwrap

import pytest

from tests.distributed.whole.programs import Place

POOLED = """
registry, served = counting(interval=3600)

def connect():
    registry.connect()

def work(number):
    served.increment()

def serve(method):
    with multiprocessing.get_context(method).Pool(3, initializer=connect) as pool:
        for _ in range(20):
            pool.map(work, range(10), chunksize=1)

if __name__ == "__main__":
    with aggregator():
        serve(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_the_processes_of_a_pool_count_is_counted(place: Place, method: str) -> None:
    """Each makes a last report, although the pool is terminated at the end of its block."""
    program = place.run(POOLED, method)

    place.check(program, last={"served.value": 200}, said=None)


EXECUTOR = """
with ProcessPoolExecutor(3, multiprocessing.get_context("fork"), initializer=registry.connect) as executor:
    list(executor.map(work, range(20)))
"""


@pytest.mark.parametrize(
    ("way", "expected"), [(EXECUTOR, 20), ('processes("fork", fail, 1, 2, 3)', 3)], ids=["executor", "fails"]
)
def test_what_other_processes_count_is_counted(place: Place, way: str, expected: int) -> None:
    """Those of an executor, and those that an exception ends, make a last report too."""
    program = place.run(f"""
from concurrent.futures import ProcessPoolExecutor

registry, served = counting(interval=3600)

def work(number):
    served.increment()

def fail(number):
    registry.connect()
    served.increment()
    raise RuntimeError

with aggregator():
{textwrap.indent(way, "    ")}
""")

    place.check(program, last={"served.value": expected}, said=None)


def test_a_pool_that_was_connected_before_its_fork_makes_last_reports(place: Place) -> None:
    """The processes publish by themselves, and tell their last when the pool terminates them."""
    program = place.run(
        """
        registry, served = counting(interval=3600)

        def work(number):
            served.increment()

        with aggregator():
            registry.connect()
            with multiprocessing.get_context("fork").Pool(3) as pool:
                pool.map(work, range(50))
            registry.close()
        """
    )

    place.check(program, last={"served.value": 50}, said=None)


def test_a_process_that_is_stuck_outside_of_the_interpreter_can_be_terminated(place: Place) -> None:
    """One whose main thread never comes back to handle a signal is ended all the same, after the deadline."""
    program = place.run(
        """
        import ctypes
        import tapes.process.shutdown, tapes.process.termination
        tapes.process.shutdown.EXIT_TIMEOUT = tapes.process.termination.EXIT_TIMEOUT = 1

        registry, served = counting(interval=3600)
        libc = ctypes.CDLL(None)

        def stuck():
            registry.connect()
            served.increment()
            threading.Timer(0.5, ready.set).start()
            libc.pthread_mutex_lock(mutex)
            libc.pthread_mutex_lock(mutex)

        with aggregator():
            mutex = ctypes.create_string_buffer(256)
            context = multiprocessing.get_context("fork")
            ready = context.Event()
            process = context.Process(target=stuck)
            process.start()
            ready.wait()
            process.terminate()
            process.join()
            print(process.exitcode in (-9, -15))  # -15 if it was faster than this machine
        """
    )

    place.check(program, last={"served.value": 1}, said=["True"])
