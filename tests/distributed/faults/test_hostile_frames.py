"""Whatever becomes of frames on their way, and whatever else comes, the totals are exact."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Dict, List, Set

import pytest

from tapes.distributed.frames import LEAVING, decode
from tapes.distributed.keeping import decode as decode_state
from tests.distributed.faults.lossy import Lossy, Proxy, honest
from tests.distributed.faults.processes import Site, Watcher, environment, resident
from tests.servers.processes import until


def wide_counts(stats: Dict[str, Any]) -> Set[int]:
    """Return how many values the histograms that get theirs together have, which a flush has in several frames."""
    return {histogram["count"] for histogram in stats["wide"].values()}


def test_frames_that_are_lost_repeated_and_overtaken(site: Site) -> None:
    """While that happens no page shows less than one before, and when it is over all totals and quantiles are right."""
    aggregator = site.aggregator()
    aggregator.start()
    lossy = Lossy(1)
    with Proxy(site.folder, aggregator.address, lossy) as proxy, Watcher(aggregator) as watcher:
        for width in (0, 0, 0, 1500):
            site.worker(proxy.address, width=width).begin()
        until(lambda: min(lossy.lost, lossy.repeated, lossy.overtaken) >= 40, "much has gone wrong")
        proxy.change(honest, lossy.remaining())
        for worker in site.workers:
            worker.pause()
        seen = aggregator.await_picture(site.recorded)
        until(lambda: len(wide_counts(aggregator.stats())) == 1, "its other metrics are as old as one another")
        stats = aggregator.stats()
        watcher.await_more()

    assert seen == site.recorded
    assert site.wrong_spreads(stats) == []
    assert watcher.went_down() == []
    assert stats["tapes"]["aggregator"]["gaps"]["value"] > 0
    assert stats["tapes"]["aggregator"]["bad_frames"]["value"] == 0
    assert aggregator.said() == ""


def test_frames_that_are_lost_on_the_way_to_an_aggregator_that_is_killed(site: Site) -> None:
    """While much goes wrong on the way it is killed and restarted, and when that is over all totals are right."""
    aggregator = site.aggregator(state=site.folder / "state")
    aggregator.start()
    lossy = Lossy(4)
    with Proxy(site.folder, aggregator.address, lossy) as proxy:
        for width in (0, 0, 1500):
            site.worker(proxy.address, width=width).begin()
        until(lambda: lossy.lost >= 20, "much has gone wrong")
        aggregator.kill()
        aggregator.start()
        until(lambda: lossy.lost >= 40, "more has gone wrong")
        proxy.change(honest, lossy.remaining())
        for worker in site.workers:
            worker.pause()
        seen = aggregator.await_picture(site.recorded)

    assert seen == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []


def test_the_last_frame_of_a_worker_that_leaves_is_sent_again_if_it_is_lost(site: Site) -> None:
    """A worker whose last words are lost, with all that came before, repeats them, and nothing of it is missing."""
    aggregator = site.aggregator()
    aggregator.start()
    lost: List[bytes] = []

    def lose_all_to_the_first_farewell(frame: bytes) -> List[bytes]:
        if any(decode(each).flags & LEAVING for each in lost):
            return [frame]
        lost.append(frame)
        return []

    with Proxy(site.folder, aggregator.address, lose_all_to_the_first_farewell) as proxy:
        worker = site.worker(proxy.address)
        worker.record(100)
        status = worker.leave()
        seen = aggregator.picture()

    assert seen == site.recorded
    assert status == 0
    assert site.said() == ""


def test_frames_that_are_repeated_when_their_time_is_over_change_nothing(site: Site) -> None:
    """All frames that workers have ever sent, once more, are counted once: of workers that are gone, too.

    So they are in the middle of another session of a worker that lives, and in the opposite order.
    """
    aggregator = site.aggregator()
    aggregator.start()
    lost: List[bytes] = []

    def lose_one_of_each(frame: bytes) -> List[bytes]:
        worker, _, sequence, *_ = decode(frame)
        if sequence != 40 or any(decode(each).worker == worker for each in lost):
            return [frame]
        lost.append(frame)
        return []

    with Proxy(site.folder, aggregator.address, lose_one_of_each) as proxy:
        lives, leaves, dies = (site.worker(proxy.address) for _ in range(3))
        for worker in site.workers:
            worker.begin()
        until(lambda: len(lost) == len(site.workers), "of each worker a frame is lost")
        until(lambda: aggregator.own("gaps") >= len(lost), "each has to begin another session")
        for worker in site.workers:
            worker.pause()
        assert aggregator.await_picture(site.recorded) == site.recorded
        leaves.leave()
        dies.kill()
        assert aggregator.await_own("workers", 1) == 1
        lives.begin()
        passed = list(proxy.passed)
        before = aggregator.own("messages")
        proxy.change(honest, [*passed, *reversed(passed)])
        until(lambda: aggregator.own("messages") > before + 2 * len(passed), "they have arrived")
        lives.pause()
        seen = aggregator.await_picture(site.recorded)

    assert seen == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []
    assert aggregator.own("workers") == 1


def test_frames_that_are_repeated_after_a_restart_change_nothing(site: Site) -> None:
    """An aggregator with a state remembers whom it has counted for good, also after it was killed."""
    state = site.folder / "state"
    aggregator = site.aggregator(state=state)
    aggregator.start()
    with Proxy(site.folder, aggregator.address, honest) as proxy:
        lives, leaves = (site.worker(proxy.address) for _ in range(2))
        lives.record(100)
        leaves.record(100)
        leaves.leave()
        until(lambda: len(decode_state(state.read_bytes()).workers) == 1, "who has left is merged for good")
        passed = list(proxy.passed)
        aggregator.kill()
        aggregator.start()
        before = aggregator.own("messages")
        proxy.change(honest, passed)
        until(lambda: aggregator.own("messages") > before + len(passed), "they have arrived")
        lives.record(10)
        seen = aggregator.await_picture(site.recorded)

    assert seen == site.recorded


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_no_frame_is_counted_and_dropped(site: Site, seed: int) -> None:
    """While it comes all the time the totals are exact, and so are they at the end. It is one line in the log."""
    aggregator = site.aggregator()
    aggregator.start()
    stays, leaves, dies = (site.worker(aggregator.address) for _ in range(3))
    with Fuzzer(aggregator.address, seed) as fuzzer, Watcher(aggregator) as watcher:
        for worker in site.workers:
            worker.begin()
        until(lambda: aggregator.own("bad_frames") > 2000, "much of it has come")
        leaves.leave()
        comes = site.worker(aggregator.address)
        comes.record(1000)
        dies.pause()
        stays.pause()
        assert aggregator.await_picture(site.recorded) == site.recorded
        dies.kill()
        stays.begin()
        comes.begin()
        until(lambda: aggregator.own("bad_frames") > 10_000, "much more of it has come")
        stays.pause()
        comes.pause()
        sent = fuzzer.stop()
        seen = aggregator.await_picture(site.recorded)
        bad = aggregator.await_own("bad_frames", sum(sent.values()))
        stats = aggregator.stats()
    aggregator.process.stop()

    assert seen == site.recorded
    assert site.wrong_spreads(stats) == []
    assert set(stats) == {"events", "tapes"}
    assert watcher.went_down() == []
    assert bad == sum(sent.values()), sent
    assert min(sent.values()) > 0
    log = aggregator.said()
    assert len(log.splitlines()) == log.count("has dropped what is no frame") == 1, log


def test_strangers_at_the_socket_disturb_nobody(site: Site) -> None:
    """While some send more than anybody may, speak something else or nothing, the totals of workers are exact."""
    aggregator = site.aggregator()
    aggregator.start()
    stays, leaves = (site.worker(aggregator.address) for _ in range(2))
    before = resident(aggregator.process.pid)
    with Fuzzer(aggregator.address, 1, "connections") as fuzzer, Watcher(aggregator) as watcher:
        for worker in site.workers:
            worker.begin()
        watcher.await_more(200)
        leaves.leave()
        comes = site.worker(aggregator.address)
        comes.record(1000)
        stays.pause()
        assert aggregator.await_picture(site.recorded) == site.recorded
        sent = fuzzer.stop()
        grown = resident(aggregator.process.pid) - before
    aggregator.process.stop()

    assert watcher.went_down() == []
    assert min(sent.values()) > 0
    assert grown < 32 << 20
    assert len(aggregator.said().splitlines()) <= 2, aggregator.said()


class Fuzzer:
    """A process that sends what nobody should while it is entered, see `fuzzer.py`."""

    def __init__(self, address: str, seed: int, what: str = "messages") -> None:
        """Start nothing yet."""
        self._command = [sys.executable, "-m", "tests.distributed.faults.fuzzer", address, str(seed), what]

    def stop(self) -> Dict[str, int]:
        """Stop it. Return how much of each kind it has sent. It stays connected."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        sent: Dict[str, int] = json.loads(self._process.stdout.readline())
        return sent

    def __enter__(self) -> Fuzzer:
        """Start it."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Make sure that nothing is left of it."""
        with self._process:
            self._process.kill()
