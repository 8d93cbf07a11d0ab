"""Open the shop, send customers, show its metrics, and check that not one request is missing from them.

    python -m examples.shop.demo --seconds 5

The exit code is 0 only if the customers' own count of requests is the count of the timer `shop.request`.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from examples.shop.clients import Customer
from examples.shop.table import render, total_count

SHOP = Path(__file__).parent
CUSTOMERS = 4
TIMER = "shop.request"
DEADLINE = 30.0  # seconds for the shop to open, and to close


class ShopError(Exception):
    """The shop did not open, or does not answer."""


class Shop(NamedTuple):
    """A shop that is open."""

    url: str
    metrics_url: str


class Interruption:
    """Remembers that Ctrl-C was pressed, or that the demo was told to end.

    A KeyboardInterrupt would come anywhere, in the middle of the table for instance; this is asked for where it suits.
    """

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """From now on neither of the two signals does anything else."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def _remember(self, *_: object) -> None:
        self.requested = True


def main(arguments: Sequence[str]) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="demo", description="Drive a small shop and check what it has measured.")
    parser.add_argument("--seconds", type=seconds, default=5.0, help="how long to send requests (default: 5)")
    options = parser.parse_args(arguments)
    interruption = Interruption()
    interruption.listen()
    with tempfile.TemporaryDirectory(prefix="tapes-demo-") as folder:
        reports = Path(folder) / "shop-metrics.jsonl"
        try:
            with open_shop([sys.executable, str(SHOP / "app.py")], Path(folder)) as shop:
                print(f"A shop is open at {shop.url}, {CUSTOMERS} customers come for {options.seconds:g} s.")
                customers = drive(shop.url, options.seconds, interruption)
                stats = fetch(shop.metrics_url)
            last_report = json.loads(reports.read_text().splitlines()[-1])
        except ShopError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    print(f"\nIts metrics, from {shop.metrics_url}\n\n{render(stats)}\n")
    for customer in customers:
        if customer.error is not None:
            print(f"{customer.name} left: {customer.error!r}")
    counts = {
        "requests sent by the customers": sum(customer.sent for customer in customers),
        "requests answered": sum(customer.answered for customer in customers),
        f"count of the timer {TIMER}": total_count(stats, TIMER),
        "its count in the last line of the stream": total_count(last_report, TIMER),
    }
    print("\n".join(f"{what:<42}{count:>12,}" for what, count in counts.items()))
    fault = difference(counts)
    print(fault or "They are the same.")
    return 1 if fault else 0


def seconds(text: str) -> float:
    """Read a number of seconds from the command line."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


@contextmanager
def open_shop(command: Sequence[str], folder: Path) -> Iterator[Shop]:
    """Run the shop in a process of its own, at free ports and with its files in `folder`, and end it afterwards.

    Raises ShopError if it does not open, with what it said.
    """
    config = folder / "tapes.toml"
    config.write_text(re.sub(r"^port = \d+", "port = 0", (SHOP / "tapes.toml").read_text(), flags=re.MULTILINE))
    errors = folder / "errors.txt"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*command, str(config), "--port", "0"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demo, which lets the shop finish what it is asked
        )
    try:
        shop = wait_until_open(process)
        if shop is None:
            raise ShopError(f"The shop did not open: exit code {process.wait()}.\n{errors.read_text().rstrip()}")
        yield shop
    finally:
        process.terminate()
        try:
            process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def wait_until_open(process: subprocess.Popen[str]) -> Shop | None:
    """Read what the shop announces. None if it ends, or takes so long that it is ended, before it is open."""
    assert process.stdout is not None  # it was asked for
    metrics_url = ""
    too_late = threading.Timer(DEADLINE, process.kill)
    too_late.daemon = True
    too_late.start()
    try:
        for line in process.stdout:
            if found := re.search(r"HTTPReporter\((.+)\)", line):
                metrics_url = f"http://{found[1]}/"
            if found := re.search(r"open at (\S+)", line):
                return Shop(found[1], metrics_url)
    finally:
        too_late.cancel()
    return None


def drive(url: str, duration: float, interruption: Interruption) -> list[Customer]:
    """Send customers for `duration` seconds and show how they get on. Return them when the last has left."""
    customers = [Customer(url, seed) for seed in range(CUSTOMERS)]
    progress = Progress(sys.stdout)
    start = time.monotonic()
    for customer in customers:
        customer.start()
    while (elapsed := time.monotonic() - start) < duration and not interruption.requested:
        progress.show(elapsed, sum(customer.answered for customer in customers))
        time.sleep(min(0.1, duration - elapsed))
        if not any(customer.is_alive() for customer in customers):
            break
    for customer in customers:
        customer.stopping = True
    for customer in customers:
        customer.join()
    progress.end(time.monotonic() - start, sum(customer.answered for customer in customers))
    return customers


class Progress:
    """One line that is written over and over on a terminal, and a line every other second elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_live = stream.isatty()
        self._next = 0.0 if self._is_live else 2.0

    def show(self, elapsed: float, answered: int) -> None:
        """Say how far it is, if it is time to."""
        if elapsed >= self._next:
            self._next = elapsed + (0.1 if self._is_live else 2.0)
            self._write(elapsed, answered, "\r" if self._is_live else "\n")

    def end(self, elapsed: float, answered: int) -> None:
        """Say how far it came."""
        self._write(elapsed, answered, "\n")

    def _write(self, elapsed: float, answered: int, end: str) -> None:
        rate = answered / elapsed if elapsed else 0.0
        print(f"{elapsed:6.1f} s {answered:>9,} requests answered {rate:>9,.0f} a second", end=end, file=self._stream)
        self._stream.flush()


def fetch(url: str) -> Any:
    """Fetch the metrics. Raises ShopError if they do not come."""
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise ShopError(f"No metrics came from {url!r}: {error}") from error


def difference(counts: dict[str, int]) -> str | None:
    """Say what is wrong with counts that should be the same and more than none; None if nothing is."""
    values = set(counts.values())
    if values == {0}:
        return "Not one request was sent."
    if len(values) > 1:
        return f"They differ by {max(values) - min(values):,}."
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
