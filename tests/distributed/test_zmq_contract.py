"""The life of the reporter that publishes to an aggregator, by the contract that every reporter is held to."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from typing import Iterator, List, Optional
from unittest import mock

import pytest
import zmq

from tapes.distributed import link, service
from tapes.distributed.addresses import Address
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.reporter import ZmqReporter
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.testing import MemoryReporter, ReporterContract
from tests.distributed.receiving import at, at_port, receiving


@pytest.fixture(scope="module")
def aggregator() -> Iterator[RegistryAggregator]:
    """Start an aggregator for all tests."""
    aggregator = RegistryAggregator(MemoryReporter(3600), at_port().text, insecure=True)
    with mock.patch.object(service, "_CATCHING_UP", (0.0, 0.0)):  # there are no workers of one before it
        aggregator.start()
    yield aggregator
    aggregator.stop()


class PublishingContract(ReporterContract):
    """What is the same wherever the aggregator is."""

    @pytest.fixture(autouse=True)
    def _end_others(self, far_end: Address) -> Iterator[None]:
        self.address = far_end.text
        self.others: List[Reporter] = []
        yield
        for other in self.others:
            other.stop(0.1)

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Publish to the aggregator."""
        return ZmqReporter(self.interval, self.address, registry, insecure=True)

    def make_faulty_reporter(self, registry: Registry) -> Reporter:
        """Publish what is published to the same aggregator already."""
        other = self.make_reporter(registry)
        other.start()
        self.others.append(other)
        return self.make_reporter(registry)


class TestBesideAReceiver(PublishingContract):
    """To a thread of this process."""

    @pytest.fixture
    def far_end(self, folder: Path) -> Iterator[Address]:
        """Receive."""
        address = at(folder / "a")
        with receiving(address):
            yield address


class TestToAnAggregator(PublishingContract):
    """To a process of its own, over TCP."""

    @pytest.fixture
    def far_end(self, aggregator: RegistryAggregator) -> Iterator[Address]:
        """Let it go on after each."""
        assert aggregator.pid is not None
        self.pid = aggregator.pid
        yield aggregator.address
        os.kill(self.pid, signal.SIGCONT)

    def hang_far_end(self) -> None:
        """Hold it still."""
        os.kill(self.pid, signal.SIGSTOP)


class PublishingToNobody(PublishingContract):
    """Where no last report is ever confirmed, and nobody should wait for that for long in a test."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(link, "FAREWELL", 0.05)
        monkeypatch.setattr(link, "_NOBODY", 0.05)


class TestWithoutAnAggregator(PublishingToNobody):
    """That is no failure: what is not told now is told when there is somebody."""

    @pytest.fixture
    def far_end(self, folder: Path) -> Address:
        """Be where nobody is."""
        return at(folder / "a")


class TestToSomebodyWhoReadsNothing(PublishingToNobody):
    """To a far end that asks for everything, and takes nothing of it."""

    hanging = False

    @pytest.fixture
    def far_end(self, folder: Path) -> Iterator[Address]:
        """Ask for everything, with the smallest of buffers."""
        address, closing = at(folder / "a"), threading.Event()
        thread = threading.Thread(target=self.ask, args=(address.text, closing))
        thread.start()
        yield address
        closing.set()
        thread.join()

    def ask(self, address: str, closing: threading.Event) -> None:
        """Be the far end."""
        with zmq.Context() as context, contextlib.closing(context.socket(zmq.SUB)) as socket:
            for option, value in ((zmq.RCVHWM, 1), (zmq.RCVBUF, 4096), (zmq.LINGER, 0)):
                socket.setsockopt(option, value)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
            socket.bind(address)
            while not closing.wait(0.01):
                socket.getsockopt(zmq.EVENTS)  # so that it is subscribed, wherever somebody connects

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Publish to it; so much, if it hangs, that all buffers are full."""
        if self.hanging and registry is not None:
            for number in range(8_000):
                registry.counter(f"{'large' * 200}.{number}")
        return super().make_reporter(registry)

    def hang_far_end(self) -> None:
        """Let there be much to read."""
        self.hanging = True
