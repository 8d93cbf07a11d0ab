"""An aggregator that is sent more than it can take in keeps its times, and what it owes to those who send little."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
import zmq

from tapes.distributed import frames, receiver
from tapes.distributed.addresses import Address, checked
from tapes.distributed.keeper import Keeper
from tapes.distributed.receiver import Receiver
from tapes.distributed.reporter import ZmqReporter
from tapes.distributed.unified import UnifiedRegistry
from tapes.registry import Registry
from tests.distributed.faults.processes import short_folder
from tests.distributed.simulated import Simulated, told
from tests.servers.processes import PATIENCE, until

HOUR = 3600.0


class Slow(UnifiedRegistry):
    """An aggregator that has more to do with each frame than the test could send it otherwise."""

    patience = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()

    def apply(self, message: bytes) -> bool:
        """Take in a message, and take a while."""
        time.sleep(self.patience)
        self.goes_on.wait(PATIENCE)
        return super().apply(message)


class Flood:
    """A peer that sends as much as it is let, and does not wait for anything."""

    def __init__(self, address: Address, message: bytes = bytes(100_000)) -> None:
        self._message = message
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        self._socket.setsockopt(zmq.SNDHWM, 4)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(address.text)
        assert self._socket.poll(int(PATIENCE) * 1000), "There is no aggregator."
        self.sent = 0

    def fill(self) -> None:
        """Send until nothing more is taken."""
        with suppress(zmq.Again):
            while True:
                self._socket.send(self._message, zmq.NOBLOCK)
                self.sent += 1

    def close(self) -> None:
        """Send no more."""
        self._socket.close()
        self._context.term()


class Place:
    """An aggregator in this process, and those who overload it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = checked(f"ipc://{folder}/a", keys=None, insecure=False)
        self.registry = Slow()
        self.keeper = Keeper(folder / "state")
        self.receiver = Receiver(self.registry, self.address, keeper=self.keeper)
        self.floods: List[Flood] = []

    def flood(self) -> None:
        """Keep it busy from now on: there is never a moment without a message."""
        if not self.floods:
            self.floods = [Flood(self.address) for _ in range(2)]
        for flood in self.floods:
            flood.fill()

    def until(self, happened: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Wait until something is true, and keep the aggregator busy meanwhile."""

        def look() -> object:
            self.flood()
            return happened()

        until(look, what, patience)

    def close(self) -> None:
        """Let it all end, without taking a while for what waits."""
        self.registry.patience = 0.0
        for flood in self.floods:
            flood.close()
        self.receiver.stop(PATIENCE)


def in_thread(call: Callable[[], Any]) -> threading.Thread:
    """Begin to call something."""
    thread = threading.Thread(target=call)
    thread.start()
    return thread


@pytest.fixture
def place() -> Iterator[Place]:
    """Provide an aggregator that receives."""
    with short_folder() as folder:
        made = Place(folder)
        made.receiver.start()
        try:
            yield made
        finally:
            made.close()


def test_a_worker_that_leaves_is_answered(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its farewell comes in its time, though others send without end."""
    monkeypatch.setattr("tapes.distributed.link.FAREWELL", PATIENCE)
    registry = Registry()
    registry.counter("served").increment(3)
    with ZmqReporter(HOUR, place.address.text, registry) as worker:
        until(lambda: "served" in place.registry.get_stats(), "it is heard")
        registry.counter("served").increment()
        place.flood()
        began = time.monotonic()
        stopping = in_thread(lambda: worker.stop(PATIENCE))
        place.until(lambda: not stopping.is_alive(), "it has left")
        took = time.monotonic() - began

    assert place.registry.get_stats().served.value == 4
    assert [each.left for each in place.registry.workers.values()] == [True]
    assert took < PATIENCE / 2, "It has waited as long as workers do to whom nobody answers."


def test_the_state_is_kept_and_the_dead_are_let_go(place: Place) -> None:
    """Both have their times, and not when no message is waiting, which may be never."""
    worker = Simulated(place.registry.clock, pid=os.getpid())
    worker.registry.gauge("level").set(3)
    for frame in worker.frames(frames.LEAVING | frames.ENDING):
        place.registry.apply(frame)
    place.until(lambda: not place.registry.workers, "the dead worker is let go")
    place.until(lambda: os.path.exists(place.keeper.path), "the state is written")

    assert "level" not in place.registry.get_stats()


def test_an_overloaded_aggregator_ends_in_its_time(place: Place) -> None:
    """It takes in what it can within a moment, and goes."""
    place.flood()
    stopping = in_thread(lambda: place.receiver.stop(PATIENCE))
    place.until(lambda: not stopping.is_alive(), "it has ended", PATIENCE / 2)

    assert place.receiver.error is None


@pytest.fixture
def held(place: Place) -> Flood:
    """Hold the aggregator still, and return a peer of which as much waits as may."""
    place.registry.goes_on.clear()
    flood = Flood(place.address, bytes(1 << 18))
    place.floods.append(flood)
    place.until(lambda: flood.sent >= 128, "so much waits as may")
    return flood


@pytest.mark.usefixtures("held")
def test_what_has_arrived_is_taken_in_before_the_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, if there is the time, and not what is taken in at once."""
    monkeypatch.setattr(receiver, "_LAST", PATIENCE)
    stopping = in_thread(lambda: place.receiver.stop(PATIENCE))
    place.registry.goes_on.set()
    stopping.join(PATIENCE)

    assert told(place.registry)["messages"] > 100  # a few are on their way yet


def test_what_waits_of_a_peer_is_bounded(place: Place, held: Flood) -> None:
    """What is beyond some frames stays with who sends it, in whose memory it may be of no use."""
    for _ in range(30):
        held.fill()
        time.sleep(0.01)
    place.registry.goes_on.set()

    assert held.sent < 160
