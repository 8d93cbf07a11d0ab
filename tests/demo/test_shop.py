"""The shop answers as it should, measures what it answers, and closes in good order."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Iterator, Tuple
from urllib.parse import urlsplit

import pytest

from examples.shop.process import CONFIG, Shop, configuration, open_shop
from examples.shop.table import series
from tests.servers.processes import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
APP = [sys.executable, str(ROOT / "examples" / "shop" / "app.py")]

WITH_A_SLOW_BANK = """
import asyncio, sys
from examples.shop import app

async def charge(value):
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

app.charge = charge
app.BANK_PATIENCE = 1000
app.main()
"""

WITH_A_BANK_THAT_HANGS = """
import asyncio
from examples.shop import app

async def charge(value):
    await asyncio.Event().wait()

app.charge = charge
app.BANK_PATIENCE = 0.01
app.main()
"""

TOLD_TO_CLOSE_BEFORE_IT_OPENS = """
import signal
from examples.shop import app

configure = app.tapes.configure

def configure_and_be_told(config):
    configuration = configure(config)
    signal.raise_signal(signal.{signal})
    return configuration

app.tapes.configure = configure_and_be_told
app.main()
"""


@contextmanager
def open_with(script: str, folder: Path) -> Iterator[Tuple[subprocess.Popen[str], Shop]]:
    """Run a shop by a script of the test's own."""
    config = folder / "tapes.toml"
    config.write_text(configuration(CONFIG.read_text(), None))
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(config), "--port", "0"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert process.stdout is not None
    with process:
        try:
            shop = Shop()
            while not shop.url and (line := process.stdout.readline()):
                shop.hear(line)
            yield process, shop
        finally:
            process.kill()


def last_report(folder: Path) -> Any:
    """Return what the last line of the stream says."""
    return json.loads((folder / "shop-metrics.jsonl").read_text().splitlines()[-1])


def ask(connection: http.client.HTTPConnection, method: str, path: str, order: object = None) -> Tuple[int, Any]:
    """Send a request and return the status, and what a JSON document in the answer says."""
    connection.request(method, path, None if order is None else json.dumps(order))
    answer = connection.getresponse()
    body = answer.read()
    is_json = answer.headers["Content-Type"].startswith("application/json")
    return answer.status, json.loads(body) if is_json else None


