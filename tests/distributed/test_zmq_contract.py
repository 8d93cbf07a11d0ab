"""The life of the reporter that publishes to an aggregator, by the contract that every reporter is held to."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from typing import ClassVar, List, Optional

import pytest
import zmq

from tapes.distributed import link
from tapes.distributed.addresses import checked
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.receiver import Receiver
from tapes.distributed.reporter import ZmqReporter
from tapes.distributed.unified import UnifiedRegistry
from tapes.registry import Registry
from tapes.reporting import Reporter
from tapes.testing import MemoryReporter, ReporterContract
from tests.servers.processes import free_port


class PublishingContract(ReporterContract):
    """What is the same wherever the aggregator is."""

    address: str

    def setup_method(self) -> None:
        """Make a folder with a short path, as sockets need it."""
        self.folder = tempfile.mkdtemp(dir="/tmp", prefix="tz")
        self.others: List[Reporter] = []

    def teardown_method(self) -> None:
        """Leave nothing behind."""
        for other in self.others:
            other.stop(0.1)
        shutil.rmtree(self.folder)

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

    def setup_method(self) -> None:
        """Receive."""
        super().setup_method()
        address = checked(f"ipc://{self.folder}/metrics.ipc", keys=None, insecure=False)
        self.address = address.text
        self.receiver = Receiver(UnifiedRegistry(), address)
        self.receiver.start()

    def teardown_method(self) -> None:
        """Receive no more."""
        super().teardown_method()
        assert self.receiver.stop(30)


class TestToAnAggregator(PublishingContract):
    """To a process of its own, over TCP."""

    aggregator: ClassVar[RegistryAggregator]

    @classmethod
    def setup_class(cls) -> None:
        """Start an aggregator."""
        cls.address = f"tcp://127.0.0.1:{free_port()}"
        cls.aggregator = RegistryAggregator(MemoryReporter(3600), cls.address, insecure=True)
        cls.aggregator.start()

    @classmethod
    def teardown_class(cls) -> None:
        """End it."""
        cls.aggregator.stop()

    def teardown_method(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)
        super().teardown_method()

    def hang_far_end(self) -> None:
        """Hold it still."""
        self.signal(signal.SIGSTOP)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        pid = self.aggregator.pid
        assert pid is not None, "It has ended."
        os.kill(pid, number)


class PublishingToNobody(PublishingContract):
    """Where no last report is ever confirmed, and nobody should wait for that for long in a test."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(link, "FAREWELL", 0.1)

    def setup_method(self) -> None:
        """Be where nobody is."""
        super().setup_method()
        self.address = f"ipc://{self.folder}/metrics.ipc"


class TestWithoutAnAggregator(PublishingToNobody):
    """That is no failure: what is not told now is told when there is somebody."""


class TestToSomebodyWhoReadsNothing(PublishingToNobody):
    """To a far end that asks for everything, and takes nothing of it."""

    hanging = False

    def setup_method(self) -> None:
        """Ask for everything, with the smallest of buffers."""
        super().setup_method()
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.ask)
        self.thread.start()

    def teardown_method(self) -> None:
        """Ask no more."""
        super().teardown_method()
        self.closing.set()
        self.thread.join()

    def ask(self) -> None:
        """Be the far end."""
        context = zmq.Context()
        socket = context.socket(zmq.SUB)
        for option, value in ((zmq.RCVHWM, 1), (zmq.RCVBUF, 4096), (zmq.LINGER, 0)):
            socket.setsockopt(option, value)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.bind(self.address)
        while not self.closing.wait(0.01):
            socket.getsockopt(zmq.EVENTS)  # so that it is subscribed, wherever somebody connects
        socket.close()
        context.term()

    def make_reporter(self, registry: Optional[Registry]) -> Reporter:
        """Publish to it; so much, if it hangs, that all buffers are full."""
        if self.hanging and registry is not None:
            for number in range(20_000):
                registry.counter(f"{'large' * 200}.{number}")
        return super().make_reporter(registry)

    def hang_far_end(self) -> None:
        """Let there be much to read."""
        self.hanging = True
