"""Keys: how they are made, which are refused, and what becomes of those that are changed."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any, Callable, Iterator, List, Set, Tuple

import pytest

from tapes.distributed import keys
from tapes.distributed.receiver import Receiver
from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.distributed.reporter import ZmqReporter
from tapes.distributed.unified import UnifiedRegistry
from tapes.errors import ReporterOptionError
from tapes.testing import MemoryReporter
from tests.distributed.receiving import at_port, at_work, await_total
from tests.servers.processes import until

ADDRESS = "tcp://10.0.0.1:5550"
NOBODY = 65534

Side = Callable[[Path], object]

sides = pytest.mark.parametrize("side", [keys.of_aggregator, keys.of_worker])

# A file of a secret key has the public key of its pair in it, too.
FILES = [
    (keys.of_aggregator, "aggregator.key_secret"),
    (keys.of_aggregator, "worker.key"),
    (keys.of_worker, "worker.key_secret"),
    (keys.of_worker, "aggregator.key"),
]
FOLDERS = [(keys.of_aggregator, "."), (keys.of_worker, ".")]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Make keys, and return their folder."""
    return keys.generate(tmp_path / "keys")


@sides
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777], ids=oct)
def test_a_folder_that_others_can_write_to_is_refused(made: Path, side: Side, mode: int) -> None:
    """Whoever can put a key there can let anybody in. The error says how to put it right."""
    made.chmod(mode)

    with pytest.raises(ReporterOptionError, match=rf"{made} can be written to by others: chmod go-w {made}"):
        side(made)


@sides
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755], ids=oct)
def test_a_folder_that_others_can_only_read_is_used(made: Path, side: Side, mode: int) -> None:
    """Public keys are for everybody, and the secret ones have modes of their own."""
    made.chmod(mode)

    assert side(made)


@pytest.mark.parametrize(("side", "name"), FILES)
def test_keys_that_others_can_write_to_are_refused(made: Path, side: Side, name: str) -> None:
    """They are as good as a folder of that kind."""
    (made / name).chmod(0o622)

    with pytest.raises(ReporterOptionError, match=rf"{made}/{name} can be (written to|read) by others"):
        side(made)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620], ids=oct)
@pytest.mark.parametrize(("mine", "other"), [("aggregator", "worker"), ("worker", "aggregator")])
def test_of_secret_keys_each_side_refuses_its_own(made: Path, mine: str, other: str, mode: int) -> None:
    """If others can read it. The error names the file and the command that mends it; the other side does not mind."""
    sides = {"aggregator": keys.of_aggregator, "worker": keys.of_worker}
    (made / f"{mine}.key_secret").chmod(mode)

    assert sides[other](made)
    with pytest.raises(ReporterOptionError, match=rf"chmod 600 {made}/{mine}\.key_secret"):
        sides[mine](made)


@pytest.mark.parametrize(("side", "name"), FILES)
def test_keys_that_are_missing_or_broken_are_named(made: Path, side: Side, name: str) -> None:
    """With the command that makes keys, unless it is the key of the only worker that one may copy there."""
    (made / name).write_text("")
    with pytest.raises(ReporterOptionError, match=rf"{made}/{name} .*keygen DIR"):
        side(made)
    (made / name).unlink()

    with pytest.raises(ReporterOptionError, match=name):
        side(made)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("side", "name"), FILES + FOLDERS)
def test_what_belongs_to_another_user_is_refused(made: Path, side: Side, name: str) -> None:
    """That user can change it whatever its mode is."""
    os.chown(made / name, NOBODY, NOBODY)

    with pytest.raises(ReporterOptionError, match="belongs to the user nobody, who can let anybody in"):
        side(made)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077], ids=oct)
