"""The shop answers as it should, measures in all of its processes what it answers, and closes in good order."""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator, Tuple
from urllib.parse import urlsplit

import pytest

from examples.shop.demo import STREAM, config
from examples.shop.process import APP, Shop, await_aggregator, environment, open_shop
from examples.shop.table import Tree, by_worker, total_count, total_value, unified
from tests.servers.processes import PATIENCE, until

WITH_A_SLOW_BANK = """
import asyncio, os
from examples.shop import app, pages

async def charge(value):
    while not os.path.exists("paid"):
        await asyncio.sleep(0.01)

pages.charge = charge
pages.BANK_PATIENCE = 1000
app.main()
"""

WITH_A_BANK_THAT_HANGS = """
import asyncio
from examples.shop import app, pages

async def charge(value):
    await asyncio.Event().wait()

pages.charge = charge
pages.BANK_PATIENCE = 0.01
app.main()
"""

TOLD_TO_CLOSE_BEFORE_IT_OPENS = """
import signal
from examples.shop import app

bind = app.bind

def bind_and_be_told(port):
    signal.raise_signal(signal.{signal})
    return bind(port)

app.bind = bind_and_be_told
app.main()
"""

IMPATIENT = """
from examples.shop import app

app.PATIENCE = 0.1
app.main()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of a shop, with a short name: the path of a socket may only have about a hundred characters.

    Whatever becomes of the shop, its aggregator ends by itself, and leaves nothing there.
    """
    with tempfile.TemporaryDirectory(prefix="tapes-") as name:
        made = Path(name)
        (made / "tapes.toml").write_text(config(None))
        yield made
        await_aggregator(made)


def options(workers: int) -> list[str]:
    """Return the command line of a shop of the test's own."""
    return ["--workers", str(workers), "--port", "0"]


