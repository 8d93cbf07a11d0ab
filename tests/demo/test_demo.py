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
from examples.shop.demo import delivery, main
from examples.shop.destination import Destination
from examples.shop.process import STATSD, Reports, Shop
from tests.servers.processes import free_port
from tests.statsd.listeners import Datagrams, counted

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


def test_a_statsd_is_told_of_every_request() -> None:
    """With `--statsd` the counters that were sent there add up to the requests, and the end says so."""
    listener = Datagrams()
    with start_demo("--seconds", "0.5", "--statsd", f"127.0.0.1:{listener.port}") as demo:
        output, _ = demo.communicate(timeout=60)
    totals = counted(listener.read())
    listener.close()

    answered = re.findall(r"requests answered +([\d,]+)\n", output)[0]
    told = [total for name, total in totals.items() if re.fullmatch(r"demo\.http\.\w+\.requests\.value", name)]
    assert demo.returncode == 0, output
    assert f"go to the StatsD at 127.0.0.1:{listener.port} too, under the prefix 'demo'.\n" in output
    assert "They are the same.\n" in output
    assert output.endswith(
        f"reports reached the StatsD at 127.0.0.1:{listener.port}, as far as UDP can tell.\n"
        f"Its counters demo.http.*.requests.value have grown by {answered} altogether.\n"
    )
    assert f"{sum(told):,.0f}" == answered


def test_a_statsd_that_is_down_is_mentioned() -> None:
    """Nobody listens: the end says so, and the comparison of the requests is as right as ever."""
    where = f"127.0.0.1:{free_port()}"
    with start_demo("--seconds", "0.1", "--statsd", where) as demo:
        output, _ = demo.communicate(timeout=60)

    assert demo.returncode == 0, output
    assert "They are the same.\n" in output
    assert output.endswith(
        f" reports reached the StatsD (udp://{where}: Connection refused). Is it running at {where}?\n"
    )


def test_what_is_no_host_and_port_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`--statsd` says what it wants, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        main(["--statsd", "localhost"])

    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "demo: error: argument --statsd: 'localhost' is not the HOST:PORT of a StatsD, "
        "like localhost:8125 or [::1]:8125, with a port from 1 to 65535"
    )


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        (
            Reports(1200, 0, None),
            (
                "All 1,200 reports reached the StatsD at [::1]:8125, as far as UDP can tell.\n"
                "Its counters shop.http.*.requests.value have grown by 34,567 altogether."
            ),
        ),
        (
            Reports(5, 2, "refused"),
            "5 reports reached the StatsD at [::1]:8125, as far as UDP can tell, and 2 did not (refused).",
        ),
        (
            Reports(0, 7, "refused"),
            "Not one of 7 reports reached the StatsD (refused). Is it running at [::1]:8125?",
        ),
        (
            Reports(0, 0, None),
            (
                "Not one of 0 reports reached the StatsD (none had come to an end when the shop closed). "
                "Is it running at [::1]:8125?"
            ),
        ),
    ],
)
def test_how_the_reports_fared_is_said(reports: Reports, expected: str) -> None:
    """That all, some or none of them arrived is told apart; only the first says what the StatsD should hold."""
    shop = Shop()
    shop.prefix = "shop"
    shop.reports[STATSD] = reports

    assert delivery(Destination("::1", 8125), shop, 34567) == expected


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