def test_keys_are_made_with_their_modes(tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask is, which belongs to all threads, and is not touched. Nothing else is left in the folder."""
    before = os.umask(mask)
    try:
        with monkeypatch.context() as patched:
            patched.delattr(os, "umask")
            folder = keys.generate(tmp_path / "keys")
    finally:
        os.umask(before)

    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())} == {
        "keys": 0o700,
        "aggregator.key": 0o644,
        "aggregator.key_secret": 0o600,
        "worker.key": 0o644,
        "worker.key_secret": 0o600,
    }
    aggregator, worker = keys.of_aggregator(folder), keys.of_worker(folder)
    assert aggregator.admitted == {worker.public: "worker"}
    assert worker.aggregator == aggregator.public


def test_no_keys_are_made_where_others_can_change_them(tmp_path: Path) -> None:
    """They would be refused later."""
    tmp_path.chmod(0o777)

    with pytest.raises(ReporterOptionError, match="can be written to by others"):
        keys.generate(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_aggregator_and_a_reporter_look_at_their_keys_when_they_are_made(made: Path) -> None:
    """A registry does so when it is connected. A folder that is not there is refused, with the remedy."""
    for given in (made, str(made)):
        users: List[Any] = [
            ZmqReporter(1, ADDRESS, keys=given),
            RegistryAggregator(MemoryReporter(1), ADDRESS, keys=given),
            DistributedRegistry(ADDRESS, keys=given),
        ]
        assert [user.address.text for user in users] == [ADDRESS] * 3
    shutil.rmtree(made)

    with pytest.raises(ReporterOptionError, match="keygen DIR"):
        ZmqReporter(1, ADDRESS, keys=made)
    with pytest.raises(ReporterOptionError, match="keygen DIR"):
        RegistryAggregator(MemoryReporter(1), ADDRESS, keys=made)
    with pytest.raises(ReporterOptionError, match="keygen DIR"):
        DistributedRegistry(ADDRESS, keys=made).connect()


def test_relative_folders_of_keys_are_those_of_the_moment(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry whose process changes its directory before it connects finds its keys all the same."""
    monkeypatch.chdir(made.parent)
    registry = DistributedRegistry(ADDRESS, keys=made.name)
    monkeypatch.chdir("/")

    registry.connect()
    registry.close(0)


class Hub:
    """An aggregator's sockets, and workers in this process."""

    def __init__(self, folder: Path) -> None:
        """Begin to receive."""
        self.address = at_port()
        self.registry = UnifiedRegistry()
        self.folder = folder
        self.receiver = Receiver(self.registry, self.address, keys.of_aggregator(folder))
        self.receiver.start()

    def worker(self, folder: Path) -> DistributedRegistry:
        """Connect a worker with the keys in a folder."""
        registry = DistributedRegistry(self.address.text, interval=0.05, keys=folder)
        registry.connect()
        return registry

    def reload(self) -> None:
        """Take the keys anew, and return when they are used."""
        self.receiver.use_keys(keys.of_aggregator(self.folder))
        until(lambda: self.receiver._new_keys is None, "they are used")

    def await_total(self, total: int) -> None:
        """Wait until so much has been counted."""
        await_total(self.registry, total)

    def sessions(self) -> Set[Tuple[bytes, int]]:
        """Return the sessions of the workers: one that is cut off and comes back begins another one."""
        return {(worker.identity, worker.session) for worker in self.registry.workers.values()}


@pytest.fixture
def hub(made: Path) -> Iterator[Hub]:
    """Receive until the test has ended."""
    hub = Hub(made)
    try:
        yield hub
    finally:
        hub.receiver.stop(5)


def test_a_key_that_is_added_cuts_nobody_off(hub: Hub, made: Path, tmp_path: Path) -> None:
    """The worker that has it comes in, and those that are connected do not notice."""
    first = hub.worker(made)
    first.counter("served").increment(1)
    hub.await_total(1)
    before = hub.sessions()
    keys.generate(made, "shop")
    shop = tmp_path / "shop"
    shop.mkdir(0o700)
    for name in ("aggregator.key", "shop.key", "shop.key_secret"):
        shutil.copy2(made / name, shop)
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


def test_a_new_pair_of_the_aggregator_is_for_those_who_know_it(hub: Hub, made: Path, tmp_path: Path) -> None:
    """Workers with the old one are cut off until they are given the new one."""
    old = Path(shutil.copytree(made, tmp_path / "old"))
    first = hub.worker(old)
    first.counter("served").increment(1)
    hub.await_total(1)
    pair = keys.generate(tmp_path / "pair")
    for name in ("aggregator.key", "aggregator.key_secret"):
        shutil.copy2(pair / name, made / name)
    hub.reload()
    second = hub.worker(made)
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


def test_keys_that_cannot_be_used_change_nothing(made: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The aggregator keeps those that it has, and says why in one line; later it can follow them again."""
    address = at_port().text
    aggregator = RegistryAggregator(MemoryReporter(3600), address, keys=made)
    worker = DistributedRegistry(address, interval=0.05, keys=made)
    worker.counter("served").increment(3)
    with at_work(aggregator):
        made.chmod(0o777)
        aggregator.reload()
        complaints = list(caplog.messages)
        made.chmod(0o700)
        worker.connect()
        await_total(aggregator.registry, 3)
        aggregator.reload()
        worker.close()
    made.chmod(0o777)
    aggregator.reload()  # which has ended

    assert complaints == caplog.messages
    (line,) = complaints
    assert f"The aggregator at {address} keeps its old keys: keys: {made} can be written to by others" in line
