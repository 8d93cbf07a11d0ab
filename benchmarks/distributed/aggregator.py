"""The aggregator of tapes, in a process of its own, with a reporter that answers what it is asked."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from benchmarks.distributed.child import answer
from benchmarks.distributed.process import most_resident, open_files, resident
from tapes.distributed.registry import RegistryAggregator
from tapes.reporting import Reporter
from tapes.reporting.run import Run

_POLL = 0.005


class Questions(Reporter):
    """Answers for as long as anybody asks, and then lets the aggregator end."""

    def work(self, run: Run) -> None:
        """Answer."""
        try:
            answer({"read": self.read, "usage": self.usage, "counted": self.counted, "until": self.until})
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def read(self, rounds: int) -> float:
        """Return how many seconds of processor time a read of the unified statistics takes, the least of `rounds`."""
        best = float("inf")
        for _ in range(rounds):
            started = time.thread_time()
            self.registry.get_stats()
            best = min(best, time.thread_time() - started)
        return best

    def usage(self) -> dict[str, float]:
        """Return what this process has taken of the machine until now."""
        pid = os.getpid()
        return {
            "processor": time.process_time(),
            "memory": resident(pid),
            "most": most_resident(pid),
            "files": open_files(pid),
        }

    def counted(self, path: str) -> Any:
        """Return the sum of the counts of all workers' metrics whose names begin so."""
        return sum(
            reading.statistics.get("count", reading.statistics.get("value")) or 0
            for reading in self.registry.snapshot().readings
            if reading.name.startswith(path) and reading.kind != "gauge" and not reading.name.startswith("tapes.")
        )

    def until(self, name: str, expected: int, patience: float) -> None:
        """Wait until the counter `name` shows what is expected. Only that counter is read, so it costs little.

        Raises RuntimeError if it does not within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        counter, value = None, 0
        while time.monotonic() < deadline:
            if counter is None:
                counter = next((metric for metric in self.registry if metric.name == name), None)
            else:
                value = counter.read(time.perf_counter()).value
                if value >= expected:
                    return
            time.sleep(_POLL)
        raise RuntimeError(f"{name!r} is {value} and not {expected} after {patience:g} s.")


if __name__ == "__main__":
    RegistryAggregator(Questions(), sys.argv[1]).start(fork=False)
