"""Customers sent to the shop for a time, and a line that shows how they get on."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from examples.shop.clients import Customer


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


class Progress:
    """One line that is written over and over on a terminal, and a line every other second elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self.elapsed = 0.0
        """Seconds for which customers have been sending requests."""
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
        self.elapsed = elapsed
        self._write(elapsed, answered, "\n")

    def _write(self, elapsed: float, answered: int, end: str) -> None:
        rate = answered / elapsed if elapsed else 0.0
        print(f"{elapsed:6.1f} s {answered:>9,} requests answered {rate:>9,.0f} a second", end=end, file=self._stream)
        self._stream.flush()


def drive(customers: Sequence[Customer], until: float, progress: Progress, interruption: Interruption) -> None:
    """Have the customers send requests until they have done so for `until` seconds, and return when they pause."""
    pausing = threading.Event()
    threads = [threading.Thread(target=customer.shop, args=(pausing,), daemon=True) for customer in customers]
    start = time.monotonic() - progress.elapsed
    for thread in threads:
        thread.start()
    while (elapsed := time.monotonic() - start) < until and not interruption.requested:
        progress.show(elapsed, answered(customers))
        time.sleep(min(0.1, until - elapsed))
        if not any(thread.is_alive() for thread in threads):
            break
    pausing.set()
    for thread in threads:
        thread.join()
    progress.end(time.monotonic() - start, answered(customers))


def answered(customers: Sequence[Customer]) -> int:
    """Return how many requests of all customers were answered."""
    return sum(customer.answered for customer in customers)
