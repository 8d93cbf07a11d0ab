"""Whatever happens to the aggregator, the totals of its workers are exact in the end, and never go down."""

from __future__ import annotations

import os
import signal
import socket
import stat
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
    seen = aggregator.await_picture(site.recorded)

    assert seen == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []


def test_an_aggregator_that_is_killed_and_restarted_is_told_everything_again(site: Site) -> None:
    """Killed in the middle, twice, it shows what live workers have counted, and no page shows less than one before."""
    aggregator = site.aggregator()
    aggregator.start()
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
        seen = aggregator.await_picture(site.recorded)

    assert seen == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []


def test_a_restart_shows_nothing_less_when_workers_publish_seldom(site: Site) -> None:
    """However long the intervals of workers are, the first page after a quick restart has all that was shown before."""
    aggregator = site.aggregator()
    aggregator.start()
    for place in range(3):
        site.worker(aggregator.address, interval=4.0)
        site.workers[place].record(100)
    assert aggregator.await_picture(site.recorded) == site.recorded

    aggregator.kill()
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


def test_an_aggregator_that_is_restarted_in_good_order_is_told_everything_again(site: Site) -> None:
    """The first page after a restart by SIGTERM has all that workers have counted that live."""
    aggregator = site.aggregator()
    aggregator.start()
    for _ in range(3):
        site.worker(aggregator.address).record(100)
    assert aggregator.await_picture(site.recorded) == site.recorded

    aggregator.process.stop()
    for worker in site.workers:
        worker.record(100)
    aggregator.start()

    assert aggregator.picture() == site.recorded


def test_with_a_state_the_totals_of_workers_that_are_gone_outlive_kills(site: Site) -> None:
    """Killed twice, after workers have exited and were killed, an aggregator with a state has all they counted."""
    state = site.folder / "state"
    aggregator = site.aggregator(state=state)
    aggregator.start()
    stays = site.worker(aggregator.address)
    with Watcher(aggregator) as watcher:
        for _ in range(2):
            leaves, dies = site.worker(aggregator.address), site.worker(aggregator.address)
            leaves.record(300)
            dies.record(500)
            assert aggregator.await_picture(site.recorded) == site.recorded
            stays.begin()
            dies.kill()
            await_writing(state)
            leaves.record(50)
            leaves.leave()
            aggregator.kill()
            aggregator.start()
            watcher.await_more()
            stays.pause()
            assert aggregator.await_picture(site.recorded) == site.recorded

    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []
    assert aggregator.await_own("workers", 1) == 1


def test_what_was_shown_of_a_worker_is_shown_again_though_both_are_killed(site: Site) -> None:
    """The worker first and the aggregator at once, long before its state is written anew: no page goes back."""
    aggregator = site.aggregator(state=site.folder / "state")
    aggregator.start()
    worker = site.worker(aggregator.address)
    worker.record(100)
    assert aggregator.await_picture(site.recorded) == site.recorded
    worker.kill()
    aggregator.kill()
    aggregator.start()

    assert aggregator.picture() == site.recorded


@pytest.mark.parametrize("address", ["ipc", "tcp"])
def test_an_aggregator_that_is_held_still_for_long_loses_nothing(site: Site, address: str) -> None:
    """Held still for 8 s, it then knows what workers have counted that lived on, came, or ended in the meantime.

    What ended had sent many frames by then, which wait in the system.

    None of them waits for it, and what waits to be sent is bounded.
    """
    aggregator = site.aggregator(address=f"tcp://127.0.0.1:{free_port()}" if address == "tcp" else "")
    aggregator.start()
    stays, wide = (site.worker(aggregator.address, width=width) for width in (0, 2000))
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
        while time.monotonic() < held + STALL / 2:
            leaves.record(7)
            time.sleep(SELDOM)
        status = leaves.leave()
        time.sleep(max(held + STALL - time.monotonic(), 0))
        grown = resident(wide.pid) - before
        aggregator.process.resume()
        watcher.await_more()
        stays.pause()
        wide.pause()
        seen = aggregator.await_picture(site.recorded)

    assert seen == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []
    assert watcher.went_down() == []
    assert status == 0
    assert grown < 20 << 20
    assert site.said().count("has confirmed its last report") == 1


