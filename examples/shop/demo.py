"""Open the shop, send customers, show its metrics, and check that not one request is missing from them.

    python -m examples.shop.demo --seconds 5
    python -m examples.shop.demo --statsd localhost:8125

The exit code is 0 only if the customers' own count of requests is the count of the timer `shop.request`. A StatsD that
is down is mentioned, and changes nothing about that.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from examples.shop.clients import Customer
from examples.shop.destination import Destination, destination
from examples.shop.process import STATSD, Shop, ShopError, open_shop
from examples.shop.table import render, total_count, total_value

SHOP = Path(__file__).parent
CUSTOMERS = 4
TIMER = "shop.request"
COUNTERS = "http.*.requests"
PATIENCE = 30.0  # seconds for the metrics to come


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
    parser.add_argument(
        "--statsd", type=destination, metavar="HOST:PORT", help="send the metrics to this StatsD too, over UDP"
    )
    options = parser.parse_args(arguments)
    interruption = Interruption()
    interruption.listen()
    with tempfile.TemporaryDirectory(prefix="tapes-demo-") as folder:
        stream = Path(folder) / "shop-metrics.jsonl"
        try:
            with open_shop([sys.executable, str(SHOP / "app.py")], Path(folder), options.statsd) as shop:
                print(f"A shop is open at {shop.url}, {CUSTOMERS} customers come for {options.seconds:g} s.")
                if options.statsd:
                    print(f"Its metrics go to the StatsD at {options.statsd} too, under the prefix {shop.prefix!r}.")
                customers = drive(shop.url, options.seconds, interruption)
                stats = fetch(shop.metrics_url)
            last_report = json.loads(stream.read_text().splitlines()[-1])
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
    if options.statsd:
        print(f"\n{delivery(options.statsd, shop, total_value(last_report, COUNTERS))}")
    return 1 if fault else 0


def seconds(text: str) -> float:
    """Read a number of seconds from the command line."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


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
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise ShopError(f"No metrics came from {url!r}: {error}") from error


def delivery(statsd: Destination, shop: Shop, total: int) -> str:
    """Say how the reports to a StatsD have fared, the counters of which have come to `total`."""
    made, failed, error = shop.reports[STATSD]
    if not made:
        reason = error or "none had come to an end when the shop closed"
        return f"Not one of {failed} reports reached the StatsD ({reason}). Is it running at {statsd}?"
    if failed:
        return f"{made} reports reached the StatsD at {statsd}, as far as UDP can tell, and {failed} did not ({error})."
    return (
        f"All {made:,} reports reached the StatsD at {statsd}, as far as UDP can tell.\n"
        f"Its counters {shop.prefix}.{COUNTERS}.value have grown by {total:,} altogether."
    )


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
