"""Gauges of several processes: combined as they declare, and gone with the process whose they are."""

from __future__ import annotations

import os
import sys

import pytest

from tests.distributed.whole.programs import PREAMBLE, Place
from tests.servers.installed import missing, tool

WORKERS = "tapes.aggregator.workers.value"


def test_producers_run_in_their_workers(place: Place) -> None:
    """What a gauge produces is asked for in each worker, anew at each flush, and combined as declared."""
    program = place.run("""
        registry = worker_registry()
        number = [0]
        for merge in ("sum", "min", "max", "mean", "last"):
            registry.gauge(f"load.{merge}", lambda: number[0], merge=merge)

        def work(first):
            number[0] = first
            registry.connect()
            noted("tenfold")
            number[0] = 10 * first
            noted("seen")

        with aggregator():
            children = [forked(lambda first=first: work(first)) for first in (1, 2, 6)]
            noted("seen")
            join(*children)
    """)
    expected = {"load.sum.value": 9, "load.min.value": 1, "load.max.value": 6, "load.mean.value": 3}

    place.expect(expected, "tenfold")
    place.check(program, seen={name: 10 * value for name, value in expected.items()})


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
    place.expect(before, "end")
    place.check(program, seen=after, last=dict(zip(gauges, (None, None, None, 111))))


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

    place.expect(both, "stop")
    place.expect(one, "continue")
    place.check(program, seen=both)


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

    place.expect(both)
    containers[1].kill()
    place.check(containers[0], seen=one)
    assert supervised.terminated() == 0
