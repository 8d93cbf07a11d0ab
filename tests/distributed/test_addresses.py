"""Addresses of aggregators: what they may be, and that one aggregator at a time has one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from tapes.distributed import addresses
from tapes.distributed.addresses import Address, checked
from tapes.distributed.claims import Claim
from tapes.errors import ReporterError, ReporterOptionError


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder with a short path, as sockets need it."""
    path = Path(tempfile.mkdtemp(dir="/tmp", prefix="tz"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def at(path: Path) -> Address:
    """Return the address of a socket."""
    return checked(f"ipc://{path}", keys=None, insecure=False)


# What they may be.


def test_a_relative_path_is_that_of_the_folder_at_the_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that goes to another folder later still talks to the same aggregator."""
    monkeypatch.chdir(folder)
    address = checked("ipc://metrics.ipc", keys=None, insecure=False)
    monkeypatch.chdir("/")

    assert address == Address(f"ipc://{folder}/metrics.ipc", f"{folder}/metrics.ipc")
    assert str(address) == address.text
    assert checked(address.text, keys=None, insecure=False) == address


def test_the_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a file in the working directory, the same for workers and aggregators."""
    monkeypatch.chdir(folder)

    assert checked(addresses.DEFAULT, keys=None, insecure=False).path == f"{folder}/tapes_metrics.ipc"


@pytest.mark.parametrize("path", ["/run/a/../b//c.ipc", "/run/./b/c.ipc"])
def test_a_path_is_written_in_one_way(path: str) -> None:
    """So that two names of one file are one address."""
    assert checked(f"ipc://{path}", keys=None, insecure=False).path == "/run/b/c.ipc"


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:5550",
        "tcp://localhost:65535",
        "tcp://[::1]:5550",
        "tcp://10.0.0.1:5550",
        "tcp://0.0.0.0:5550",
        "tcp://*:5550",
        "tcp://[::]:5550",
        "tcp://metrics.example.com:5550",
        "tcp://localhost.example.com:5550",
        "tcp://eth0:5550",
    ],
)
def test_over_tcp_there_are_keys_or_it_is_said_to_be_insecure(address: str) -> None:
    """On loopback too, which every user of the host can reach. Otherwise the error says how to make keys."""
    with pytest.raises(ReporterOptionError, match=re.escape(address) + ".*keygen DIR.*keys=DIR.*insecure=True"):
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
    with pytest.raises(ReporterOptionError, match=r"socket_addr is a str like 'ipc://metrics.ipc'"):
        checked(address, keys=None, insecure=False)


def test_a_path_that_is_too_long_for_the_system() -> None:
    """The system cuts it off, or refuses it with an error that does not say so. Bytes count, not characters."""
    longest = "/tmp/" + "x" * 102
    assert checked(f"ipc://{longest}", keys=None, insecure=False).path == longest

    for path in (longest + "x", "/tmp/" + "ü" * 52):
        with pytest.raises(ReporterOptionError, match=r"has 10[89] bytes\. The system takes 107: choose a shorter one"):
            checked(f"ipc://{path}", keys=None, insecure=False)


