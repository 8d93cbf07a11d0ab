"""One call where aggregators and workers are killed, held still, or begin all at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.distributed.patience import HASTY
from tests.distributed.whole.one_call import (
    CALL,
    SPOILED,
    STARTS,
    aggregators,
    await_end,
    configured,
    spoil,
    starts,
)
from tests.distributed.whole.programs import Place
from tests.servers.processes import until

STAGES = {
    "before it has the address": "from tapes.distributed import claims; die_before(claims.FileLock, '__init__')",
    "before it says that it works": "from tapes.distributed import service; die_before(service.Service, '_begin')",
    "while it writes its first state": "from tapes.distributed import keeper; die_before(os, 'replace')",
    "while it takes in a last report": """
        from tapes.distributed import handover
        left = handover.left
        def dying(socket):
            for frames in left(socket):
                yield frames
                die()
        handover.left = dying
    """,
}
"""What is done to an aggregator so that it dies there."""


def test_thirty_processes_at_once_start_one_aggregator(place: Place) -> None:
    """Time and again. Each of them counts, however soon it ends."""
    rounds = 3
    meetings = []
    for number in range(rounds):
        meetings.append(configured(place, name=f"{number}.toml"))
        path = place.folder / f"{number}.toml"
        path.write_text(path.read_text().replace('"report"', f'"report{number}"'))
    program = place.run(
        STARTS
        + f"""
import tapes
from tapes.distributed import member  # as one call would import it

def work(number, gate):
    os.read(gate, 1)
    tapes.configure(FOLDER / f"{{number}}.toml")
    tapes.counter("served").increment()

for number in range({rounds}):
    gate, opener = os.pipe()
    def wait():
        os.close(opener)
        work(number, gate)
    pids = [forked(wait) for _ in range(30)]
    os.close(opener)
    join(*pids)
"""
    )

    assert program.ended() == 0
    for number in range(rounds):
        assert place.report(f"report{number}").await_last({"served.value": 30}) == {"served.value": 30}
    assert starts(place) == rounds
    for at in meetings:
        await_end(at)


def test_an_aggregator_killed_again_and_again_under_load_loses_nothing(place: Place) -> None:
    """While workers come and go: its state passes on, and their last reports are found."""
    at = configured(place)
    program = place.run(
        f"""
import random
import tapes
from tapes.distributed.claims import named_holder

def work(number):
    tapes.configure(FOLDER / "tapes.toml")
    served = tapes.counter("served")
    took = tapes.timer("took")
    for _ in range(number):
        served.increment()
        took.update(0.01)
        time.sleep(0.001)

killed, running, total = [], {{}}, 0
while len(killed) < 6:
    while len(running) < 4:
        number = random.randrange(1, 600)
        running[forked(lambda: work(number))] = number
    pid, status = os.waitpid(-1, os.WNOHANG)
    if pid:
        assert not status
        total += running.pop(pid)
        holder = named_holder({at.lock!r})
        if holder and holder not in killed:
            os.kill(holder[0], signal.SIGKILL)
            killed.append(holder)
    time.sleep(0.005)
for pid, number in running.items():
    join(pid)
    total += number
print(total)
"""
    )

    assert program.ended() == 0
    figures = {"served.value": int(program.said()), "took.count": int(program.said())}
    assert place.report().await_last(figures) == figures
    history = [value for value in place.report().history("served.value") if value]
    assert history == sorted(history)
    await_end(at)


@pytest.mark.parametrize("stage", STAGES)
def test_an_aggregator_may_be_killed_at_any_moment(place: Place, stage: str) -> None:
    """The next one has what it had, once: a last report from before, and what a worker publishes."""
    configured(place, 'start = "never"')
    place.run(CALL + "served.increment(7)").ended()
    at = configured(place)
    spoil(place, STAGES[stage])
    worker = place.run(SPOILED + CALL + "served.increment(10); idle()")
    place.await_note("died")

    assert place.report().await_last({"served.value": 17}) == {"served.value": 17}
    worker.terminated()
    assert place.report().await_last({"served.value": 17}) == {"served.value": 17}
    await_end(at)


def test_the_worker_that_starts_the_next_aggregator_is_not_waited_for_in_vain(place: Place) -> None:
    """An aggregator that waits for all workers before it reports answers them meanwhile: that one, too."""
    at = configured(place, "lease = 60")
    spoil(place, "from tapes.distributed import service; service._CATCHING_UP = service._TAKING_OVER = (1.5, 600.0)")
    worker = place.run(
        SPOILED
        + CALL
        + """
from tapes.errors import ReporterError
served.increment(7)
while not (FOLDER / "killed").exists():
    time.sleep(0.01)
for attempt in range(2):  # each takes five seconds at most
    try:
        print(configuration.get_stats().served.value)
        break
    except ReporterError as error:
        print(error)
