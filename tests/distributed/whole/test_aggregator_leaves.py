"""An aggregator leaves with the process that has started it, however that ends, and reports once more before that."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.distributed.patience import HASTY
from tests.distributed.whole.programs import Place
from tests.servers.processes import is_there, until

# The number of the aggregator's process is left in a file: it is to be looked for when its parent is gone.
PARENT = """
registry, served = counting()

def work():
    registry.connect()
    served.increment(1)
    noted("seen")
    served.increment(10)

aggregating = RegistryAggregator(stream(interval=HOUR), ADDRESS)
aggregating.start()
(FOLDER / "pid").write_text(str(aggregating.pid))
del aggregating
"""

SHORT = """
from tapes.distributed import lifetime

lifetime.FAREWELL_TIMEOUT = lifetime.ORPHANED = 0.3  # where no signal has gone to the workers as well
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("sys.exit()", 0),
        ("os._exit(0)", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
    ids=["exit", "_exit", "SIGTERM", "SIGKILL"],
)
def test_it_leaves_with_its_parent(place: Place, end: str, status: int) -> None:
    """Its last report has what workers told that ended before; its socket and its lock are gone with it."""
    program = place.run(f"""{PARENT}
children = [forked(work) for _ in range(3)]
note("seen")
join(*children)
{end}
""")

    place.check(program, last={"served.value": 33}, status=status)
    assert not is_there(place.pid())
    assert len(place.report().documents()) == 2, "the first report and the last"
    assert place.is_tidy()


def test_the_last_words_of_workers_are_in_its_last_report(place: Place) -> None:
    """Workers that see that their parent is gone, and exit, are waited for."""
    program = place.run(f"""{PARENT}
def work_on():
    parent = os.getppid()
    begin(registry, served)
    until(lambda: os.getppid() != parent)
    served.increment(10)

registry, served = counting(interval=HOUR)
fork_workers(work_on)
note("all.work")
idle()
""")
    place.await_note("all.work")
    program.signal(signal.SIGKILL)

    place.check(program, last={"served.value": 33}, status=-signal.SIGKILL)
    assert not is_there(place.pid())


def test_a_supervisor_that_ends_all_of_a_group_loses_nothing(place: Place) -> None:
    """SIGTERM to parent, workers and aggregator at once: it waits for the workers, which still answer for a while."""
    program = place.run(f"""{PARENT.replace("aggregating.start()", SHORT + "aggregating.start()")}
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(True))

def work_on():
    begin(registry, served)
    until(lambda: ending)
    time.sleep(1)
    served.increment(10)

children = fork_workers(work_on)
note("all.work")
until(lambda: ending)
join(*children)
""")
    place.await_note("all.work")
    os.killpg(program.pid, signal.SIGTERM)

    place.check(program, last={"served.value": 33})


def test_workers_that_go_on_hold_it_up_for_a_moment_only(place: Place) -> None:
    """An aggregator whose parent was killed leaves although its workers live; a new one is told everything by them."""
    program = place.run(
        f"""{PARENT}
def work_on():
    begin(registry, served)
    noted("end")

fork_workers(work_on)
note("all.work")
idle()
""",
        **HASTY,
    )
    place.await_note("all.work")
    pid = place.pid()
    program.signal(signal.SIGKILL)
    began = time.monotonic()
    until(lambda: not is_there(pid), "it has left")
    took = time.monotonic() - began
    second = place.supervise(place.config(report="second"))
    seen = place.report("second").await_last({"served.value": 3})
    place.note("end")
    program.ended()
    second.terminated()

    assert took < 30
    assert seen == {"served.value": 3}


def test_a_parent_that_is_killed_while_it_starts(place: Place) -> None:
    """One that catches up with what was before has not begun to report, and leaves all the same."""
    program = place.run("""
        with aggregator(state_path=FOLDER / "state"):
            pass
        from tapes.distributed import service as module

        module._CATCHING_UP = (HOUR, HOUR)
        threading.Thread(target=lambda: (until((FOLDER / "a").exists), os.kill(os.getpid(), signal.SIGKILL))).start()
        aggregator(state_path=FOLDER / "state").start()
    """)

    place.check(program, status=-signal.SIGKILL)
    assert place.is_tidy()


