"""Open a shop of several processes, send customers, kill a worker, and check that not one request is missing.

    python -m examples.shop.demo --seconds 5
    python -m examples.shop.demo --statsd localhost:8125

A worker that is killed takes along what it has counted since it last told the aggregator, a second's worth at most. So
the customers pause half-way until the aggregator has counted all that was answered: now there is nothing to take along,
and the comparison at the end is exact.

The exit code is 0 only if the requests that were answered, by the customers' own count, are the unified count of the
timer `shop.request`. A StatsD that is down is mentioned, and changes nothing about that.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from examples.shop.clients import Customer
from examples.shop.destination import Destination, destination
from examples.shop.driving import Interruption, Progress, answered, drive
from examples.shop.process import APP, METRICS, Shop, ShopError, open_shop
from examples.shop.table import Tree, by_worker, render, total_count, total_value

CUSTOMERS = 8
TIMER = "shop.request"
COUNTERS = "http.*.requests"
STOCK = "shop.stock"
STREAM = "shop-metrics.jsonl"
CONFIG = f"""
[aggregator]
socket_addr = "ipc://{METRICS}"
by_worker = true
linger = 1

[reporters.stream]
interval = 1
path = "{STREAM}"

"""


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
        try:
            Path(folder, "tapes.toml").write_text(config(options.statsd))
            with open_shop([*APP, "--port", "0"], Path(folder)) as shop:
                print(f"A shop is open at {shop.url}, {CUSTOMERS} customers come for {options.seconds:g} s.")
                print(f"It is served by the workers {', '.join(map(str, shop.workers))}.")
                if options.statsd:
                    print(f"The aggregator reports to the StatsD at {options.statsd} too, under the prefix 'demo'.")
                customers = [Customer(shop.url, seed) for seed in range(CUSTOMERS)]
                drive_and_kill(shop, customers, options.seconds, interruption)
                stats = shop.stats_when(lambda stats: total_count(stats, TIMER) == answered(customers))
            last_report = json.loads(Path(folder, STREAM).read_text().splitlines()[-1])
        except ShopError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
    print(f"\nThe metrics of all workers, from {shop.metrics_url}\n\n{render(stats)}\n")
    fault = compare(customers, total_count(stats, TIMER), total_count(last_report, TIMER))
    print(fault or "They are the same.")
    if options.statsd:
        print(f"\n{delivery(options.statsd, shop.log, total_value(last_report, COUNTERS))}")
    elif shop.log:
        print(f"\nThe shop has logged:\n{shop.log}")
    return 1 if fault else 0


def seconds(text: str) -> float:
    """Read a number of seconds from the command line."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def config(statsd: Destination | None) -> str:
    """Return the configuration of the shop's metrics: all that there is to say about processes and destinations."""
    text = CONFIG
    if statsd:
        text += f'[reporters.statsd]\ninterval = 1\nhost = "{statsd.host}"\nport = {statsd.port}\nprefix = "demo"\n'
    return text


def drive_and_kill(shop: Shop, customers: Sequence[Customer], duration: float, interruption: Interruption) -> None:
    """Send the customers for `duration` seconds, and kill a worker in the middle."""
    progress = Progress(sys.stdout)
    drive(customers, duration / 2, progress, interruption)
    if not interruption.requested:
        kill_a_worker(shop, answered(customers))
        drive(customers, duration, progress, interruption)
    for customer in customers:
        customer.leave()


def kill_a_worker(shop: Shop, requests: int) -> None:
    """Kill the worker that has counted most of all `requests`, and show what becomes of its count."""
    before = settled(shop, requests)
    counts, stock = by_worker(before, TIMER, "count"), by_worker(before, STOCK, "value")
    each = ", ".join(f"{counts.get(worker, 0):,} by {worker}" for worker in shop.workers)
    print(f"The customers pause. All {requests:,} requests are counted: {each}.")
    victim = max(shop.workers, key=lambda worker: counts.get(worker, 0))
    successor = shop.replace(victim)
    after = settled(shop, requests)
    print(
        f"Worker {victim} was killed and replaced by {successor}; "
        f"what it had counted stays in the totals: {total_count(after, TIMER):,} as before.\n"
        f"Its gauges are gone: {stock[victim]:,} of {total_value(before, STOCK):,} articles in stock were on its "
        f"shelves; with its successor's there are {total_value(after, STOCK):,}."
    )


def settled(shop: Shop, requests: int) -> Tree:
    """Return the metrics when all `requests` are counted, and the gauges are those of the workers that there are.

    Raises ShopError if that does not come to be.
    """
    workers = set(shop.workers)
    stats = shop.stats_when(
        lambda stats: total_count(stats, TIMER) == requests and set(by_worker(stats, STOCK, "value")) == workers
    )
    counted, known = total_count(stats, TIMER), set(by_worker(stats, STOCK, "value"))
    if counted != requests or known != workers:
        raise ShopError(
            f"{requests:,} requests were answered, and {counted:,} are counted. "
            f"The workers are {sorted(workers)}, and there are gauges of {sorted(known)}."
        )
    return stats


def compare(customers: Sequence[Customer], counted: int, reported: int) -> str | None:
    """Show what was answered and what was counted, and say what is wrong with that; None if nothing is."""
    sent = sum(customer.sent for customer in customers)
    if sent != answered(customers):
        print(
            f"{sent - answered(customers):,} of {sent:,} requests were sent and never answered: "
            f"their connections had gone with the worker. The customers made new ones."
        )
    counts = {
        "requests answered": answered(customers),
        f"unified count of the timer {TIMER}": counted,
        "its count in the last line of the stream": reported,
    }
    print("\n".join(f"{what:<42}{count:>12,}" for what, count in counts.items()))
    left = [f"{customer.name} left: {customer.error!r}" for customer in customers if customer.error is not None]
    return difference(counts) or "\n".join(left) or None


def difference(counts: dict[str, int]) -> str | None:
    """Say what is wrong with counts that should be the same and more than none; None if nothing is."""
    values = set(counts.values())
    if values == {0}:
        return "Not one request was answered."
    if len(values) > 1:
        return f"They differ by {max(values) - min(values):,}."
    return None


def delivery(statsd: Destination, log: str, total: int) -> str:
    """Say how the reports to a StatsD have fared, by the log of the shop. The counters have come to `total`."""
    failure = re.search(rf"{re.escape(f'udp://{statsd}')}: .+?(?=\. [A-Z]|$)", log, re.MULTILINE)
    if failure:
        return f"Not every report reached the StatsD ({failure[0]}). Is it running at {statsd}?"
    return (
        f"No report to the StatsD at {statsd} has failed, as far as UDP can tell.\n"
        f"Its counters demo.{COUNTERS}.value have grown by {total:,} altogether."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