@contextmanager
def open_with(script: str, folder: Path, workers: int = 1) -> Iterator[Tuple[subprocess.Popen[str], Shop]]:
    """Run a shop by a script of the test's own, which it is for the test to close.

    All processes of the shop have ended when `process.communicate()` returns: it reads what they all write to.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", script, *options(workers)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(folder),
        start_new_session=True,
    )
    with process:
        try:
            shop = Shop(process)
            shop.hear_until(lambda: bool(shop.url))
            yield process, shop
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def last_report(folder: Path) -> Any:
    """Return what the last line of the stream says, when the aggregator has ended."""
    await_aggregator(folder)
    return json.loads((folder / STREAM).read_text().splitlines()[-1])


def ask(connection: http.client.HTTPConnection, method: str, path: str, order: object = None) -> Tuple[int, Any]:
    """Send a request and return the status, and what a JSON document in the answer says."""
    connection.request(method, path, None if order is None else json.dumps(order))
    answer = connection.getresponse()
    body = answer.read()
    is_json = answer.headers["Content-Type"].startswith("application/json")
    return answer.status, json.loads(body) if is_json else None


def counted(shop: Shop, requests: int) -> Tree:
    """Return the metrics when so many requests are counted."""
    return shop.stats_when(lambda stats: total_count(stats, "shop.request") == requests)


def connected(url: str) -> http.client.HTTPConnection:
    """Return a connection to the shop that stays open, and with one worker, from one request to the next."""
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)


def is_refused(url: str) -> bool:
    """Whether nobody listens at `url` any more."""
    address = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) != 0


def test_every_answer_is_measured(folder: Path) -> None:
    """Each request counts by its handler and by its route and method, found or not, and nothing is logged."""
    with open_shop([*APP, *options(workers=2)], folder) as shop, closing(connected(shop.url)) as connection:
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
        stats = shop.stats_when(
            lambda stats: total_count(stats, "shop.request") == 8 and total_value(stats, "shop.stock") == 4000
        )
        found = {each.name: each.statistics for each in unified(stats) if not each.name.startswith("tapes.")}

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
        "shop.stock": 4000,
        "shop.workers_started": 2,
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
    assert shop.log == ""


def test_a_fault_of_the_shop_is_counted_as_an_error(folder: Path) -> None:
    """An exception that nobody expects is answered with 500, and marks the meter of the handler."""
    with open_shop([*APP, *options(workers=1)], folder) as shop, closing(connected(shop.url)) as connection:
        answer = ask(connection, "POST", "/orders", {"item": "unicorn", "quantity": 1})
        stats = counted(shop, 1)

    assert answer == (500, None)
    assert total_count(stats, "http.Orders.errors") == 1
    assert total_count(stats, "http.Item.errors") == 0
    assert total_value(stats, "shop.in_progress") == 0


def test_what_a_killed_worker_has_counted_stays(folder: Path) -> None:
    """Its place is taken by another one, its counts stay in the totals, and its gauges go."""
    with open_shop([*APP, *options(workers=1)], folder) as shop:
        with closing(connected(shop.url)) as connection:
            ask(connection, "POST", "/orders", {"item": "lamp", "quantity": 3})
            counted(shop, 1)
        victim = shop.workers[0]
        successor = shop.replace(victim)
        with closing(connected(shop.url)) as connection:
            ask(connection, "POST", "/orders", {"item": "lamp", "quantity": 4})
        stats = shop.stats_when(
            lambda stats: total_count(stats, "shop.request") == 2 and total_value(stats, "shop.stock") == 1996
        )

    assert total_count(stats, "shop.request") == 2
    assert total_value(stats, "shop.sold{item=lamp}") == 7
    assert by_worker(stats, "shop.request", "count") == {successor: 1}
    assert by_worker(stats, "shop.stock", "value") == {successor: 1996}
    assert total_value(stats, "shop.stock") == 1996


def test_a_worker_that_ends_in_good_order_is_replaced_too(folder: Path) -> None:
    """What it has counted since it last told the aggregator is not lost."""
    with open_with("from examples.shop import app; app.main()", folder) as (process, shop):
        assert process.stdout is not None
        with closing(connected(shop.url)) as connection:
            for _ in range(10):
                ask(connection, "GET", "/")
            os.kill(shop.workers[0], signal.SIGTERM)
        said = process.stdout.readline()
        stats = counted(shop, 10)
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert re.fullmatch(rf"Worker {shop.workers[0]} has ended with exit code 0 and was replaced by \d+\n", said)
    assert total_count(stats, "shop.request") == 10
    assert total_count(last_report(folder), "shop.request") == 10


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True)],
    ids=["SIGTERM", "SIGINT", "Ctrl-C in a terminal"],
)
def test_the_shop_closes_in_good_order(number: signal.Signals, to_all: bool, folder: Path) -> None:
    """Nobody else is let in, those inside are answered, and the last report has it. To insist changes nothing."""

    def tell(process: subprocess.Popen[str]) -> None:
        if to_all:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    with (
        open_with(WITH_A_SLOW_BANK, folder) as (process, shop),
        closing(connected(shop.url)) as buying,
        closing(connected(shop.url)) as idle,
    ):
        ask(idle, "GET", "/")
        buying.request("POST", "/orders", json.dumps({"item": "book", "quantity": 2}))
        until(lambda: total_value(shop.stats(), "shop.in_progress") == 1, "an order is under way")
        tell(process)
        until(lambda: is_refused(shop.url), "the shop is closing")
        tell(process)
        idle.request("GET", "/")
        farewell = idle.getresponse().headers["Connection"]
        (folder / "paid").touch()
        output, errors = process.communicate(timeout=PATIENCE)
        answer = buying.getresponse()
        paid = json.loads(answer.read())

    assert farewell == "close"
    assert (answer.status, paid) == (201, {"paid": 48.0})
    assert (process.returncode, output, errors) == (0, "", "")
    assert total_count(last_report(folder), "shop.request") == 3
    assert total_value(last_report(folder), "shop.sold{item=book}") == 2
    assert sorted(path.name for path in folder.iterdir()) == ["paid", STREAM, "tapes.toml"]


def test_the_shop_does_not_wait_for_ever(folder: Path) -> None:
    """An order that the bank does not pay in time is refused, and the items are put back; so closing has an end."""
    with open_with(WITH_A_BANK_THAT_HANGS, folder) as (process, shop), closing(connected(shop.url)) as connection:
        answer = ask(connection, "POST", "/orders", {"item": "book", "quantity": 2})
        stats = counted(shop, 1)
        process.terminate()
        process.communicate(timeout=PATIENCE)

    assert answer == (503, {"error": "The bank does not answer."})
    assert process.returncode == 0
    assert total_value(stats, "shop.stock") == 2000
    assert total_count(last_report(folder), "http.Orders.errors") == 1
    assert "sold" not in last_report(folder)["shop"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_shop_that_is_to_close_as_it_opens_closes(number: signal.Signals, folder: Path) -> None:
    """A signal that comes before the workers are forked ends them in good order too."""
    with open_with(TOLD_TO_CLOSE_BEFORE_IT_OPENS.format(signal=number.name), folder, workers=2) as (process, _):
        _, errors = process.communicate(timeout=PATIENCE)

    assert (process.returncode, errors) == (0, "")
    assert total_value(last_report(folder), "http.Orders.requests") == 0


def test_a_worker_that_hangs_is_killed_in_the_end(folder: Path) -> None:
    """The shop closes without it, and says so."""
    with open_with(IMPATIENT, folder, workers=2) as (process, shop):
        counted(shop, 0)  # the aggregator is there
        os.kill(shop.workers[1], signal.SIGSTOP)
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert "The shop did not close cleanly. Worker " in errors
    assert f"Worker {shop.workers[1]} has ended by SIGKILL." in errors  # and the other, if the machine is busy


def test_all_leave_a_shop_whose_supervisor_was_killed(folder: Path) -> None:
    """Workers and aggregator end by themselves: nobody else would end them."""
    with open_with("from examples.shop import app; app.main()", folder, workers=3) as (process, _):
        process.kill()
        process.communicate(timeout=PATIENCE)

    assert process.returncode == -signal.SIGKILL


def test_a_shop_without_a_port_says_why_it_stays_closed(folder: Path) -> None:
    """A port that is taken is named, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = closed([*options(workers=1), "--port", port], folder)

    assert ended.returncode == 1
    assert ended.stderr.startswith("The shop cannot open")
    assert port in ended.stderr
    assert os.strerror(errno.EADDRINUSE) in ended.stderr
    assert "Traceback" not in ended.stderr


def closed(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shop that does not open."""
    return subprocess.run(
        [*APP, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=environment(folder),
    )