def test_what_workers_had_published_to_a_stalled_aggregator_before_they_died_counts(site: Site) -> None:
    """Held still until workers that have published are dead, it takes that in before it gives them up."""
    aggregator = site.aggregator()
    aggregator.start()
    for _ in range(3):
        site.worker(aggregator.address).record(50)
    assert aggregator.await_picture(site.recorded) == site.recorded
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


@pytest.mark.parametrize("keeps", [False, True], ids=["", "with-a-state"])
def test_a_second_aggregator_at_an_address_is_refused(site: Site, keeps: bool) -> None:
    """It says who is there, and the first one goes on undisturbed, with the workers that it has and those that come."""
    aggregator = site.aggregator(state=site.folder / "state" if keeps else None)
    aggregator.start()
    worker = site.worker(aggregator.address)
    worker.record(10)
    assert aggregator.await_picture(site.recorded) == site.recorded
    file, log = aggregator.socket.stat(), aggregator.said()

    refusals = [aggregator.refusal() for _ in range(2)]
    worker.record(10)
    site.worker(aggregator.address).record(10)

    assert aggregator.await_picture(site.recorded) == site.recorded
    for refusal in refusals:
        assert refusal.startswith(f"There is an aggregator (process {aggregator.process.pid}) at {aggregator.address}")
        assert len(refusal.splitlines()) == 1
    assert os.path.samestat(aggregator.socket.stat(), file)
    assert aggregator.said() == log


def test_a_second_aggregator_at_a_port_is_refused(site: Site) -> None:
    """It says that the port is in use, and the first one goes on undisturbed."""
    aggregator = site.aggregator(address=f"tcp://127.0.0.1:{free_port()}")
    aggregator.start()
    worker = site.worker(aggregator.address)
    worker.record(10)

    refusal = aggregator.refusal()
    worker.record(10)

    assert aggregator.await_picture(site.recorded) == site.recorded
    assert aggregator.address in refusal
    assert "in use" in refusal
    assert len(refusal.splitlines()) == 1


def test_what_a_killed_aggregator_leaves_behind_is_in_nobodys_way(site: Site) -> None:
    """The next one takes the place of the socket and the lock of one that was killed, for its user alone."""
    aggregator = site.aggregator()
    aggregator.start()
    worker = site.worker(aggregator.address)
    worker.record(10)
    assert aggregator.await_picture(site.recorded) == site.recorded

    aggregator.kill()
    left = sorted(path.name for path in site.folder.glob("a*") if path.suffix != ".toml")
    aggregator.start()
    worker.record(10)

    assert aggregator.await_picture(site.recorded) == site.recorded
    assert left == ["a", "a.lock"]
    assert stat.S_IMODE(aggregator.socket.stat().st_mode) == 0o600


def test_a_socket_that_another_program_has_left_is_in_nobodys_way(site: Site) -> None:
    """A socket at which nobody listens is replaced, also where there is no lock beside it."""
    aggregator = site.aggregator()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(aggregator.socket))

    aggregator.start()
    site.worker(aggregator.address).record(10)

    assert aggregator.await_picture(site.recorded) == site.recorded


def test_a_file_in_the_place_of_the_socket_is_left_alone(site: Site) -> None:
    """An aggregator that would have to remove a file that is no socket says so, and does not."""
    aggregator = site.aggregator()
    aggregator.socket.write_text("precious")

    refusal = aggregator.refusal()

    assert refusal == (
        f"{str(aggregator.socket)!r} is a file, and no socket: give another socket_addr, or remove it.\n"
    )
    assert aggregator.socket.read_text() == "precious"
