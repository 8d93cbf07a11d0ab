"""Addresses of aggregators: what they may be, and that what is open to others needs keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Dict

import pytest

from tapes.distributed import addresses
from tapes.distributed.addresses import Address, checked
from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.distributed.reporter import ZmqReporter
from tapes.errors import ReporterOptionError
from tapes.testing import MemoryReporter
from tests.distributed.receiving import at

SIDES: Dict[str, Callable[..., object]] = {
    "registry": DistributedRegistry,
    "reporter": lambda address, **options: ZmqReporter(1, address, **options),
    "aggregator": lambda address, **options: RegistryAggregator(MemoryReporter(1), address, **options),
}

sides = pytest.mark.parametrize("make", SIDES.values(), ids=SIDES)


def test_a_relative_path_is_that_of_the_folder_at_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that goes to another folder later still talks to the same aggregator. So it is with the default."""
    monkeypatch.chdir(folder)
    address, default = at("metrics.ipc"), checked(addresses.DEFAULT, keys=None, insecure=False)
    monkeypatch.chdir("/")

    assert address == Address(f"ipc://{folder}/metrics.ipc", f"{folder}/metrics.ipc")
    assert str(address) == address.text
    assert checked(address.text, keys=None, insecure=False) == address
    assert default.path == f"{folder}/tapes_metrics.ipc"


@pytest.mark.parametrize("path", ["/run/a/../b//c.ipc", "/run/./b/c.ipc"])
def test_a_path_is_written_in_one_way(path: str) -> None:
    """So that two names of one file are one address."""
    assert at(path).path == "/run/b/c.ipc"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.0.0.1",
        "0.0.0.0",
        "*",
        "[::]",
        "[2001:db8::1]",
        "localhost.example.com",
        "eth0",
    ],
)
def test_over_tcp_there_are_keys_or_it_is_said_to_be_insecure(host: str) -> None:
    """On loopback too, which every user of the host can reach. Otherwise the error says how to make keys."""
    address = f"tcp://{host}:65535"
    with pytest.raises(ReporterOptionError, match=re.escape(repr(address)) + ".*keygen DIR.*keys=DIR.*insecure=True"):
        checked(address, keys=None, insecure=False)

    assert checked(address, keys="keys", insecure=False) == Address(address, None)
    assert checked(address, keys=None, insecure=True) == Address(address, None)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "metrics.ipc",
        "ipc:metrics.ipc",
        "ipc://",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:http",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:-1",
        "tcp://::1:5550",
        "tcp://127.0.0.1:5550/metrics",
        "http://127.0.0.1:5550",
        "inproc://metrics",
        "pgm://127.0.0.1:5550",
        " tcp://127.0.0.1:5550",
        "tcp://127.0.0.1:5550\n",
    ],
)
@pytest.mark.parametrize("keys", [None, "keys"])
def test_what_is_no_address(address: str, keys: object) -> None:
    """It is refused, with the value and what there could be instead."""
    with pytest.raises(ReporterOptionError, match="socket_addr is 'ipc://PATH' or 'tcp://HOST:PORT', not ") as caught:
        checked(address, keys=keys, insecure=True)

    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", [None, 5550, b"ipc://metrics.ipc", Path("metrics.ipc")])
def test_what_is_no_string(address: object) -> None:
    """It is refused, and not read as one."""
    with pytest.raises(ReporterOptionError, match="socket_addr is a str like ") as caught:
        checked(address, keys=None, insecure=False)

    assert repr(address) in str(caught.value)


@sides
def test_each_side_checks_its_address(make: Callable[..., object]) -> None:
    """When it is made, and with the keys that it is given, or the leave to have none."""
    for address in ("metrics.ipc", "tcp://127.0.0.1:5550", None):
        with pytest.raises(ReporterOptionError, match="socket_addr"):
            make(address)

    make("tcp://127.0.0.1:5550", insecure=True)


def test_a_path_that_is_too_long_for_the_system() -> None:
    """The system cuts it off, or refuses it with an error that does not say so. Bytes count, not characters."""
    longest = "/tmp/" + "x" * 102
    assert at(longest).path == longest

    for path in (longest + "x", "/tmp/" + "ü" * 52):
        with pytest.raises(ReporterOptionError, match=r"has 10[89] bytes\. The system takes 107: choose a shorter one"):
            at(path)


def test_a_relative_path_may_be_too_long_for_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows what it has become."""
    deep = folder / ("x" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)

    with pytest.raises(ReporterOptionError, match=r"socket_addr is 'ipc://metrics.ipc', whose path '/tmp/.*x/metrics"):
        at("metrics.ipc")