def fetch(url: str) -> Any:
    """Fetch the metrics."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return json.load(answer)


def connected(url: str) -> http.client.HTTPConnection:
    """Return a connection to the shop that stays open from one request to the next."""
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)


def is_refused(url: str) -> bool:
    """Whether nobody listens at `url` any more."""
    address = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) != 0


def test_every_answer_is_measured(tmp_path: Path) -> None:
    """Each request counts by its handler and by its route and method, found or not, and nothing is logged."""
    with open_shop(APP, tmp_path) as shop, closing(connected(shop.url)) as connection:
        answers = [
            ask(connection, "GET", "/"),
            ask(connection, "GET", "/items/lamp"),
            ask(connection, "GET", "/items/unicorn"),
            ask(connection, "POST", "/orders", {"item": "lamp", "quantity": 3}),
            ask(connection, "POST", "/orders", {"item": "lamp", "quantity": 498}),
            ask(connection, "POST", "/orders", ["lamp"]),
            ask(connection, "GET", "/orders"),
            ask(connection, "GET", "/nowhere"),
        ]
        found = {each.name: each.statistics for each in series(fetch(shop.metrics_url))}

    assert answers == [
        (200, {"book": 24.0, "chair": 89.5, "lamp": 39.9, "poster": 7.5}),
        (200, {"price": 39.9, "left": 500}),
        (404, {"error": "There is no unicorn here."}),
        (201, {"paid": pytest.approx(3 * 39.9)}),
        (409, {"error": "The last lamp has just been sold; more is on its way."}),
        (400, None),
        (405, None),
        (404, None),
    ]
    assert {name: each["value"] for name, each in found.items() if "value" in each} == {
        "http.Handler.requests": 0,
        "http.Catalogue.requests": 1,
        "http.Item.requests": 2,
        "http.Orders.requests": 4,
        "http.Unknown.requests": 1,
        "shop.in_progress": 0,
        "shop.sold{item=lamp}": 3,
        "shop.stock": 2000,
    }
    assert {name: each["count"] for name, each in found.items() if each.get("count")} == {
        "shop.basket_value": 1,
        "shop.checkout": 2,
        "shop.payment": 1,
        "shop.refused": 1,
        "shop.request{method=GET,route=/}": 1,
        "shop.request{method=GET,route=/items/<item>}": 2,
        "shop.request{method=POST,route=/orders}": 3,
        "shop.request{method=GET,route=/orders}": 1,
        "shop.request{method=GET,route=unknown}": 1,
    }
    assert (tmp_path / "errors.txt").read_text() == ""


def test_a_fault_of_the_shop_is_counted_as_an_error(tmp_path: Path) -> None:
    """An exception that nobody expects is answered with 500, and marks the meter of the handler."""
    with open_shop(APP, tmp_path) as shop, closing(connected(shop.url)) as connection:
        answer = ask(connection, "POST", "/orders", {"item": "unicorn", "quantity": 1})
        stats = fetch(shop.metrics_url)

    assert answer == (500, None)
    assert stats["http"]["Orders"]["errors"]["count"] == 1
    assert stats["http"]["Item"]["errors"]["count"] == 0
    assert stats["shop"]["in_progress"]["value"] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_shop_closes_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    """Nobody else is let in, those inside are answered, and the last report has it. To insist changes nothing."""
    with (
        open_with(WITH_A_SLOW_BANK, tmp_path) as (process, shop),
        closing(connected(shop.url)) as buying,
        closing(connected(shop.url)) as idle,
    ):
        ask(idle, "GET", "/")
        buying.request("POST", "/orders", json.dumps({"item": "book", "quantity": 2}))
        until(lambda: fetch(shop.metrics_url)["shop"]["in_progress"]["value"] == 1, "an order is under way")
        process.send_signal(number)
        until(lambda: is_refused(shop.url), "the shop is closing")
        process.send_signal(number)
        idle.request("GET", "/")
        farewell = idle.getresponse().headers["Connection"]
        output, errors = process.communicate("The bank has paid.\n", timeout=PATIENCE)
        answer = buying.getresponse()
        paid = json.loads(answer.read())

    assert farewell == "close"
    assert (answer.status, paid) == (201, {"paid": 48.0})
    assert (process.returncode, errors) == (0, "")
    assert last_report(tmp_path)["shop"]["request"]["method=POST,route=/orders"]["count"] == 1
    assert last_report(tmp_path)["shop"]["sold"]["item=book"]["value"] == 2
    assert [line.partition(":")[0] for line in output.splitlines()] == [
        "Reports of tornado-http",
        "Reports of tornado-stream",
    ]


def test_the_shop_does_not_wait_for_ever(tmp_path: Path) -> None:
    """An order that the bank does not pay in time is refused, and the items are put back; so closing has an end."""
    with open_with(WITH_A_BANK_THAT_HANGS, tmp_path) as (process, shop), closing(connected(shop.url)) as connection:
        answer = ask(connection, "POST", "/orders", {"item": "book", "quantity": 2})
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert answer == (503, {"error": "The bank does not answer."})
    assert process.returncode == 0
    assert last_report(tmp_path)["http"]["Orders"]["errors"]["count"] == 1
    assert last_report(tmp_path)["shop"]["stock"]["value"] == 2000
    assert "sold" not in last_report(tmp_path)["shop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_shop_that_is_to_close_does_not_open(number: signal.Signals, tmp_path: Path) -> None:
    """A signal that comes when the metrics are configured and the loop does not run yet ends it in good order too."""
    with open_with(TOLD_TO_CLOSE_BEFORE_IT_OPENS.format(signal=number.name), tmp_path) as (process, shop):
        _, errors = process.communicate(timeout=PATIENCE)

    assert shop.url == ""
    assert (process.returncode, errors) == (0, "")
    assert last_report(tmp_path)["http"]["Orders"]["requests"]["value"] == 0


def test_a_shop_with_a_wrong_configuration_says_why_it_stays_closed(tmp_path: Path) -> None:
    """The faults are named as tapes names them, without a traceback."""
    config = tmp_path / "tapes.toml"
    config.write_text("[reporters.tornado-http]\nprot = 8889\n")

    ended = subprocess.run([*APP, str(config), "--port", "0"], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"The shop cannot open: {config} has 2 faults, nothing was started:\n")
    assert "reporters.tornado-http.prot: unknown option, did you mean 'port'?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_shop_without_a_port_says_why_it_stays_closed(tmp_path: Path) -> None:
    """A port that is taken is named."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run([*APP, "--port", str(port)], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr == f"The shop cannot open at port {port}: {os.strerror(errno.EADDRINUSE)}.\n"
