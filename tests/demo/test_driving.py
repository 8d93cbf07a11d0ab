"""Customers are sent for a time, and a line shows how they get on."""

from __future__ import annotations

import io
import signal
import threading
import time

import pytest

from examples.shop.clients import Customer
from examples.shop.driving import Interruption, Progress, drive
from tests.servers.processes import PATIENCE, free_port


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Whether it is one."""
        return True


class Asker(Customer):
    """A customer who is answered at once."""

    def shop(self, pausing: threading.Event) -> None:
        """Take one answer, and wait for the pause."""
        self.sent += 1
        self.answered += 1
        pausing.wait()


def test_the_line_is_written_over_on_a_terminal_and_is_a_log_elsewhere() -> None:
    """Ten times a second it is renewed where people look at it; in a file it is written every other second."""
    terminal, file = Progress(Terminal()), Progress(io.StringIO())

    for progress in (terminal, file):
        for elapsed, answered in ((0.0, 0), (0.05, 20), (2.0, 1000), (2.1, 1050)):
            progress.show(elapsed, answered)
        progress.end(2.5, 1250)

    def written(progress: Progress) -> str:
        stream = progress._stream
        assert isinstance(stream, io.StringIO)
        return stream.getvalue()

    assert written(terminal) == (
        "   0.0 s         0 requests answered         0 a second\r"
        "   2.0 s     1,000 requests answered       500 a second\r"
        "   2.1 s     1,050 requests answered       500 a second\r"
        "   2.5 s     1,250 requests answered       500 a second\n"
    )
    assert written(file) == (
        "   2.0 s     1,000 requests answered       500 a second\n"
        "   2.5 s     1,250 requests answered       500 a second\n"
    )


def test_the_second_half_goes_on_where_the_first_has_ended() -> None:
    """The seconds for which customers have been sent count, and not those in which they pause."""
    stream = io.StringIO()
    progress = Progress(stream)
    customers = [Asker("http://127.0.0.1:1/", 1), Asker("http://127.0.0.1:1/", 2)]
    progress.end(PATIENCE, 0)
    start = time.monotonic()

    drive(customers, PATIENCE + 0.1, progress, Interruption())

    assert time.monotonic() - start < PATIENCE
    assert progress.elapsed >= PATIENCE + 0.1
    assert stream.getvalue().splitlines()[-1].startswith(f"{progress.elapsed:6.1f} s         2 requests answered")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_driving(number: signal.Signals) -> None:
    """It raises nothing, and whoever drives finds it requested."""
    interruption, progress = Interruption(), Progress(io.StringIO())
    before = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
    interruption.listen()
    try:
        signal.raise_signal(number)
        drive([Asker("http://127.0.0.1:1/", 1)], PATIENCE, progress, interruption)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])

    assert interruption.requested
    assert progress.elapsed < PATIENCE


def test_the_driving_ends_when_all_have_left() -> None:
    """A shop that is not there is no reason to wait."""
    customer, progress = Customer(f"http://127.0.0.1:{free_port()}/", 1), Progress(io.StringIO())

    drive([customer], PATIENCE, progress, Interruption())

    assert progress.elapsed < PATIENCE
    assert isinstance(customer.error, ConnectionRefusedError)
