"""The demo opens a real shop, counts right, and cleans up after itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from examples.shop.clients import Customer
from examples.shop.demo import ShopError, open_shop

ROOT = Path(__file__).resolve().parents[2]


def start_demo(*arguments: str) -> subprocess.Popen[str]:
    """Start the demo as `noxfile.py` does."""
    return subprocess.Popen(
        [sys.executable, "-m", "examples.shop.demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def is_listening(url: str) -> bool:
    """Whether anything accepts connections at `url`."""
    address = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) == 0


def test_the_demo_counts_every_request() -> None:
    """Customers and timer agree, the metrics are shown, and the shop is closed when the demo ends."""
    with start_demo("--seconds", "0.5") as demo:
        output, _ = demo.communicate(timeout=60)

    urls = re.findall(r"http://\S+?/", output)
    assert demo.returncode == 0, output
    assert "shop.request{method=POST,route=/orders}" in output
    assert output.endswith("They are the same.\n")
    assert len(urls) == 2
    assert not any(is_listening(url) for url in urls)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_still_shows_what_it_counted(number: signal.Signals) -> None:
    """Ctrl-C ends the driving early; the table and the comparison follow, and nothing is left running."""
    with start_demo("--seconds", "600") as demo:
        assert demo.stdout is not None
        opened = demo.stdout.readline()
        progress = demo.stdout.readline()
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=60)

    assert "requests answered" in progress
    assert demo.returncode == 0, output
    assert "Traceback" not in output
    assert output.endswith("They are the same.\n")
    assert not is_listening(re.findall(r"http://\S+?/", opened)[0])


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "soon"])
def test_a_duration_that_is_none_is_refused(wrong: str) -> None:
    """`--seconds` wants a number above 0 and says so, before anything is started."""
    with start_demo("--seconds", wrong) as demo:
        output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 2
    assert "--seconds" in output.splitlines()[-1]


def test_a_shop_that_does_not_open_is_reported_with_its_own_words(tmp_path: Path) -> None:
    """What the shop said before it ended is in the error."""
    command = [sys.executable, "-c", "raise SystemExit('There are no shelves.')"]

    with (
        pytest.raises(ShopError, match=r"did not open: exit code 1\.\nThere are no shelves\."),
        open_shop(command, tmp_path),
    ):
        pass


def test_a_request_without_an_answer_is_counted_as_sent() -> None:
    """A customer whose connection is dropped leaves, and the two counts tell."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        customer = Customer("http://{}:{}/".format(*server.getsockname()), seed=1)
        answering = threading.Thread(target=lambda: drop(server))
        answering.start()
        customer.start()
        customer.join()
        answering.join()

    assert (customer.sent, customer.answered) == (1, 0)
    assert isinstance(customer.error, OSError)


def drop(server: socket.socket) -> None:
    """Accept one connection, read the request and hang up."""
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
