"""What workers have counted when they end, in whatever way, is in the totals."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Tuple

import pytest

from tapes.distributed.keeping import decode
from tapes.distributed.publishing import Publisher, hello
from tapes.distributed.unified import UnifiedRegistry
from tapes.registry import Registry
from tapes.testing import ManualClock
from tests.distributed.faults.crowd import EACH
from tests.distributed.faults.events import Picture, values, wrong_spreads
from tests.distributed.faults.journaling import Journal
from tests.distributed.faults.processes import (
    Aggregator,
    Site,
    environment,
    open_files,
    resident,
)
from tests.distributed.faults.reuse import LAST, NUMBER, RECORDED
from tests.servers.installed import missing, tool
from tests.servers.processes import PATIENCE, free_port, until

HOUR = 3600.0

CROWDS = (20, 320)
"""Workers that live shortly: some, and many."""


@pytest.mark.parametrize(
    ("ending", "status"), [("end", 0), ("SIGTERM", 0), ("raise", 1)], ids=["returns", "SIGTERM", "fails"]
)
def test_a_worker_that_exits_leaves_all_that_it_has_counted(site: Site, ending: str, status: int) -> None:
    """Workers that publish once an hour, and record when they are ended, lose nothing."""
    aggregator = site.aggregator()
    aggregator.start()
    workers = [site.worker(aggregator.address, interval=HOUR) for _ in range(3)]
    for worker in workers:
        worker.record(1000)
        worker.begin()

    statuses = [worker.terminate() if ending == "SIGTERM" else worker.leave(ending) for worker in workers]

    assert aggregator.picture() == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []
    assert statuses == 3 * [status]
    assert aggregator.await_own("workers", 0) == 0


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver", "raising", "pool", "executor"])
def test_a_process_of_multiprocessing_that_ends_leaves_all_that_it_has_counted(site: Site, way: str) -> None:
    """They publish when they end, and not before, and nothing is missing."""
    aggregator = site.aggregator()
    aggregator.start()

    ran = subprocess.run(
        [sys.executable, "-m", "tests.distributed.faults.exits", aggregator.address, way],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    recorded: List[Tuple[int, int]] = json.loads(ran.stdout)
    assert aggregator.picture() == Picture.after(recorded)
    assert len(recorded) >= {"pool": 6, "executor": 1}.get(way, 3)


def test_a_worker_that_is_killed_loses_what_it_has_not_published(site: Site) -> None:
    """What it has counted since it has published is missing, 7 of 1,007 events, and nothing else."""
    aggregator = site.aggregator()
    aggregator.start()
    with Journaling(site, aggregator.address, interval=0.0) as killed:
        killed.tell("1000")
        published = Picture.after([(0, 1000)])

        def seen() -> bool:
            killed.tell("publish")
            return aggregator.picture() == published

        until(seen, "what it publishes is seen")
        killed.tell("7")
        killed.kill()

        assert aggregator.await_own("workers", 0) == 0
        assert aggregator.picture() == published
        assert killed.journal == Journal(1007, 1000)


def test_a_worker_that_is_killed_loses_at_most_its_last_interval(site: Site) -> None:
    """Of several that record on and on, each has lost no more than it has recorded since it has published."""
    aggregator = site.aggregator()
    aggregator.start()
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Journaling(site, aggregator.address, number)) for number in range(4)]
        published = []
        for worker in workers:
            until(lambda: worker.seen(aggregator) > 500, "what it publishes is seen")  # noqa: B023  is called here
            published.append(worker.seen_last(aggregator))
            worker.kill()
        gone = aggregator.await_own("workers", 0)
        stats = aggregator.stats()
        seen = [worker.seen(aggregator) for worker in workers]
        recorded = [worker.journal.recorded for worker in workers]

    missing = [there - here for there, here in zip(recorded, seen)]
    most = [there - here for there, here in zip(recorded, published)]
    assert gone == 0
    assert [0 <= each <= limit for each, limit in zip(missing, most)] == 4 * [True], (missing, most)
    assert sum(published) <= Picture.of(stats).measured <= sum(recorded)
    assert min(seen) > 500


class Journaling:
    """A worker that keeps a journal, see `journaling.py`, while it is entered."""

    def __init__(self, site: Site, address: str, number: int = 0, *, interval: float = 0.2) -> None:
        """Start nothing yet."""
        self._number = number
        self._path = site.folder / f"journal-{number}"
        script = [sys.executable, "-m", "tests.distributed.faults.journaling"]
        self._command = [*script, address, str(interval), str(number), str(self._path)]

    @property
    def journal(self) -> Journal:
        """What it has done."""
        return Journal.read(self._path)

    def seen(self, aggregator: Aggregator) -> int:
        """Return how many of its events the aggregator shows."""
        shown = aggregator.stats().get("own", {}).get(f"of={self._number}", {"value": 0})
        return int(shown["value"])

    def seen_last(self, aggregator: Aggregator) -> int:
        """Return how many events there were when it has published last, as soon as the aggregator has that."""
        while True:
            published = self.journal.published
            until(lambda: self.seen(aggregator) >= published, "what it has published is seen")  # noqa: B023
            if self.journal.published == published:
                return published

    def tell(self, line: str) -> None:
        """Tell it what to do, and wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdout.readline()

    def kill(self) -> None:
        """End it with no chance to do anything more."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def __enter__(self) -> Journaling:
        """Start it."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment(),
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Make sure that nothing is left of it."""
        with self._process:
            self._process.kill()


def test_hundreds_of_short_lived_workers_leave_an_aggregator_as_it_was(site: Site) -> None:
    """After 320 workers its memory, open files, file and page are as after 20, and the totals are exact."""
    state = site.folder / "state"
    aggregator = site.aggregator(state=state)
    aggregator.start()
    most = open_files(aggregator.process.pid) + 8
    costs = []
    first = 0
    for end in CROWDS:
        subprocess.run(
            [sys.executable, "-m", "tests.distributed.faults.crowd", aggregator.address, str(first), str(end)],
            env=environment(),
            timeout=8 * PATIENCE,
            check=True,
        )
        first = end
        assert aggregator.picture() == Picture.after((number, EACH) for number in range(end))
        until(lambda: not decode(state.read_bytes()).workers, "all that have left are forgotten")
        until(lambda: open_files(aggregator.process.pid) <= most, "their connections are closed")
        costs.append(Cost.of(aggregator, state))

    few, many = costs
    assert many.memory - few.memory < 4 << 20
    assert many.kept - few.kept < 8 << 10
    assert many.page < few.page + 1000


class Cost(NamedTuple):
    """What an aggregator takes."""

    memory: int
    """Bytes."""
    kept: int
    """Bytes of its state on disk."""
    page: int
    """Characters of what it shows."""

    @classmethod
    def of(cls, aggregator: Aggregator, state: Path) -> Cost:
        """Measure it."""
        pid = aggregator.process.pid
        page = len(json.dumps(aggregator.stats()))
        return cls(resident(pid), state.stat().st_size, page)


def test_workers_with_the_same_number_are_told_apart(site: Site) -> None:
    """Where each worker gets the number of the one before, all is counted once, and only the last one lives."""
    if os.geteuid() != 0:
        missing("only root can choose the numbers of processes: run the tests as root")
    apart = [tool("unshare", "util-linux"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    choose = ["sh", "-c", f"echo {NUMBER} > {LAST}"]
    tried = subprocess.run([*apart, *choose], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if tried.returncode:
        missing(f"the numbers of processes cannot be chosen: {tried.stderr}")
    script = [sys.executable, "-m", "tests.distributed.faults.reuse", f"ipc://{site.folder}/a", str(free_port())]

    ran = subprocess.run(
        [*apart, *script], env=environment(), capture_output=True, text=True, timeout=6 * PATIENCE, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    stats = json.loads(ran.stdout)
    _, total = RECORDED[-1]
    assert Picture.of(stats) == Picture.after(RECORDED)
    assert wrong_spreads(stats, [each for recorded in RECORDED for each in values(*recorded)]) == []
    assert stats["events"]["workers"]["value"] == 1
    assert stats["events"]["counted"][f"worker={NUMBER}"]["value"] == 2 * total


def test_a_worker_whose_number_another_process_has_is_gone() -> None:
    """That a process has the number is not enough, it has to have begun at the same time. What it counted stays."""
    clock = ManualClock()
    unified = UnifiedRegistry(clock=clock, lease=HOUR)
    lives = hello(1.0, settles=True)
    for number, each in enumerate((lives, lives._replace(started=lives.started + 1))):
        registry = Registry(clock=clock)
        registry.counter("served").increment(10 + number)
        registry.gauge("open").set(3 + number)
        publisher = Publisher(each)
        publisher.begin()
        for frame in publisher.flush(registry):
            unified.apply(frame)

    before = unified.get_stats()
    clock.advance(5)
    unified.tidy()
    after = unified.get_stats()

    assert (before.served.value, before.open.value, before.tapes.aggregator.workers.value) == (21, 7, 2)
    assert (after.served.value, after.open.value, after.tapes.aggregator.workers.value) == (21, 3, 1)
