"""Whatever becomes of frames on their way, and whatever else comes, the totals are exact."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Dict, List, Set

from tapes.distributed.frames import LEAVING, decode
from tests.distributed.faults.lossy import Lossy, Proxy, honest
from tests.distributed.faults.processes import Site, Watcher, resident
from tests.servers.processes import environment, until


def wide_counts(stats: Dict[str, Any]) -> Set[int]:
    """Return how many values the histograms that get theirs together have, which a flush has in several frames."""
    return {histogram["count"] for histogram in stats["wide"].values()}


def test_frames_that_are_lost_repeated_and_overtaken(site: Site) -> None:
    """While that happens no page shows less than one before, and when it is over all totals and quantiles are right."""
    aggregator = site.started()
    lossy = Lossy(1)
    with Proxy(site.folder, aggregator.address, lossy) as proxy, Watcher(aggregator) as watcher:
        for width in (0, 0, 0, 1500):
            site.worker(proxy.address, width=width).begin()
        until(lambda: min(lossy.lost, lossy.repeated, lossy.overtaken) >= 20, "much has gone wrong")
        proxy.change(honest, lossy.remaining())
        for worker in site.workers:
            worker.pause()
        site.check(aggregator)
        until(lambda: len(wide_counts(aggregator.stats())) == 1, "its other metrics are as old as one another")
        stats = aggregator.stats()
        watcher.await_more()

    assert site.wrong_spreads(stats) == []
    assert watcher.went_down() == []
    assert stats["tapes"]["aggregator"]["gaps"]["value"] > 0
    assert stats["tapes"]["aggregator"]["bad_frames"]["value"] == 0
    assert aggregator.said() == ""


def test_the_last_frame_of_a_worker_that_leaves_is_sent_again_if_it_is_lost(site: Site) -> None:
    """A worker whose last words are lost, with all that came before, repeats them, and nothing of it is missing."""
    aggregator = site.started()
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


def test_what_is_no_frame_is_counted_and_dropped(site: Site) -> None:
    """While it comes all the time the totals are exact, and so are they at the end. It is one line in the log."""
    aggregator = site.started()
    stays, leaves, dies = (site.worker(aggregator.address) for _ in range(3))
    with Fuzzer(aggregator.address, 1) as fuzzer, Watcher(aggregator) as watcher:
        for worker in site.workers:
            worker.begin()
        until(lambda: aggregator.own("bad_frames") > 500, "much of it has come")
        leaves.leave()
        comes = site.worker(aggregator.address)
        comes.record(1000)
        dies.pause()
        stays.pause()
        site.check(aggregator)
        dies.kill()
        stays.begin()
        comes.begin()
        until(lambda: aggregator.own("bad_frames") > 3_000, "much more of it has come")
        stays.pause()
        comes.pause()
        sent = fuzzer.stop()
        site.check(aggregator)
        bad = aggregator.await_own("bad_frames", sum(sent.values()))
        stats = aggregator.stats()
    aggregator.process.stop()

    assert site.wrong_spreads(stats) == []
    assert set(stats) == {"events", "tapes"}
    assert watcher.went_down() == []
    assert bad == sum(sent.values()), sent
    assert min(sent.values()) > 0
    log = aggregator.said()
    assert len(log.splitlines()) == log.count("has dropped an invalid frame") == 1, log


def test_strangers_at_the_socket_disturb_nobody(site: Site) -> None:
    """While some send more than anybody may, speak something else or nothing, the totals of workers are exact."""
    aggregator = site.started()
    stays, leaves = (site.worker(aggregator.address) for _ in range(2))
    before = resident(aggregator.process.pid)
    with Fuzzer(aggregator.address, 1, "connections") as fuzzer, Watcher(aggregator) as watcher:
        for worker in site.workers:
            worker.begin()
        watcher.await_more(60)
        leaves.leave()
        comes = site.worker(aggregator.address)
        comes.record(1000)
        stays.pause()
        site.check(aggregator)
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
