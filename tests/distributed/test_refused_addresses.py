"""What is open to other hosts needs keys, and keys that others may read are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from tapes.distributed import keys
from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.distributed.reporter import ZmqReporter
from tapes.errors import ReporterOptionError
from tapes.reporting.stream import ThreadedStreamReporter

Make = Callable[..., object]

SIDES: Dict[str, Make] = {
    "registry": lambda address, **options: DistributedRegistry(address, **options),
    "reporter": lambda address, **options: ZmqReporter(1, address, **options),
    "aggregator": lambda address, **options: RegistryAggregator(ThreadedStreamReporter(1), address, **options),
}

sides = pytest.mark.parametrize("make", SIDES.values(), ids=SIDES)


def connected(address: str, **options: Any) -> None:
    """Make a registry and connect it, which is when it looks at its keys."""
    DistributedRegistry(address, **options).connect()


users = pytest.mark.parametrize("use", [connected, SIDES["reporter"], SIDES["aggregator"]], ids=SIDES)

HOSTS = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "10.0.0.1",
    "0.0.0.0",
    "*",
    "metrics.example.org",
    "[::]",
    "[2001:db8::1]",
    "eth0",
]


@sides
@pytest.mark.parametrize("host", HOSTS)
def test_ports_need_keys_or_leave(make: Make, host: str) -> None:
    """Without either the message names the address and both ways out; with leave it is taken."""
    address = f"tcp://{host}:5550"

    with pytest.raises(ReporterOptionError) as caught:
        make(address)
    make(address, insecure=True)

    for part in (repr(address), "python -m tapes.distributed keygen DIR", "insecure=True"):
        assert part in str(caught.value)


@sides
def test_keys_open_other_hosts(make: Make, tmp_path: Path) -> None:
    """A folder made by keygen is taken as it is by each side, given as a str or a path."""
    folder = keys.generate(tmp_path / "keys")

    made: List[Any] = [make("tcp://10.0.0.1:5550", keys=given) for given in (folder, str(folder))]

    assert [each.address.text for each in made] == ["tcp://10.0.0.1:5550"] * 2


@users
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o620], ids=oct)
def test_secret_keys_that_others_can_read_are_refused(use: Make, mode: int, tmp_path: Path) -> None:
    """The message names the file and the command that mends it."""
    folder = keys.generate(tmp_path / "keys")
    for secret in folder.glob("*.key_secret"):
        secret.chmod(mode)

    with pytest.raises(ReporterOptionError, match=r"chmod 600 .*\.key_secret"):
        use("tcp://127.0.0.1:5550", keys=folder)


def test_of_secret_keys_each_side_looks_at_its_own(tmp_path: Path) -> None:
    """A mode that makes one side refuse its key is no matter to the other."""
    folder = keys.generate(tmp_path / "keys")
    (folder / "worker.key_secret").chmod(0o644)
    SIDES["aggregator"]("tcp://127.0.0.1:5550", keys=folder)
    (folder / "worker.key_secret").chmod(0o600)
    (folder / "aggregator.key_secret").chmod(0o644)

    SIDES["reporter"]("tcp://127.0.0.1:5550", keys=folder)


# A file of a secret key has the public key of its pair in it, too.
@pytest.mark.parametrize(
    ("use", "missing"),
    [
        (connected, "aggregator.key"),
        (connected, "worker.key_secret"),
        (SIDES["reporter"], "aggregator.key"),
        (SIDES["reporter"], "worker.key_secret"),
        (SIDES["aggregator"], "aggregator.key_secret"),
        (SIDES["aggregator"], "worker.key"),
    ],
)
def test_keys_that_are_missing_are_named(use: Make, missing: str, tmp_path: Path) -> None:
    """Each side says what it does not find of its own pair, and of the public key of the other."""
    folder = keys.generate(tmp_path / "keys")
    (folder / missing).unlink()

    with pytest.raises(ReporterOptionError, match=missing.replace(".", r"\.")):
        use("tcp://127.0.0.1:5550", keys=folder)


@users
def test_folders_without_keys_are_refused_with_the_remedy(use: Make, tmp_path: Path) -> None:
    """A folder that is not there, or empty, or whose files are no keys: the command that makes keys is told."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("aggregator.key", "aggregator.key_secret", "worker.key", "worker.key_secret"):
        (broken / name).touch(0o600)

    for folder in (tmp_path / "not there", tmp_path, broken):
        with pytest.raises(ReporterOptionError, match="keygen DIR"):
            use("tcp://127.0.0.1:5550", keys=folder)


def test_relative_folders_of_keys_are_those_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry whose process changes its directory before it connects finds its keys all the same."""
    keys.generate(tmp_path / "keys")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    registry = DistributedRegistry("tcp://127.0.0.1:5550", keys="keys")
    monkeypatch.chdir(elsewhere)

    registry.connect()
    registry.close(0)


@sides
@pytest.mark.parametrize(
    "address",
    [
        "",
        "ipc://",
        "metrics.ipc",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1:x",
        "udp://1.2.3.4:5",
        None,
        5,
    ],
)
def test_addresses_that_cannot_be_are_refused(make: Make, address: object) -> None:
    """The message shows what was given and what an address looks like."""
    with pytest.raises(ReporterOptionError) as caught:
        make(address)

    assert repr(address) in str(caught.value)
    assert "tcp://" in str(caught.value)