def test_a_thread_that_ends_is_no_parent_that_ends(place: Place) -> None:
    """Started by a thread that is over since, it goes on for as long as the process does."""
    program = place.run("""
        registry, served = counting()
        aggregating = aggregator()
        thread = threading.Thread(target=aggregating.start)
        thread.start()
        thread.join()
        registry.connect()
        served.increment(1)
        time.sleep(0.7)  # longer than it takes to notice the end of a parent
        note("later")
        noted("seen")
        served.increment(10)
        registry.close()
        print(aggregating.pid is not None)
        aggregating.stop()
        print(aggregating.pid)
    """)
    place.await_note("later")
    before = len(place.report().documents())
    until(lambda: len(place.report().documents()) > before, "it reports")
    place.note("seen")

    place.check(program, last={"served.value": 11}, said=["True", "None"])


def test_a_parent_that_is_held_still_keeps_its_aggregator(place: Place) -> None:
    """SIGSTOP to the parent is no end: workers are merged and reported on all the while."""
    program = place.run(f"""{PARENT.replace("interval=HOUR", "")}
def work_on():
    registry.connect()
    served.increment(1)
    noted("stopped")
    served.increment(10)
    note("counted")
    noted("seen")

pid = forked(work_on)
noted("seen")
join(pid)
""")
    place.expect({"served.value": 1})
    program.pause()
    place.note("stopped")

    place.expect({"served.value": 11})
    assert is_there(place.pid())
    program.resume()
    place.check(program, seen={"served.value": 11})


def test_sigterm_ends_it_alone(place: Place) -> None:
    """It waits for the workers, which that mostly ends too, reports once more, and can be started again."""
    program = place.run("""
        registry = worker_registry()
        registry.connect()
        registry.counter("served").increment(5)
        aggregating = RegistryAggregator(stream(interval=HOUR), ADDRESS)
        aggregating.start()
        await_introduction(registry)
        os.kill(aggregating.pid, signal.SIGTERM)
        time.sleep(0.5)
        print(aggregating.pid is not None)
        registry.counter("served").increment(20)
        registry.close()
        until(lambda: aggregating.pid is None, "it has ended")
        note("ended")
        noted("seen")
        aggregating.stop()
        aggregating.start()
        registry.connect()
        registry.close()
        aggregating.stop()
    """)
    place.await_note("ended")

    place.check(program, seen={"served.value": 25}, last={"served.value": 25}, said=["True"])


def test_ctrl_c_that_its_parent_survives_does_not_end_it(place: Place) -> None:
    """A program that handles SIGINT and goes on, like a prompt, keeps its aggregator, which has got it, too."""
    program = place.run("""
        registry, served = counting()
        signal.signal(signal.SIGINT, lambda *_: note("interrupted"))
        registry.connect()
        with aggregator() as aggregating:
            os.kill(aggregating.pid, signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            noted("interrupted")
            time.sleep(1)
            print(aggregating.pid is not None)
            served.increment(3)
            noted("seen")
            began = time.monotonic()
            registry.close()
        print(time.monotonic() - began < 25)  # no grace as after a signal that ends all
    """)

    place.check(program, seen={"served.value": 3}, said=["True", "True"])


def test_ignored_signals_stay_ignored(place: Place) -> None:
    """Where whoever started the program has it ignore SIGINT or SIGHUP, as nohup and shells do, they end nothing."""
    program = place.run("""
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        registry, served = counting()
        registry.connect()
        with aggregator() as aggregating:
            for number in (signal.SIGINT, signal.SIGHUP):
                os.kill(aggregating.pid, number)
            time.sleep(1)
            served.increment(3)
            registry.close()
            print(aggregating.pid is not None)
    """)

    place.check(program, last={"served.value": 3}, said=["True"])