def test_a_relative_path_may_be_too_long_for_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error shows what it has become."""
    deep = folder / ("x" * 100)
    deep.mkdir()
    monkeypatch.chdir(deep)

    with pytest.raises(ReporterOptionError, match=r"socket_addr is 'ipc://metrics.ipc', whose path '/tmp/.*x/metrics"):
        checked("ipc://metrics.ipc", keys=None, insecure=False)


# Who has one.


def test_a_second_claim_of_the_same_process_is_refused(folder: Path) -> None:
    """Until the first is released."""
    first = Claim(at(folder / "a.ipc"))
    with pytest.raises(
        ReporterError, match=rf"an aggregator \(process {os.getpid()}\) at ipc://{folder}/a.ipc already"
    ):
        Claim(at(folder / "a.ipc"))
    Claim(at(folder / "b.ipc")).release()
    first.release()

    second = Claim(at(folder / "a.ipc"))
    second.release()
    assert list(folder.iterdir()) == []


HOLD = """
import sys
from tapes.distributed.addresses import checked
from tapes.distributed.claims import Claim
claim = Claim(checked(sys.argv[1], keys=None, insecure=False))
print("claimed", flush=True)
sys.stdin.read()
claim.release()
"""


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Return a process that has claimed `a.ipc`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, f"ipc://{folder}/a.ipc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_claim_of_another_process_is_respected(folder: Path, holder: subprocess.Popen[str]) -> None:
    """The error says which process it is. When it ends in good order nothing is left."""
    with pytest.raises(ReporterError, match=rf"an aggregator \(process {holder.pid}\) at ipc://{folder}/a.ipc already"):
        Claim(at(folder / "a.ipc"))
    holder.communicate("")
    assert list(folder.iterdir()) == []

    claim = Claim(at(folder / "a.ipc"))
    assert claim.is_first
    claim.release()


def test_a_claim_ends_with_its_process(folder: Path, holder: subprocess.Popen[str]) -> None:
    """However that ends: what a killed one has left is no obstacle."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert [file.name for file in folder.iterdir()] == ["a.ipc.lock"]

    claim = Claim(at(folder / "a.ipc"))
    claim.release()
    assert list(folder.iterdir()) == []


def test_a_socket_that_was_left_behind_is_removed(folder: Path) -> None:
    """It tells that an aggregator has been there before which did not end in good order."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "a.ipc"))

    claim = Claim(at(folder / "a.ipc"))

    assert not (folder / "a.ipc").exists()
    assert not claim.is_first
    claim.release()


def test_a_file_that_is_no_socket_is_left_alone(folder: Path) -> None:
    """It is somebody's, who did not mean it to be removed; and the address can be claimed when it is gone."""
    (folder / "a.ipc").write_text("precious")
    with pytest.raises(ReporterError, match=r"a\.ipc' is a file, and no socket"):
        Claim(at(folder / "a.ipc"))
    assert (folder / "a.ipc").read_text() == "precious"
    assert [file.name for file in folder.iterdir()] == ["a.ipc"]
    (folder / "a.ipc").unlink()

    Claim(at(folder / "a.ipc")).release()


def test_the_lock_is_private(folder: Path) -> None:
    """As the socket is."""
    claim = Claim(at(folder / "a.ipc"))

    assert stat.S_IMODE((folder / "a.ipc.lock").stat().st_mode) == 0o600
    claim.release()


def test_releasing_twice_takes_nothing_from_the_next(folder: Path) -> None:
    """Only who has the address lets it go."""
    first = Claim(at(folder / "a.ipc"))
    first.release()
    second = Claim(at(folder / "a.ipc"))
    first.release()

    with pytest.raises(ReporterError, match="already"):
        Claim(at(folder / "a.ipc"))
    second.release()


def test_a_forked_child_does_not_release_what_its_parent_has(folder: Path) -> None:
    """Nor does it have it."""
    claim = Claim(at(folder / "a.ipc"))
    pid = os.fork()
    if not pid:
        status = 1
        try:
            claim.release()
            try:
                Claim(at(folder / "a.ipc"))
            except ReporterError:
                status = 0
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (folder / "a.ipc.lock").exists()
    claim.release()


def test_a_folder_that_is_not_there(folder: Path) -> None:
    """The error names the address and says what to do."""
    with pytest.raises(
        OSError, match=rf"cannot be at ipc://{folder}/no/a.ipc: .*a.ipc.lock: No such file.*Choose a folder"
    ):
        Claim(at(folder / "no" / "a.ipc"))


def test_a_tcp_address_has_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses a second aggregator at a port by itself."""
    monkeypatch.chdir(folder)
    address = checked("tcp://127.0.0.1:5550", keys=None, insecure=True)
    claims = [Claim(address), Claim(address)]

    assert [claim.is_first for claim in claims] == [True, True]
    for claim in claims:
        claim.release()
    assert list(folder.iterdir()) == []
