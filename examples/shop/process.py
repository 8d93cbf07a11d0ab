"""The shop in a process of its own: opened, asked where it is, and closed."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from examples.shop.destination import Destination

CONFIG = Path(__file__).with_name("tapes.toml")
DEADLINE = 30.0  # seconds for the shop to open, and to close

STATSD = "tornado-statsd"
"""The reporter of `tapes.toml` that sends to StatsD."""


class ShopError(Exception):
    """The shop did not open, did not close in good order, or does not answer."""


class Reports(NamedTuple):
    """How a reporter fared."""

    made: int
    failed: int
    error: str | None
    """Why the last of those that failed did."""


class Shop:
    """What the shop has said about itself."""

    def __init__(self) -> None:
        self.url = ""
        """Where it is open; empty until it is."""
        self.metrics_url = ""
        """Where its metrics are."""
        self.prefix = ""
        """What stands before the names that go to a StatsD."""
        self.reports: dict[str, Reports] = {}
        """How each of its reporters fared, by name; empty until it has closed."""

    def hear(self, line: str) -> None:
        """Take note of a line that the shop has written."""
        if found := re.search(r"HTTPReporter\((.+)\)", line):
            self.metrics_url = f"http://{found[1]}/"
        if found := re.search(r"StatsdReporter\(.*, prefix='(.+)'\)", line):
            self.prefix = found[1]
        if found := re.search(r"open at (\S+)", line):
            self.url = found[1]
        if found := re.match(r"Reports of (\S+): (\d+) made, (\d+) failed(?:, the last of these: (.*))?", line):
            self.reports[found[1]] = Reports(int(found[2]), int(found[3]), found[4])


@contextmanager
def open_shop(command: Sequence[str], folder: Path, statsd: Destination | None = None) -> Iterator[Shop]:
    """Run the shop in a process of its own, at free ports and with its files in `folder`, and close it afterwards.

    Its metrics go to `statsd` too, if there is one. Raises ShopError, with what the shop said, if it does not open, and
    if it does not close in good order.
    """
    config = folder / "tapes.toml"
    config.write_text(configuration(CONFIG.read_text(), statsd))
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
    assert process.stdout is not None  # it was asked for
    shop = Shop()
    try:
        with ended_if_late(process):
            while not shop.url and (line := process.stdout.readline()):
                shop.hear(line)
            if not shop.url:
                process.wait()
                raise ShopError(f"The shop did not open: {ending(process)}.\n{errors.read_text().rstrip()}")
        yield shop
        with ended_if_late(process):
            process.terminate()
            for line in process.stdout:
                shop.hear(line)
            if process.wait():
                raise ShopError(f"The shop did not close well: {ending(process)}.\n{errors.read_text().rstrip()}")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def ended_if_late(process: subprocess.Popen[str]) -> Iterator[None]:
    """End the process if it takes too long to do what is waited for."""
    too_late = threading.Timer(DEADLINE, process.kill)
    too_late.daemon = True
    too_late.start()
    try:
        yield
    finally:
        too_late.cancel()


def ending(process: subprocess.Popen[str]) -> str:
    """Say how a process has ended."""
    code = process.returncode
    return f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"


def configuration(template: str, statsd: Destination | None) -> str:
    """Return the configuration of a shop at any free port, with the rows for a StatsD if there is one."""
    text = set_option(template, "port", "0")
    if statsd is None:
        return text
    head, row, rows = text.partition(f"#[reporters.{STATSD}]\n")
    rows = re.sub(r"^#", "", row + rows, flags=re.MULTILINE)
    return head + set_option(set_option(rows, "host", f'"{statsd.host}"'), "port", str(statsd.port))


def set_option(text: str, option: str, value: str) -> str:
    """Replace the value of an option wherever it is given."""
    return re.sub(rf"^{option} = .*$", lambda _: f"{option} = {value}", text, flags=re.MULTILINE)
