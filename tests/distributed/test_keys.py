"""Keys whose folder others can change are refused, and keys that are changed are followed."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Callable, Iterator, Set, Tuple

import pytest

from tapes.distributed import keys
from tapes.distributed.addresses import checked
from tapes.distributed.receiver import Receiver
from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterOptionError
from tapes.testing import MemoryReporter
from tests.servers.installed import missing
from tests.servers.processes import PATIENCE, free_port, until

NOBODY = 65534

sides = pytest.mark.parametrize("side", [keys.of_aggregator, keys.of_worker])

Side = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make keys, and return their folder."""
    return keys.generate(tmp_path / "keys")


@sides
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, side: Side, mode: int) -> None:
    """Whoever can put a key there can let anybody in. The error says how to put it right."""
    folder.chmod(mode)

    with pytest.raises(ReporterOptionError, match=rf"{folder} can be written to by others: chmod go-w {folder}"):
        side(folder)


@sides
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_a_folder_that_others_can_only_read_is_used(folder: Path, side: Side, mode: int) -> None:
    """Public keys are for everybody, and the secret ones have modes of their own."""
    folder.chmod(mode)

    assert side(folder)


def test_a_key_that_others_can_write_to_is_refused(folder: Path) -> None:
    """It is as good as a folder of that kind."""
    (folder / "worker.key").chmod(0o666)

    with pytest.raises(ReporterOptionError, match=rf"{folder}/worker.key can be written to by others"):
        keys.of_aggregator(folder)


@pytest.mark.parametrize(
    ("side", "name"),
    [
        (keys.of_aggregator, "."),
        (keys.of_aggregator, "aggregator.key_secret"),
        (keys.of_aggregator, "worker.key"),
        (keys.of_worker, "."),
        (keys.of_worker, "worker.key_secret"),
        (keys.of_worker, "aggregator.key"),
    ],
)
def test_what_belongs_to_another_user_is_refused(folder: Path, side: Side, name: str) -> None:
    """That user can change it whatever its mode is."""
    if os.geteuid() != 0:
        missing("only root can give files away: run the tests as root")
    os.chown(folder / name, NOBODY, NOBODY)

    with pytest.raises(ReporterOptionError, match="belongs to the user nobody, who can let anybody in"):
        side(folder)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_keys_are_made_with_their_modes(tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask is, which belongs to all threads, and is not touched. Nothing else is left in the folder."""
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patched:
            patched.delattr(os, "umask")
            folder = keys.generate(tmp_path / "keys")
    finally:
        os.umask(before)

    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "aggregator.key": 0o644,
        "aggregator.key_secret": 0o600,
        "worker.key": 0o644,
        "worker.key_secret": 0o600,
    }
    assert keys.of_aggregator(folder).public == keys.of_worker(folder).aggregator


def test_no_keys_are_made_where_others_can_change_them(tmp_path: Path) -> None:
    """They would be refused later."""
    tmp_path.chmod(0o777)

    with pytest.raises(ReporterOptionError, match="can be written to by others"):
        keys.generate(tmp_path)

    assert list(tmp_path.iterdir()) == []


class Hub:
    """An aggregator's sockets, and workers in this process."""

    def __init__(self, folder: Path) -> None:
        """Begin to receive."""
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.registry = UnifiedRegistry()
        self.folder = folder
        self.receiver = Receiver(
            self.registry, checked(self.address, keys=folder, insecure=False), keys.of_aggregator(folder)
        )
        self.receiver.start()

    def worker(self, folder: Path) -> DistributedRegistry:
        """Connect a worker with the keys in a folder."""
        registry = DistributedRegistry(self.address, interval=0.05, keys=folder)
        registry.connect()
        return registry

    def reload(self) -> None:
        """Take the keys anew, and return when they are used."""
        self.receiver.use_keys(keys.of_aggregator(self.folder))
        until(lambda: self.receiver._new_keys is None, "they are used")

    def await_total(self, total: int) -> None:
        """Wait until so much has been counted."""
        until(lambda: self.registry.get_stats().get("served", {}).get("value") == total, f"{total} were counted")

    def sessions(self) -> Set[Tuple[bytes, int]]:
        """Return the sessions of the workers: one that is cut off and comes back begins another one."""
        return {(worker.identity, worker.session) for worker in self.registry.workers.values()}


@pytest.fixture
def hub(folder: Path) -> Iterator[Hub]:
    """Receive until the test has ended."""
    hub = Hub(folder)
    try:
        yield hub
    finally:
        hub.receiver.stop(5)


def test_a_key_that_is_added_cuts_nobody_off(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """The worker that has it comes in, and those that are connected do not notice."""
    first = hub.worker(folder)
    first.counter("served").increment(1)
    hub.await_total(1)
    before = hub.sessions()
    keys.generate(folder, "shop")
    shop = tmp_path / "shop"
    shop.mkdir(0o700)
    for name in ("aggregator.key", "shop.key", "shop.key_secret"):
        shutil.copy2(folder / name, shop)
    hub.reload()
    second = hub.worker(shop)
    second.counter("served").increment(10)
    hub.await_total(11)
    first.counter("served").increment(1)
    hub.await_total(12)
    after = hub.sessions()
    for each in (first, second):
        each.close()

    assert before <= after
    assert hub.receiver.error is None


def test_a_new_pair_of_the_aggregator_is_for_those_who_know_it(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """Workers with the old one are cut off until they are given the new one."""
    old = Path(shutil.copytree(folder, tmp_path / "old"))
    first = hub.worker(old)
    first.counter("served").increment(1)
    hub.await_total(1)
    pair = keys.generate(tmp_path / "pair")
    for name in ("aggregator.key", "aggregator.key_secret"):
        shutil.copy2(pair / name, folder / name)
    hub.reload()
    second = hub.worker(folder)
    second.counter("served").increment(10)
    hub.await_total(11)
    until(
        lambda: hub.registry.get_stats()["tapes"]["aggregator"]["refused"]["why=other_aggregator"].value,
        "the old one is refused",
    )
    first.counter("served").increment(100)
    second.counter("served").increment(10)
    hub.await_total(21)
    first.close(0)
    second.close()

    assert hub.receiver.error is None


def test_keys_that_cannot_be_used_change_nothing(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The aggregator keeps those that it has, and says why in one line; later it can follow them again."""
    address = f"tcp://127.0.0.1:{free_port()}"
    aggregator = RegistryAggregator(MemoryReporter(3600), address, keys=folder)
    thread = threading.Thread(target=aggregator.start, args=(False,), daemon=True)
    thread.start()
    until(lambda: aggregator.reporters[0].running, "it works")
    worker = DistributedRegistry(address, interval=0.05, keys=folder)
    folder.chmod(0o777)
    aggregator.reload()
    complaints = list(caplog.messages)
    folder.chmod(0o700)
    worker.connect()
    worker.counter("served").increment(3)
    until(lambda: aggregator.registry.get_stats().get("served", {}).get("value") == 3, "it is counted")
    aggregator.reload()
    worker.close()
    aggregator.stop()
    thread.join(PATIENCE)
    folder.chmod(0o777)
    aggregator.reload()  # which has ended

    assert complaints == caplog.messages
    (line,) = complaints
    assert f"The aggregator at {address} keeps its keys: keys: {folder} can be written to by others" in line
