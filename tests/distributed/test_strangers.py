"""Connections that are of no use cost an aggregator nothing for long: of who says nothing, or has vanished."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import Dict, Iterator

import pytest
import zmq

from tapes.distributed import receiver as receivers
from tapes.distributed.receiver import NO_KEY, NOT_0MQ, REASONS, UNFINISHED, Receiver
from tapes.distributed.unified import UnifiedRegistry
from tests.distributed.faults.processes import Aggregator, site
from tests.distributed.receiving import at_port
from tests.distributed.servers.serving import accepts
from tests.servers.processes import PATIENCE, free_port, until

LONG = int(PATIENCE * 1000)
"""Milliseconds."""

FAMILIES = {"tcp": socket.AF_INET, "ipc": socket.AF_UNIX}

SILENT_PEER = """
import sys, time, zmq
peer = zmq.Context().socket(zmq.XPUB)
peer.connect(sys.argv[1])
peer.recv()
print("connected", flush=True)
time.sleep(600)
"""


GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0"
"""How a peer that speaks 0MQ begins, by ZeroMQ RFC 23. The mechanism of its security follows, in twenty bytes."""


@pytest.fixture
def registry() -> UnifiedRegistry:
    """Return what is received into."""
    return UnifiedRegistry()


@pytest.fixture
def address(
    monkeypatch: pytest.MonkeyPatch, registry: UnifiedRegistry, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Receive at an address, and return it. There is less patience than usual, but where somebody does say something.

    With that patience for all, who is late for want of a processor would be turned away for having said nothing.
    """
    for name, milliseconds in (
        ("_HANDSHAKE_TIMEOUT", getattr(request, "param", 300)),
        ("_BEAT", 100),
        ("_BEATEN", 300),
    ):
        monkeypatch.setattr(receivers, name, milliseconds)
    made = at_port()
    receiver = Receiver(registry, made)
    receiver.start()
    yield made.text
    receiver.stop(PATIENCE)


def connection(address: str) -> socket.socket:
    """Connect to an address of a port."""
    host, port = address[len("tcp://") :].split(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def test_who_says_nothing_is_cut_off(address: str) -> None:
    """Whoever connects has to say what it is."""
    with connection(address) as stranger:
        greeting = stranger.recv(1000)
        while stranger.recv(1000):
            pass

    assert greeting[:1] == b"\xff"


@pytest.mark.parametrize(
    ("said", "why", "address"),
    [
        (GREETING + b"CURVE".ljust(52, b"\0"), NO_KEY, LONG),
        (GREETING + b"NULL".ljust(52, b"\0") + b"\x04\x05NONE?", NOT_0MQ, LONG),
        (b"", UNFINISHED, 300),
        (GREETING, UNFINISHED, 300),
    ],
    ids=["keys", "damaged", "nothing", "half a greeting"],
    indirect=["address"],
)
def test_why_somebody_was_turned_away_is_counted(
    registry: UnifiedRegistry, address: str, said: bytes, why: str
) -> None:
    """By a tag with few values; those that have not occurred are there, too."""

    def counted() -> Dict[str, int]:
        return {tags: node.value for tags, node in registry.get_stats()["tapes"]["aggregator"]["refused"].items()}

    before = counted()
    with connection(address) as stranger:
        stranger.sendall(said)
        until(lambda: counted() != before, "it is counted")

    assert before == {f"why={reason}": 0 for reason in REASONS}
    assert counted() == {**before, f"why={why}": 1}


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="The descriptors are counted by the means of Linux.")
def test_who_has_vanished_leaves_no_connection_behind(address: str) -> None:
    """A peer that gives no sign of life holds no descriptor, though nothing says that it has gone."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with subprocess.Popen([sys.executable, "-c", SILENT_PEER, address], stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        try:
            assert peer.stdout.readline() == b"connected\n"
            connected = descriptors()
            peer.send_signal(signal.SIGSTOP)
            until(lambda: descriptors() < connected, "the connection is closed")
        finally:
            peer.kill()


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_strangers_leave_descriptors_for_the_rest(transport: str) -> None:
    """More of them than there may be descriptors: the page is served, and workers get in once they have gone."""
    if not sys.platform.startswith("linux"):
        pytest.skip("These faults are made by the means of Linux.")
    with site() as place:
        few = ["sh", "-c", 'ulimit -n 160 && exec "$@"', "sh"]
        port = free_port()
        aggregator = place.aggregator(address=f"tcp://127.0.0.1:{port}" if transport == "tcp" else "", within=few)
        aggregator.start()
        with ExitStack() as strangers, zmq.Context() as context, context.socket(zmq.XPUB) as peer:
            peer.setsockopt(zmq.LINGER, 0)
            peer.connect(aggregator.address)
            peer.recv()
            for number in range(1, 221):
                stranger = strangers.enter_context(socket.socket(FAMILIES[transport]))
                stranger.settimeout(PATIENCE)
                with suppress(OSError):  # as soon as nobody else is let in
                    stranger.connect(("127.0.0.1", port) if transport == "tcp" else str(aggregator.socket))
                    stranger.recv(1)
                if number % 16 == 0:
                    # It looks at its descriptors after each message, so it never gets far behind: 0MQ ends a process
                    # that has no descriptor left for an `ipc://` address.
                    expected = aggregator.own("bad_frames") + 1
                    until(lambda: drops_frames(aggregator, peer, expected), "it looks")  # noqa: B023
            until(lambda: "accepts no more" in aggregator.said(), "it says so")
            assert aggregator.own("workers") == 0
        worker = place.worker(aggregator.address)
        worker.record(100)

        assert aggregator.await_picture(place.recorded) == place.recorded


def drops_frames(aggregator: Aggregator, peer: zmq.Socket[bytes], number: int) -> bool:
    """Send a damaged frame, and return whether the aggregator has dropped so many by now."""
    peer.send(b"damaged")
    dropped: int = aggregator.own("bad_frames")
    return dropped >= number


class Scarce:
    """Descriptors that are short for as long as a test says so."""

    limit = 10
    short = False
    looks = 0

    def are_short(self) -> bool:
        """Say so."""
        return self.short

    def are_plenty(self) -> bool:
        """Say so, and count who asks."""
        self.looks += 1
        return not self.short

    def give_back(self) -> None:
        """Do nothing."""

    def keep(self) -> None:
        """Do nothing."""


def test_a_port_that_is_taken_while_nobody_is_let_in_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The aggregator goes on with whom it hears, and listens again as soon as the other one has left the port."""
    descriptors = Scarce()
    monkeypatch.setattr(receivers, "Descriptors", lambda: descriptors)
    address = at_port()
    port = int(address.text.rpartition(":")[2])
    receiver = Receiver(UnifiedRegistry(), address)
    receiver.start()
    descriptors.short = True
    until(lambda: not accepts(port), "the port is closed")
    with socket.create_server(("127.0.0.1", port)):
        descriptors.short = False
        until(lambda: descriptors.looks > 3 or receiver.error, "it has tried to listen again")
    until(lambda: accepts(port) or receiver.error, "it listens again")
    stopped = receiver.stop(PATIENCE)

    assert (receiver.error, stopped) == (None, True)
