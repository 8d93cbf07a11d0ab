"""Gauges of several processes: combined as they declare, and gone with the process whose they are."""

from __future__ import annotations

import os
import sys

import pytest

from tests.distributed.whole.programs import PREAMBLE, Place
from tests.servers.installed import missing, tool
from tests.servers.processes import until

WORKERS = "tapes.aggregator.workers.value"


def test_settable_gauges_are_combined_as_they_declare(place: Place) -> None:
    """Sum, least, greatest, mean and last of what three processes have set; last is the one that was set last."""
    program = place.run("""
        registry = worker_registry()
        merges = ("sum", "min", "max", "mean", "last")
        gauges = {merge: registry.gauge(f"stock.{merge}", merge=merge) for merge in merges}
        for gauge in gauges.values():
            gauge.set(1000)

        def work(number):
            noted(f"set{number - 1}")
            for gauge in gauges.values():
                gauge.set(100)
                gauge.set({1: 4, 2: -1, 3: 9}[number])
            note(f"set{number}")
            registry.connect()
            noted("seen")

        with aggregator():
            children = [forked(lambda number=number: work(number)) for number in (1, 2, 3)]
            note("set0")
            noted("seen")
            join(*children)
    """)
    expected = {"stock.sum.value": 12, "stock.min.value": -1, "stock.max.value": 9, "stock.mean.value": 4}
    expected["stock.last.value"] = 9

    place.check(program, seen=expected, last=dict.fromkeys(expected))


def test_producers_run_in_their_workers(place: Place) -> None:
    """What a gauge produces is asked for in each worker, anew at each flush, and combined as declared."""
    program = place.run("""
        registry = worker_registry()
        number = [0]
        for merge in ("sum", "min", "max", "mean", "last"):
            registry.gauge(f"load.{merge}", lambda: number[0], merge=merge)
        registry.gauge("process", lambda: number[0] and os.getpid(), merge="max")

        def work(first):
            number[0] = first
            registry.connect()
            noted("seen")
            number[0] = 10 * first
            noted("seen.again")

        with aggregator():
            children = [forked(lambda first=first: work(first)) for first in (1, 2, 6)]
            print(max(children))
            sys.stdout.flush()
            noted("seen.again")
            join(*children)
    """)
    expected = {"load.sum.value": 9, "load.min.value": 1, "load.max.value": 6, "load.mean.value": 3}
    seen = place.report().await_last(expected)
    until(program.lines, "it has said which process has the highest number")
    process = {"process.value": int(program.lines()[0])}
    seen_process = place.report().await_last(process)
    place.note("seen")
    later = {name: 10 * value for name, value in expected.items()}
    seen_later = place.report().await_last(later)
    place.note("seen.again")
    status = program.ended()

    assert seen == expected
    assert seen_later == later
    assert seen_process == process
    assert (status, len(program.lines())) == (0, 1)


def test_a_producer_that_fails_in_one_worker_costs_that_value_alone(place: Place) -> None:
    """The others are combined, everything else is told, and the worker logs it once."""
    program = place.run("""
        registry = worker_registry()
        healthy = [True]

        def produce():
            if not healthy[0]:
                raise ValueError("no idea")
            return 5

        registry.gauge("stock", produce)
        served = registry.counter("served")

        def work(is_healthy):
            healthy[0] = is_healthy
            served.increment()
            registry.connect()
            noted("seen")

        with aggregator():
            children = [forked(lambda healthy=healthy: work(healthy)) for healthy in (True, False, True)]
            noted("seen")
            join(*children)
    """)
    seen = place.report().await_last({"stock.value": 10, "served.value": 3, WORKERS: 3})
    place.note("seen")
    status = program.ended()

    assert seen == {"stock.value": 10, "served.value": 3, WORKERS: 3}
    assert status == 0
    assert program.said().count("ValueError: no idea") == 1


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "exit"])
def test_the_gauges_of_a_worker_end_with_it(place: Place, end: str) -> None:
    """However a worker ends, its values are gone from gauges, also from blocks it was in; its counts stay."""
    program = place.run(
        """
        registry = worker_registry()
        stock, served = registry.gauge("stock"), registry.counter("served")
        registry.gauge("memory", lambda: 7)
        progress = registry.gauge("in.progress")

        def work(number):
            registry.connect()
            stock.set(10 ** number)
            served.increment(10 ** number)
            with progress.track_in_progress():
                if number == 2:
                    noted("exit")
                    os._exit(0)
                noted("seen")

        with aggregator():
            children = [forked(lambda number=number: work(number)) for number in (0, 1, 2)]
            noted("end")
            if sys.argv[1] == "exit":
                note("exit")
            else:
                os.kill(children[2], getattr(signal, sys.argv[1]))
            os.waitpid(children[2], 0)
            noted("seen")
            join(*children[:2])
        """,
        end,
    )
    gauges = ("stock.value", "memory.value", "in.progress.value", "served.value")
    before = dict(zip(gauges, (111, 21, 3, 111)))
    after = dict(zip(gauges, (11, 14, 2, 111)))
    seen = place.report().await_last(before)
    place.note("end")
    seen_after = place.report().await_last(after)
    place.note("seen")
    status = program.ended()

    assert seen == before
    assert seen_after == after
    assert (status, program.said()) == (0, "")
    assert place.report().last(*gauges) == dict(zip(gauges, (None, None, None, 111)))


