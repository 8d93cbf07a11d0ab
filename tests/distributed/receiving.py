"""What receives in this process, and the addresses where it does."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator, Optional
from unittest import mock

from tapes.distributed import service
from tapes.distributed.addresses import Address, checked
from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.keys import AggregatorKeys
from tapes.distributed.receiver import Receiver
from tapes.distributed.unified import UnifiedRegistry
from tests.servers.processes import PATIENCE, free_port, until


def at(path: object) -> Address:
    """Return the address of a socket."""
    return checked(f"ipc://{path}", keys=None, insecure=False)


def at_port() -> Address:
    """Return the address of a free port."""
    return checked(f"tcp://127.0.0.1:{free_port()}", keys=None, insecure=True)


@contextmanager
def receiving(address: Address, keys: Optional[AggregatorKeys] = None) -> Iterator[UnifiedRegistry]:
    """Receive at an address for a while, and provide what knows all that was received."""
    registry = UnifiedRegistry()
    receiver = Receiver(registry, address, keys)
    receiver.start()
    try:
        yield registry
    finally:
        assert receiver.stop(PATIENCE), "It does not end."


@contextmanager
def at_work(aggregator: RegistryAggregator) -> Iterator[None]:
    """Let an aggregator work in a thread of this process for a while. It waits for no workers of one before it."""
    thread = threading.Thread(target=aggregator.start, args=(False,), daemon=True)
    with mock.patch.object(service, "_CATCHING_UP", (0.0, 0.0)):
        thread.start()
        until(lambda: aggregator.reporters[0].running, "it works")
        try:
            yield
        finally:
            aggregator.stop()
            thread.join(PATIENCE)


def await_total(registry: UnifiedRegistry, total: int) -> None:
    """Wait until the counter `served` shows this total."""
    until(lambda: registry.get_stats().get("served", {}).get("value") == total, f"{total} were counted")