"""
    )
    place.report().await_last({"served.value": 7})
    (killed,) = aggregators(place)
    os.kill(killed, signal.SIGKILL)
    (place.folder / "killed").touch()

    assert worker.ended() == 0
    assert worker.said().splitlines()[-1] == "7"
    await_end(at)


def test_a_worker_killed_together_with_the_aggregator_loses_one_interval_at_most(place: Place) -> None:
    """What it had published before is still there."""
    at = configured(place)
    other = place.run(CALL + "served.increment(10); idle()")
    killed = place.run(CALL + "served.increment(100); idle()")
    place.report().await_last({"served.value": 110})
    (first,) = aggregators(place)
    os.kill(first, signal.SIGKILL)
    killed.signal(signal.SIGKILL)
    until(lambda: len(aggregators(place)) == 2, "another one reports")

    assert place.report().await_last({"served.value": 110}) == {"served.value": 110}
    other.terminated()
    await_end(at)


@pytest.mark.parametrize(
    "moment",
    ["os.write = lambda *_: kill() or 0", "launcher.Launcher._answer = kill"],
    ids=["before its order", "before its answer"],
)
def test_the_process_that_starts_an_aggregator_may_be_killed(place: Place, moment: str) -> None:
    """Whether it has said what to do or not: another process is served, and nothing stays behind."""
    at = configured(place)
    starter = place.run(
        f"""
from tapes.distributed import launcher

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{moment}
"""
        + CALL
        + "served.increment(1); idle()"
    )
    until(lambda: not starter.running, "it is killed")
    place.run(CALL + "served.increment(10)").ended()

    assert place.report().await_last({"served.value": 10}) == {"served.value": 10}
    await_end(at)


def test_an_aggregator_that_is_held_still_goes_on_exactly(place: Place) -> None:
    """Longer than leases: no other one is started meanwhile, and nothing is counted twice or lost."""
    at = configured(place, "lease = 0.3")
    worker = place.run(STARTS + CALL + "served.increment(1)\ntapes.gauge('load').set(5)\nidle()", **HASTY)
    figures = {"served.value": 1, "load.value": 5}
    place.report().await_last(figures)
    (pid,) = aggregators(place)
    leaver = place.run(STARTS + CALL + "served.increment(10)\nnoted('stopped')", **HASTY)
    place.report().await_last({"served.value": 11})
    os.kill(pid, signal.SIGSTOP)
    try:
        place.note("stopped")
        leaver.ended()
        place.run(STARTS + CALL + "served.increment(100)", **HASTY).ended()
    finally:
        os.kill(pid, signal.SIGCONT)

    figures = {"served.value": 111, "load.value": 5}
    assert place.report().await_last(figures) == figures
    worker.terminated()
    await_end(at)
    assert (starts(place), aggregators(place)) == (1, [pid])


def test_one_who_kills_it_while_it_is_held_still_gets_another(place: Place) -> None:
    """Which has what the one before had taken in."""
    at = configured(place)
    worker = place.run(CALL + "served.increment(5); idle()")
    place.report().await_last({"served.value": 5})
    (pid,) = aggregators(place)
    os.kill(pid, signal.SIGSTOP)
    place.run(CALL + "served.increment(10)", **HASTY).ended()
    os.kill(pid, signal.SIGKILL)

    assert place.report().await_last({"served.value": 15}) == {"served.value": 15}
    worker.terminated()
    await_end(at)


def test_no_zombie_stays_with_a_parent_that_reaps_none(place: Place) -> None:
    """As in a container, whose first process is the application and becomes the parent of the aggregator."""
    at = configured(place)
    worker = place.run(
        """
import ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what it starts stays with it
"""
        + CALL
        + "served.increment(1); idle()"
    )
    place.report().await_last({"served.value": 1})
    until(lambda: not zombies(worker.pid), "there is no zombie")
    (pid,) = aggregators(place)
    os.kill(pid, signal.SIGKILL)
    until(lambda: len(aggregators(place)) == 2, "another one reports")
    until(lambda: not zombies(worker.pid), "there is no zombie")
    worker.terminated()

    await_end(at)


def zombies(pid: int) -> list[int]:
    """Return the children of a process that have ended and were not reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state == "Z" and int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


def test_what_is_left_just_before_the_end_is_reported(place: Place) -> None:
    """A worker that finds the aggregator about to end leaves its last report to that, or to another one."""
    at = configured(place)
    spoil(
        place,
        """
        from tapes.distributed import service
        stop_all = service.Reporters.stop_all
        def late(reporters):
            stop_all(reporters)
            folder = Path(os.environ["PLACE"])
            if (folder / "ends").exists():
                return
            (folder / "ends").touch()
            while not (folder / "has left").exists():
                service.time.sleep(0.01)
        service.Reporters.stop_all = late
        """,
    )
    place.run(SPOILED + CALL + "served.increment(1)").ended()
    place.await_note("ends")
    place.run(SPOILED + CALL + "served.increment(10)", **HASTY).ended()
    place.note("has left")

    until(lambda: len(place.report().documents()) and place.report().history("served.value")[-1] != 1, "it is reported")
    assert place.report().last("served.value")["served.value"] in (10, 11)
    await_end(at)


GROUPS = """
import posix
spawn = posix.posix_spawn

def spawn_and_look(*arguments, **options):
    found = spawn(*arguments, **options)
    print(os.getpgid(found) == found)
    return found

posix.posix_spawn = spawn_and_look
"""


def test_who_ends_the_group_of_a_program_does_not_mean_its_aggregator(place: Place) -> None:
    """From its very beginning it belongs to no group of others, so Ctrl-C and supervisors do not reach it."""
    at = configured(place)
    program = place.run(GROUPS + CALL + "served.increment()")

    assert program.ended() == 0
    assert program.said() == "True\n"
    await_end(at)
