"""An aggregator whose state cannot be read does not start, and one whose state cannot be written goes on counting."""

from __future__ import annotations

import errno
import itertools
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Callable, Dict

import pytest

from tapes.distributed.registry import RegistryAggregator
from tapes.errors import ReporterError
from tapes.testing import MemoryReporter
from tests.distributed.faults import processes
from tests.distributed.faults.events import Picture
from tests.distributed.faults.processes import Aggregator, Site, await_writing
from tests.servers.installed import missing, tool
from tests.servers.processes import PATIENCE, until

COMPLAINT = "cannot be written"

DISK = 256 << 10
"""Bytes of a disk that is going to be full."""


def flipped(content: bytes, part: float = 0.5) -> bytes:
    """Return it with one bit changed, after this part of it."""
    place = int(len(content) * part)
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


DAMAGE: Dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[:-10],
    "cut off early": lambda content: content[:5],
    "empty": lambda content: b"",
    **{f"a bit changed at {part}": partial(flipped, part=part) for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)},
    "too long": lambda content: content + b"\0",
    "something else": lambda content: b'{"events": {"counted": {"value": 7}}, "more": "and more"}',
    "of a later version": lambda content: content[:11] + bytes([content[11] + 1]) + content[12:],
}


RECORDED = Picture.after([(0, 100)])
"""By the worker of whom a state is kept."""


@pytest.fixture(scope="module")
def content() -> bytes:
    """Provide the content of a state that an aggregator has left."""
    if not sys.platform.startswith("linux"):
        pytest.skip("These faults are made by the means of Linux.")
    with processes.site() as site:
        state = site.folder / "state"
        aggregator = site.aggregator(state=state)
        aggregator.start()
        site.worker(aggregator.address).record(100)
        assert aggregator.await_picture(site.recorded) == site.recorded == RECORDED
        site.workers[0].leave()
        aggregator.stop()
        return state.read_bytes()


@pytest.fixture
def kept(site: Site, content: bytes) -> Path:
    """Provide the state that an aggregator has left."""
    state = site.folder / "state"
    state.write_bytes(content)
    return state


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_state_that_is_damaged_is_refused(site: Site, kept: Path, damage: str) -> None:
    """The error says which file it is and what to do, and the file is left as it is."""
    damaged = DAMAGE[damage](kept.read_bytes())
    kept.write_bytes(damaged)

    with pytest.raises(ReporterError, match=rf"^state_path: {kept} cannot be used: .+ Move it away to begin "):
        RegistryAggregator(MemoryReporter(1), f"ipc://{site.folder}/a", state_path=kept).start(fork=False)

    assert kept.read_bytes() == damaged


def test_a_state_that_was_repaired_is_used(site: Site, kept: Path) -> None:
    """A start that was refused says why in one line, and is in nobody's way."""
    whole = kept.read_bytes()
    aggregator = site.aggregator(state=kept)
    kept.write_bytes(flipped(whole))
    refusal = aggregator.refusal()
    kept.write_bytes(whole)

    aggregator.start()

    assert re.fullmatch(rf"state_path: {kept} cannot be used: It is damaged.+ Move it away to begin .+\n", refusal)
    assert aggregator.picture() == RECORDED


def test_a_state_that_can_never_be_written_is_refused(site: Site) -> None:
    """A folder that is not there, or a folder in the place of the file, is a fault at the start."""
    nowhere, folder = site.folder / "missing" / "state", site.folder / "folder"
    folder.mkdir()

    refusals = [site.aggregator(state=state).refusal() for state in (nowhere, folder)]

    assert refusals == [
        (
            f"state_path: {nowhere} cannot be written: {os.strerror(errno.ENOENT)}. Check that it exists, or correct "
            "the path.\n"
        ),
        f"state_path: {folder} cannot be read: it is a folder. Choose another file.\n",
    ]


def test_a_state_whose_folder_is_gone_for_a_while_costs_no_totals(site: Site) -> None:
    """While it cannot be written that is one line in the log; when it can be again it has everything."""
    folder, away = site.folder / "here", site.folder / "away"
    folder.mkdir()
    aggregator = site.started(state=folder / "state")
    fail_for_a_while(site, aggregator, folder / "state", lambda: folder.rename(away), lambda: away.rename(folder))


def test_a_disk_that_is_full_for_a_while_costs_no_totals(site: Site) -> None:
    """While the state cannot be written that is one line in the log; when there is room again it has everything."""
    if os.geteuid() != 0:
        missing("only root can make a disk: run the tests as root")
    disk = site.folder / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o size={DISK} none {disk} && exec "$@"'
    within = [tool("unshare", "util-linux"), "--mount", "sh", "-c", mounted, "sh"]
    tried = subprocess.run([*within, "true"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    if tried.returncode:
        missing(f"no disk can be made: {tried.stderr}")
    aggregator = site.started(state=disk / "state", within=within)
    seen = Path(f"/proc/{aggregator.process.pid}/root/{disk}")  # by the process that has it
    filler = seen / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            file.writelines(itertools.repeat(bytes(4096)))

    fail_for_a_while(site, aggregator, seen / "state", fill, filler.unlink)


def fail_for_a_while(
    site: Site, aggregator: Aggregator, state: Path, begin: Callable[[], object], end: Callable[[], object]
) -> None:
    """Let it be impossible to write the state for some time, in which workers leave, die and go on."""
    stays, leaves, dies = (site.worker(aggregator.address) for _ in range(3))
    for worker in site.workers:
        worker.record(100)
    site.check(aggregator)
    begin()
    leaves.record(50)
    status = leaves.leave()
    dies.record(50)
    site.check(aggregator)
    dies.kill()
    until(lambda: COMPLAINT in aggregator.said(), "it complains")
    assert aggregator.await_own("workers", 1) == 1
    stays.record(50)
    site.check(aggregator)
    log = aggregator.said()
    end()
    await_writing(state)
    content = state.read_bytes()
    stays.kill()
    aggregator.kill()
    copy = site.folder / "copy"
    copy.write_bytes(content)
    another = site.aggregator(state=copy)
    another.start()

    assert another.picture() == site.recorded
    assert status == 0
    assert len(log.splitlines()) == log.count(COMPLAINT) == 1
