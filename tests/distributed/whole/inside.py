"""What every program of these tests begins with: `from tests.distributed.whole.inside import *`."""
# ruff: noqa: F401  what is imported here is for programs

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

from tapes.distributed.registry import DistributedRegistry, RegistryAggregator
from tapes.distributed.reporter import ZmqReporter
from tapes.instruments.counter import Counter
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.reporting.stream import ThreadedStreamReporter
from tests.distributed.patience import be_patient
from tests.servers import processes as servers
from tests.servers.processes import idle, is_there, others_wait

FOLDER = Path(os.environ["PLACE"])
ADDRESS = f"ipc://{FOLDER}/a"
HOUR = 3600.0
PATIENCE = 4 * servers.PATIENCE  # more than tests have, so that they say what has not happened

be_patient()
logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def worker_registry(address: str = ADDRESS, interval: float = 0.1, **options: Any) -> DistributedRegistry:
    """Make the registry of a worker that publishes often."""
    return DistributedRegistry(address, interval=interval, **options)


def counting(address: str = ADDRESS, **options: Any) -> Tuple[DistributedRegistry, Counter]:
    """Make the registry of a worker, and its counter `served`."""
    registry = worker_registry(address, **options)
    return registry, registry.counter("served")


def count(number: int, address: str = ADDRESS) -> None:
    """Be a worker that serves so many, and leaves."""
    registry, served = counting(address)
    served.increment(number)
    registry.connect()
    registry.close()


def aggregator(*reporters: Any, address: str = ADDRESS, **options: Any) -> RegistryAggregator:
    """Make an aggregator that writes to `report`, and by other reporters if they are given."""
    return RegistryAggregator(list(reporters) or stream(), address, **options)


def stream(interval: float = 0.05, name: str = "report") -> ThreadedStreamReporter:
    """Make a reporter that writes to a file of the folder."""
    return ThreadedStreamReporter(interval, path=FOLDER / name)


def forked(work: Callable[[], object]) -> int:
    """Fork a process that does `work` and exits as any interpreter does. Return its number."""
    pid = os.fork()
    if pid == 0:
        work()
        sys.exit()
    return pid


def processes(method: str, work: Callable[..., object], *arguments: object) -> List[Optional[int]]:
    """Start a process of multiprocessing with each argument, wait for all, and return their exit statuses."""
    context: Any = multiprocessing.get_context(method)
    started = [context.Process(target=work, args=(argument,)) for argument in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def join(*pids: int) -> None:
    """Wait for processes. Each has to end with status 0."""
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    assert not any(statuses), f"They have ended with {statuses}."


def until(happened: Callable[[], object], what: str = "it is so") -> None:
    """Wait until something is true."""
    servers.until(happened, what, PATIENCE)


def note(name: str) -> None:
    """Say something to the test and to other processes."""
    (FOLDER / name).touch()


def noted(name: str) -> None:
    """Wait until somebody has said that."""
    until((FOLDER / name).exists, f"{name} is noted")


def await_introduction(registry: DistributedRegistry) -> None:
    """Wait until the aggregator has been told of this process, which it waits for from then on when it ends."""

    def is_introduced() -> bool:
        link = registry._publisher._link
        return link is not None and link.publisher.position[1] > 0

    until(is_introduced, "the aggregator knows of this process")


def begin(registry: DistributedRegistry, served: Counter) -> None:
    """Be a worker that has counted one, and that the aggregator knows."""
    registry.connect()
    served.increment(1)
    await_introduction(registry)
    note(f"works{os.getpid()}")


def fork_workers(work: Callable[[], object], number: int = 3) -> List[int]:
    """Fork processes that `begin`, and return their numbers when all of them have."""
    pids = [forked(work) for _ in range(number)]
    for pid in pids:
        noted(f"works{pid}")
    return pids


def say(what: object) -> None:
    """Write a line in one piece, so that it stands by itself when several processes write to the same file."""
    os.write(1, f"{what}\n".encode())


def publishers() -> List[str]:
    """Return the threads of this process that publish."""
    return [thread.name for thread in threading.enumerate() if thread.name == "tapes-ZmqReporter"]
