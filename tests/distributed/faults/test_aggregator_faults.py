"""Whatever happens to the aggregator, the totals of its workers are exact in the end, and never go down."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tapes.distributed.registry import RegistryAggregator
from tapes.reporting.http import HTTPReporter
from tests.distributed.faults.events import Picture
from tests.distributed.faults.processes import Site, Watcher, await_writing, resident, stats_at
from tests.servers.processes import free_port, until

LATE = 1.0
"""Seconds by which an aggregator is late, which are many intervals of its workers."""

STALL = 8.0
"""Seconds for which one is held still: longer than workers that are far away wait for a sign of life."""

SELDOM = 0.1
"""Seconds between two reports of a worker that has sent some 40 of them by then, each with something new."""

GIVEN_UP = 2.5
"""Seconds in which dead workers that are silent are given up."""


def test_an_aggregator_that_comes_late_is_told_everything(site: Site) -> None:
    """Workers that have recorded and published before there is an aggregator lose nothing of it."""
    aggregator = site.aggregator()
    for _ in range(2):
        worker = site.worker(aggregator.address)
        worker.record(1000)
        worker.begin()
    time.sleep(LATE)

    aggregator.start()
    with Watcher(aggregator) as watcher:
        watcher.await_more()
        for worker in site.workers:
            worker.pause()
    site.check(aggregator)

    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []


def test_an_aggregator_that_is_killed_and_restarted_is_told_everything_again(site: Site) -> None:
    """Killed in the middle, twice, it shows what live workers have counted, and no page shows less than one before."""
    aggregator = site.started()
    for interval in (0.1, 0.1, 1.0, 1.0):
        site.worker(aggregator.address, interval=interval).begin()
    with Watcher(aggregator) as watcher:
        for _ in range(2):
            watcher.await_more(30)
            aggregator.kill()
            time.sleep(1)
            aggregator.start()
        watcher.await_more()
        for worker in site.workers:
            worker.pause()
        site.check(aggregator)

    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []


@pytest.mark.parametrize(("end", "interval"), [("kill", 4.0), ("stop", 0.1)])
def test_the_first_page_after_a_restart_has_everything(site: Site, end: str, interval: float) -> None:
    """All that workers have counted that live, however long their intervals are and however the first one has ended."""
    aggregator = site.started()
    for _ in range(3):
        site.worker(aggregator.address, interval=interval).record(100)
    site.check(aggregator)

    getattr(aggregator, end)()
    for worker in site.workers:
        worker.record(100)
    aggregator.start()

    assert aggregator.picture() == site.recorded


def test_a_forked_aggregator_that_is_killed_can_be_started_again(site: Site) -> None:
    """The program that has started it sees that it is gone, and the next one is told everything."""
    port = free_port()
    aggregator = RegistryAggregator(HTTPReporter(port), f"ipc://{site.folder}/a")
    with aggregator:
        worker = site.worker(aggregator.address.text)
        worker.record(100)
        until(lambda: Picture.of(stats_at(port)) == site.recorded, "all is seen")
        assert aggregator.pid is not None
        os.kill(aggregator.pid, signal.SIGKILL)
        until(lambda: aggregator.pid is None, "it is gone")
        worker.record(100)
        aggregator.start()
        shown = Picture.of(stats_at(port))
        worker.record(100)
        until(lambda: Picture.of(stats_at(port)) == site.recorded, "all is seen again")

    assert shown == Picture.after([(0, 200)])


def test_with_a_state_the_totals_of_workers_that_are_gone_outlive_kills(site: Site) -> None:
    """Killed twice, after workers have exited and were killed, an aggregator with a state has all they counted."""
    state = site.folder / "state"
    aggregator = site.started(state=state)
    stays = site.worker(aggregator.address)
    with Watcher(aggregator) as watcher:
        for _ in range(2):
            leaves, dies = site.worker(aggregator.address), site.worker(aggregator.address)
            leaves.record(300)
            dies.record(500)
            site.check(aggregator)
            stays.begin()
            dies.kill()
            await_writing(state)
            leaves.record(50)
            leaves.leave()
            aggregator.kill()
            aggregator.start()
            watcher.await_more()
            stays.pause()
            site.check(aggregator)

    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []
    assert aggregator.await_own("workers", 1) == 1


def test_what_was_shown_of_a_worker_is_shown_again_though_both_are_killed(site: Site) -> None:
    """The worker first and the aggregator at once, long before its state is written anew: no page goes back."""
    aggregator = site.started(state=site.folder / "state")
    worker = site.worker(aggregator.address)
    worker.record(100)
    site.check(aggregator)
    worker.kill()
    aggregator.kill()
    aggregator.start()

    assert aggregator.picture() == site.recorded


@pytest.mark.parametrize(("address", "stall"), [("ipc", 4.0), ("tcp", STALL)])
def test_an_aggregator_that_is_held_still_for_long_loses_nothing(site: Site, address: str, stall: float) -> None:
    """Held still for seconds, it then knows what workers have counted that lived on, came, or ended in the meantime.

    What ended had sent many frames by then, which wait in the system. Nobody waits for it, and what is to be sent is
    bounded.
    """
    aggregator = site.started(address=f"tcp://127.0.0.1:{free_port()}" if address == "tcp" else "")
    stays, wide = (site.worker(aggregator.address, width=width) for width in (0, 500))
    leaves = site.worker(aggregator.address, interval=SELDOM, hasty=True)
    stays.begin()
    wide.begin()
    leaves.record(100)
    with Watcher(aggregator) as watcher:
        until(lambda: "wide" in aggregator.stats(), "a worker has told of all its metrics")
        watcher.await_more()
        before = resident(wide.pid)
        aggregator.process.pause()
        held = time.monotonic()
        site.worker(aggregator.address).record(123)
        while time.monotonic() < held + stall / 2:
            leaves.record(7)
            time.sleep(SELDOM)
        status = leaves.leave()
        time.sleep(max(held + stall - time.monotonic(), 0))
        grown = resident(wide.pid) - before
        aggregator.process.resume()
        watcher.await_more()
        stays.pause()
        wide.pause()
        site.check(aggregator)

    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []
    assert status == 0
    assert grown < 20 << 20
    assert site.said().count("has confirmed its last report") == 1


def test_what_workers_had_published_to_a_stalled_aggregator_before_they_died_counts(site: Site) -> None:
    """Held still until workers that have published are dead, it takes that in before it gives them up."""
    aggregator = site.started()
    for _ in range(3):
        site.worker(aggregator.address).record(50)
    site.check(aggregator)
    aggregator.process.pause()
    for worker in site.workers:
        worker.record(77)
    for worker in site.workers:
        worker.tell("publish")
        worker.kill()
    time.sleep(GIVEN_UP)
    aggregator.process.resume()

    assert aggregator.await_own("workers", 0) == 0
    assert aggregator.picture() == site.recorded