def test_progress_does_not_leak_when_workers_die_again_and_again(place: Place) -> None:
    """Twenty workers that are killed inside a tracked block leave nothing; one that lives is seen as it is."""
    program = place.run("""
        registry = worker_registry(interval=0.02)
        progress, served = registry.gauge("in.progress"), registry.counter("served")

        def work(number):
            registry.connect()
            with progress.track_in_progress(), progress.track_in_progress():
                served.increment()
                registry.close()
                registry.connect()
                note(f"inside{number}")
                idle()

        def live():
            registry.connect()
            with progress.track_in_progress():
                noted("seen")
            noted("left")

        with aggregator():
            lives = forked(live)
            for number in range(20):
                pid = forked(lambda number=number: work(number))
                noted(f"inside{number}")
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            noted("left")
            join(lives)
    """)
    seen = place.report().await_last({"served.value": 20, "in.progress.value": 1, WORKERS: 1})
    place.note("seen")
    left = place.report().await_last({"in.progress.value": 0, WORKERS: 1})
    place.note("left")
    status = program.ended()

    assert seen == {"served.value": 20, "in.progress.value": 1, WORKERS: 1}
    assert left == {"in.progress.value": 0, WORKERS: 1}
    assert (status, program.said()) == (0, "")


def test_the_gauges_of_a_worker_that_stands_still_count_until_its_lease_is_over(place: Place) -> None:
    """A worker that is held with SIGSTOP drops out of gauges after the lease, and is back when it goes on."""
    program = place.run("""
        registry = worker_registry()
        stock, served = registry.gauge("stock"), registry.counter("served")

        def work(number):
            registry.connect()
            stock.set(10 ** number)
            served.increment(10 ** number)
            noted("seen")

        with aggregator(lease=0.8):
            children = [forked(lambda number=number: work(number)) for number in (0, 1)]
            noted("stop")
            os.kill(children[1], signal.SIGSTOP)
            noted("continue")
            os.kill(children[1], signal.SIGCONT)
            noted("seen")
            join(*children)
    """)
    both = {"stock.value": 11, "served.value": 11, WORKERS: 2}
    one = {"stock.value": 1, "served.value": 11, WORKERS: 1}
    first = place.report().await_last(both)
    place.note("stop")
    second = place.report().await_last(one)
    place.note("continue")
    third = place.report().await_last(both)
    place.note("seen")
    status = program.ended()

    assert [first, second, third] == [both, one, both]
    assert (status, program.said()) == (0, "")


def test_the_gauges_of_a_container_that_is_killed_end_with_the_lease(place: Place) -> None:
    """Of a worker whose number means nothing to the aggregator the value counts until the lease is over, not longer."""
    if os.geteuid() != 0:
        missing("only root can make a namespace of processes: run the tests as root")
    supervised = place.supervise(place.config("lease = 1.0"))
    path = place.folder / "worker.py"
    path.write_text(f"""{PREAMBLE}
registry = worker_registry()
registry.connect()
registry.gauge("stock").set(int(sys.argv[1]))
registry.counter("served").increment(int(sys.argv[1]))
with registry.gauge("in.progress").track_in_progress():
    noted("seen")
""")
    unshare = [tool("unshare", "util-linux"), "--pid", "--fork", "--kill-child", "--mount-proc"]
    containers = [place.command([*unshare, sys.executable, str(path), number], {}) for number in ("1", "10")]
    both = {"stock.value": 11, "in.progress.value": 2, "served.value": 11, WORKERS: 2}
    one = {"stock.value": 1, "in.progress.value": 1, "served.value": 11, WORKERS: 1}
    first = place.report().await_last(both)
    containers[1].kill()
    second = place.report().await_last(one)
    place.note("seen")
    statuses = [containers[0].ended(), supervised.terminated()]

    assert [first, second, statuses] == [both, one, [0, 0]]


def test_a_gauge_that_is_set_once_stays(place: Place) -> None:
    """A value that does not change is not sent again, and counts for as long as its worker lives, lease or not."""
    program = place.run("""
        registry = worker_registry()
        with aggregator(lease=0.5):
            registry.connect()
            registry.gauge("stock").set(5)
            time.sleep(1.5)
            note("later")
            noted("seen")
            registry.close()
    """)
    place.await_note("later")
    later = place.report().await_last({"stock.value": 5})  # a worker that is held still for so long is missing as long
    place.note("seen")
    status = program.ended()

    assert later == {"stock.value": 5}
    assert (status, program.said()) == (0, "")
