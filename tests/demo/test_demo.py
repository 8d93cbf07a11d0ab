"""The demo opens a real shop of several processes, kills a worker, counts right, and cleans up after itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Tuple
from urllib.parse import SplitResult, urlsplit

import pytest

from examples.shop.clients import Customer
from examples.shop.demo import CUSTOMERS, compare, delivery, main
from examples.shop.destination import Destination
from examples.shop.process import ROOT
from tests.servers.processes import free_port
from tests.statsd.listeners import Datagrams, counted

Ran = Tuple["subprocess.Popen[str]", str]

KILLED = r"requests are counted: (.+)\.\nWorker (\d+) was killed and replaced by (\d+); "
STOCKS = r"Its gauges are gone: ([\d,]+) of ([\d,]+) articles in stock .* with its successor's there are ([\d,]+)\."

LOG = """\
StatsdReporter(interval=1, udp://[::1]:8125, prefix='demo') could not report: [Errno 111] udp://[::1]:8125: \
Connection refused. Start the server there, or correct the address. It will try again.
"""


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


@pytest.fixture(scope="module")
def ran() -> Ran:
    """A demo that has run to its end, and its output."""
    with start_demo("--seconds", "1") as demo:
        output, _ = demo.communicate(timeout=120)
    return demo, output


def nothing_is_left(output: str) -> bool:
    """Whether the shop of a demo has ended: nobody listens where it was, and no worker is there any more."""
    addresses = map(urlsplit, re.findall(r"http://\S+?/", output))
    return not any(map(is_listening, addresses)) and not any(map(is_alive, workers(output)))


def is_listening(address: SplitResult) -> bool:
    """Whether anything accepts connections there."""
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) == 0


def workers(output: str) -> list[int]:
    """Return the process ids that a demo has mentioned."""
    replaced = re.findall(r"replaced by (\d+)", output)
    return [int(pid) for pid in [*re.findall(r"\d+", re.findall(r"workers (.+)\.", output)[0]), *replaced]]


def is_alive(pid: int) -> bool:
    """Whether there is a process of that id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_demo_counts_every_request(ran: Ran) -> None:
    """Customers and unified timer agree, and the metrics of all workers are shown."""
    demo, output = ran

    assert demo.returncode == 0, output
    assert "shop.request{method=POST,route=/orders}" in output
    assert "worker=" not in output
    assert output.endswith("They are the same.\n")
    counts = re.findall(r"^(?:requests answered|unified count .*|its count .*?) +([\d,]+)$", output, re.MULTILINE)
    assert len(counts) == 3
    assert len(set(counts)) == 1


def test_the_demo_kills_a_worker(ran: Ran) -> None:
    """One of four is replaced half-way; its counts are in the totals before and after, its gauges are not."""
    _, output = ran

    each, killed, successor = re.findall(KILLED, output)[0]
    shares = {pid: int(count.replace(",", "")) for count, pid in re.findall(r"([\d,]+) by (\d+)", each)}
    total = re.findall(r"The customers pause. All ([\d,]+) requests are counted", output)[0]
    assert len(shares) == 4
    assert f"{sum(shares.values()):,}" == total
    assert successor not in shares
    assert shares[killed] == max(shares.values())
    assert f"; what it had counted stays in the totals: {total} as before.\n" in output
    gone, before, after = (int(number.replace(",", "")) for number in re.findall(STOCKS, output)[0])
    # In the moment in which a worker tells its stock and then its counts, each customer may buy up to 20 articles.
    assert before - gone + 2000 - 20 * CUSTOMERS <= after <= before - gone + 2000


def test_nothing_is_left_of_the_demo(ran: Ran) -> None:
    """The shop is closed, and all of its processes have ended, when the demo ends."""
    _, output = ran

    assert len(workers(output)) == 5
    assert nothing_is_left(output)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_still_shows_what_it_counted(number: signal.Signals) -> None:
    """Ctrl-C ends the driving early; the table and the comparison follow, and nothing is left running."""
    with start_demo("--seconds", "600") as demo:
        assert demo.stdout is not None
        opened = demo.stdout.readline() + demo.stdout.readline()
        progress = demo.stdout.readline()
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=60)

    assert "requests answered" in progress
    assert demo.returncode == 0, output
    assert "Traceback" not in output
    assert "killed" not in output
    assert output.endswith("They are the same.\n")
    assert nothing_is_left(opened + output)


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
    lines: list[str] = []
    with closing(listener), start_demo("--seconds", "0.5", "--statsd", f"127.0.0.1:{listener.port}") as demo:
        while demo.poll() is None:  # there is room for a few reports only in the socket
            lines += listener.read()
            time.sleep(0.01)
        output, _ = demo.communicate()
        totals = counted(lines + listener.read())

    answered = re.findall(r"requests answered +([\d,]+)\n", output)[-1]
    told = [total for name, total in totals.items() if re.fullmatch(r"demo\.http\.\w+\.requests\.value", name)]
    assert demo.returncode == 0, output
    assert f"reports to the StatsD at 127.0.0.1:{listener.port} too, under the prefix 'demo'.\n" in output
    assert "They are the same.\n" in output
    assert output.endswith(
        f"No report to the StatsD at 127.0.0.1:{listener.port} has failed, as far as UDP can tell.\n"
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
        f"Not every report reached the StatsD (udp://{where}: Connection refused). Is it running at {where}?\n"
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
    ("log", "expected"),
    [
        (
            "",
            (
                "No report to the StatsD at [::1]:8125 has failed, as far as UDP can tell.\n"
                "Its counters demo.http.*.requests.value have grown by 34,567 altogether."
            ),
        ),
        (
            LOG,
            (
                "Not every report reached the StatsD (udp://[::1]:8125: Connection refused). "
                "Is it running at [::1]:8125?"
            ),
        ),
    ],
)
def test_how_the_reports_fared_is_said(log: str, expected: str) -> None:
    """Only where no report has failed it is said what the StatsD should hold."""
    assert delivery(Destination("::1", 8125), log, 34567) == expected


COMPARED = """\
requests answered                                   12
unified count of the timer shop.request     {}
its count in the last line of the stream    {}
"""


@pytest.mark.parametrize(
    ("counted", "reported", "fault"),
    [(12, 12, None), (11, 12, "They differ by 1."), (12, 13, "They differ by 1.")],
)
def test_one_request_too_few_or_too_many_is_a_fault(
    counted: int, reported: int, fault: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The three counts are shown, and what is wrong with them is said."""
    customer = Customer("http://127.0.0.1:1/", 1)
    customer.sent = customer.answered = 12

    assert compare([customer], counted, reported) == fault
    assert capsys.readouterr().out == COMPARED.format(f"{counted:>10}", f"{reported:>10}")


def test_requests_without_an_answer_are_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    """They are neither answered nor counted, which is no fault."""
    customer = Customer("http://127.0.0.1:1/", 1)
    customer.sent, customer.answered = 13, 12

    assert compare([customer], 12, 12) is None
    assert capsys.readouterr().out.startswith("1 of 13 requests were sent and never answered: ")


def test_a_customer_who_left_is_a_fault() -> None:
    """Even where everything that was answered is counted."""
    customer = Customer("http://127.0.0.1:1/", 1)
    customer.sent = customer.answered = 12
    customer.error = ConnectionRefusedError("There is nobody.")

    assert compare([customer], 12, 12) == "customer 1 left: ConnectionRefusedError('There is nobody.')"
