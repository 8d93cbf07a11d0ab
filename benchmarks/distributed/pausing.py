"""How long an application stands still that records while thousands of timers are published and reported.

As a program it is that application.
"""

from __future__ import annotations

import gc
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from itertools import cycle

from benchmarks.distributed.address import aggregator
from benchmarks.distributed.child import Child, answer
from benchmarks.distributed.results import Pauses
from tapes.distributed.registry import DistributedRegistry
from tapes.reporting.http import HTTPReporter
from tapes.reporting.statsd import StatsdReporter

TIMERS = 20_000

_INTERVAL = 1.0
_BEFORE = 12.0  # seconds until as much has been told as is remembered
_FETCH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()"


def pauses(seconds: float) -> Pauses:
    """Return how long a loop that records stood still, by itself and while all of that goes on, for so long each."""
    with Child("pausing") as idle:
        alone, *_ = idle.ask("stand_still", "", seconds)
    with aggregator() as (address, _), Child("pausing") as busy:
        longest, often, looks = busy.ask("stand_still", address, seconds)
    return Pauses(TIMERS, seconds, alone, longest, often, looks)


def stand_still(address: str, seconds: float) -> tuple[float, int, int]:
    """Return the longest time in which nothing was recorded, and how often it was more than 20 ms.

    And how often the interpreter looked for garbage among all objects.
    """
    registry = DistributedRegistry(address) if address else DistributedRegistry()
    timers = [registry.timer(f"shop.route{number}.latency") for number in range(TIMERS)]
    latencies = [random.lognormvariate(-4, 1) for _ in range(1000)]
    with ExitStack() as stack:
        if address:
            stack.callback(registry.close)
            registry.connect()
            page = stack.enter_context(HTTPReporter(0, registry))
            statsd = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            statsd.bind(("127.0.0.1", 0))
            stack.enter_context(StatsdReporter(_INTERVAL, "127.0.0.1", statsd.getsockname()[1], registry=registry))
            over = threading.Event()
            stack.callback(over.set)
            threading.Thread(target=_scrape, args=(page.url, over), daemon=True).start()
        begins = time.perf_counter() + _BEFORE
        last, longest, often = begins, 0.0, 0
        looks: list[float] = []
        gc.callbacks.append(lambda phase, info: looks.append(time.perf_counter()) if info["generation"] == 2 else None)
        for timer, latency in zip(cycle(timers), cycle(latencies)):
            timer.update(latency)
            now = time.perf_counter()
            if now > begins:
                longest = max(longest, now - last)
                often += now - last > 0.02
                if now > begins + seconds:
                    break
                last = now
    return longest, often, sum(each > begins for each in looks) // 2


def _scrape(url: str, over: threading.Event) -> None:
    while not over.wait(_INTERVAL):
        subprocess.run([sys.executable, "-c", _FETCH, url], check=False)


if __name__ == "__main__":
    answer({"stand_still": stand_still})
