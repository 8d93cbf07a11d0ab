"""The shop as seen from outside: opened, listened to, asked for its metrics, robbed of a worker, and closed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Callable

from examples.shop.table import Tree

ROOT = Path(__file__).resolve().parents[2]
APP = (sys.executable, "-m", "examples.shop.app")
METRICS = "metrics.ipc"
"""The file at which workers and aggregator of a demo meet, in its folder."""
DEADLINE = 30.0  # seconds for whatever is waited for


class ShopError(Exception):
    """The shop did not open, did not close in good order, or does not do what is waited for."""


class Shop:
    """A shop that is open, and what it says about itself."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.url = ""
        """Where it is open; empty until it is."""
        self.workers: list[int] = []
        """The process ids of those that serve."""
        self.log = ""
        """What it and the aggregator have logged; known when it has closed."""
        self._process = process
        self._successors: dict[int, int] = {}

    @property
    def metrics_url(self) -> str:
        """Where the metrics of all workers are."""
        return f"{self.url}metrics"

    def replace(self, worker: int) -> int:
        """Kill a worker, which has no chance to do anything more, and return the one that takes its place."""
        os.kill(worker, signal.SIGKILL)
        self.hear_until(lambda: worker in self._successors)
        if worker not in self._successors:
            raise ShopError(f"No worker has replaced worker {worker}.")
        return self._successors[worker]

    def stats(self) -> Tree:
        """Fetch the metrics."""
        try:
            with urllib.request.urlopen(self.metrics_url, timeout=DEADLINE) as answer:
                tree: Tree = json.load(answer)
                return tree
        except (OSError, ValueError) as error:
            raise ShopError(f"No metrics came from {self.metrics_url!r}: {error}") from error

    def stats_when(self, complete: Callable[[Tree], bool]) -> Tree:
        """Fetch the metrics until they are complete, and return them; those that there are if that takes too long."""
        deadline = time.monotonic() + DEADLINE
        while not complete(stats := self.stats()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return stats

    def hear_until(self, heard: Callable[[], bool]) -> None:
        """Take note of what the shop writes, until something was heard or it has ended."""
        assert self._process.stdout is not None  # it was asked for
        with ended_if_late(self._process):
            while not heard() and (line := self._process.stdout.readline()):
                self._hear(line)

    def _hear(self, line: str) -> None:
        if found := re.search(r"workers are (.+)", line):
            self.workers = [int(worker) for worker in found[1].split(", ")]
        if found := re.search(r"open at (\S+)", line):
            self.url = found[1]
        if found := re.match(r"Worker (\d+) .* replaced by (\d+)", line):
            worker, successor = int(found[1]), int(found[2])
            self._successors[worker] = self.workers[self.workers.index(worker)] = successor


@contextmanager
def open_shop(command: Sequence[str], folder: Path) -> Iterator[Shop]:
    """Run the shop in a process of its own, with its files in `folder`, and close it afterwards.

    Its metrics are configured by `tapes.toml` in the folder. The aggregator has ended, too, when this is left.

    Raises ShopError, with what the shop said, if it does not open, and if it does not close in good order.
    """
    errors = folder / "errors.txt"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=environment(folder),
            start_new_session=True,  # Ctrl-C is for the demo, which lets the shop finish what it is asked
        )
    shop = Shop(process)
    try:
        shop.hear_until(lambda: bool(shop.url))
        if not shop.url:
            process.wait()
            raise ShopError(f"The shop did not open: {ending(process)}.\n{errors.read_text().rstrip()}")
        yield shop
        process.terminate()
        shop.hear_until(lambda: False)
        process.wait()
        await_aggregator(folder)
        shop.log = "".join(log.read_text() for log in (errors, folder / f"{METRICS}.log") if log.exists()).rstrip()
        if process.returncode:
            raise ShopError(f"The shop did not close cleanly: {ending(process)}.\n{shop.log}")
    finally:
        kill_all(process)
        process.communicate()


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a shop in a folder."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "TAPES_CONFIG": str(folder / "tapes.toml")}


def await_aggregator(folder: Path) -> None:
    """Wait until the aggregator has ended, which it does some time after the last worker. Only its log may be left."""
    deadline = time.monotonic() + DEADLINE
    while left := sorted(path.name for path in folder.glob(f"{METRICS}*") if path.suffix != ".log"):
        if time.monotonic() > deadline:
            raise ShopError(f"The aggregator has not ended: there are still {', '.join(left)}.")
        time.sleep(0.02)


@contextmanager
def ended_if_late(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the shop if it takes too long to do what is waited for."""
    too_late = threading.Timer(DEADLINE, kill_all, [process])
    too_late.daemon = True
    too_late.start()
    try:
        yield
    finally:
        too_late.cancel()


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill the shop with all that it has forked, as far as it is there."""
    with suppress(ProcessLookupError, PermissionError):  # the latter is what macOS says of those that have ended
        os.killpg(process.pid, signal.SIGKILL)


def ending(process: subprocess.Popen[str]) -> str:
    """Say how a process has ended."""
    code = process.returncode
    return f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
