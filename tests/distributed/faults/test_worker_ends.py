"""What workers have counted when they end, in whatever way, is in the totals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tapes.distributed.state_format import decode
from tests.distributed.faults.crowd import EACH
from tests.distributed.faults.events import Picture
from tests.distributed.faults.processes import (
    Aggregator,
    Site,
    open_files,
    resident,
)
from tests.servers.processes import PATIENCE, environment, until

HOUR = 3600.0

CROWDS = (20, 220)
"""Workers that live shortly: some, and many."""


@pytest.mark.parametrize(
    ("ending", "status"), [("end", 0), ("SIGTERM", 0), ("raise", 1)], ids=["returns", "SIGTERM", "fails"]
)
def test_a_worker_that_exits_leaves_all_that_it_has_counted(site: Site, ending: str, status: int) -> None:
    """Workers that publish once an hour, and record when they are ended, lose nothing."""
    aggregator = site.started()
    workers = [site.worker(aggregator.address, interval=HOUR) for _ in range(3)]
    for worker in workers:
        worker.record(1000)
        worker.begin()

    statuses = [worker.terminate() if ending == "SIGTERM" else worker.leave(ending) for worker in workers]

    assert aggregator.picture() == site.recorded
    assert site.wrong_spreads(aggregator.stats()) == []
    assert statuses == 3 * [status]
    assert aggregator.await_own("workers", 0) == 0


def test_hundreds_of_short_lived_workers_leave_an_aggregator_as_it_was(site: Site) -> None:
    """After 220 workers its memory, open files, file and page are as after 20, and the totals are exact."""
    state = site.folder / "state"
    aggregator = site.started(state=state)
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
