"""A small shop with Tornado, instrumented with tapes.

python app.py                        the shop at http://127.0.0.1:8888, its metrics as tapes.toml says
python app.py --port 0 other.toml    at any free port, with another configuration

SIGTERM and Ctrl-C close it in good order: whoever is being served gets an answer, and every reporter a last report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler

import tapes
from tapes.config import Configuration
from tapes.errors import TapesError
from tapes.instruments import Counter, Meter

HOST = "127.0.0.1"
BANK_PATIENCE = 5.0  # seconds; so long may the shop take to close, too
SIGNALS = (signal.SIGINT, signal.SIGTERM)

PRICES = {"book": 24.0, "chair": 89.5, "lamp": 39.9, "poster": 7.5}
FULL_SHELF = 500

stock = dict.fromkeys(PRICES, FULL_SHELF)

# Metrics may be made at import time, long before anything is configured to send them.
in_progress = tapes.gauge("shop.in_progress")
basket_value = tapes.histogram("shop.basket_value")
checkout_time = tapes.timer("shop.checkout")
payment_time = tapes.timer("shop.payment")
refused = tapes.meter("shop.refused")
tapes.gauge("shop.stock", producer=lambda: sum(stock.values()))

# What each class of handlers has of its own: http.Catalogue.requests, http.Orders.requests and so on.
Metered = tapes.metered_meta(
    [("requests", "http.{}.requests", tapes.counter), ("errors", "http.{}.errors", tapes.meter)]
)


class SoldOutError(Exception):
    """There is less of an item left than a customer wants."""


class Handler(RequestHandler, metaclass=Metered):  # type: ignore[metaclass]  # mypy wants to see its definition
    """Measures every request that a subclass answers."""

    route: ClassVar[str]
    requests: ClassVar[Counter]
    errors: ClassVar[Meter]
    under_way: ClassVar[set[Handler]] = set()
    """Those that have yet to answer, of all classes."""

    def initialize(self) -> None:
        """Have a place for what lasts as long as the request."""
        self.measuring = ExitStack()

    def prepare(self) -> None:
        """Count the request, time it by its route and method, and count it as in progress."""
        if self.settings["closing"].is_set():
            self.set_header("Connection", "close")
        self.requests.increment()
        self.under_way.add(self)
        self.measuring.callback(self.under_way.discard, self)
        self.measuring.enter_context(in_progress.track_in_progress())
        tags = {"route": self.route, "method": str(self.request.method)}
        self.measuring.enter_context(tapes.timer("shop.request", tags=tags).time())

    def on_finish(self) -> None:
        """End what `prepare` began.

        Tornado comes here when it has handed the answer over, and does nothing else in between: who has an answer and
        asks this process for its metrics finds it counted.
        """
        if self.get_status() >= 500:
            self.errors.mark()
        self.measuring.close()


class Catalogue(Handler):
    """All that the shop sells."""

    route = "/"

    def get(self) -> None:
        """List what there is."""
        self.finish(PRICES)


class Item(Handler):
    """One thing that it sells."""

    route = "/items/<item>"

    def get(self, item: str) -> None:
        """Show one item."""
        if item in PRICES:
            self.finish({"price": PRICES[item], "left": stock[item]})
        else:
            self.set_status(404)
            self.finish({"error": f"There is no {item} here."})


class Orders(Handler):
    """What customers buy."""

    route = "/orders"

    async def post(self) -> None:
        """Buy `quantity` of `item`."""
        try:
            order = json.loads(self.request.body)
            item, quantity = order["item"], order["quantity"]
        except (ValueError, TypeError, KeyError):
            raise HTTPError(400) from None
        try:
            value = await checkout(item, quantity)
        except SoldOutError as error:
            self.set_status(409)
            self.finish({"error": str(error)})
        except asyncio.TimeoutError:
            self.set_status(503)
            self.finish({"error": "The bank does not answer."})
        else:
            self.set_status(201)
            self.finish({"paid": value})


class Unknown(Handler):
    """Every other page."""

    route = "unknown"

    def prepare(self) -> None:
        """Answer that there is none."""
        super().prepare()
        raise HTTPError(404)


@checkout_time.time()
@refused.mark_exceptions(SoldOutError)
async def checkout(item: str, quantity: int) -> float:
    """Take the items from the shelf, have them paid and return what they cost."""
    if stock[item] < quantity:
        stock[item] = FULL_SHELF
        raise SoldOutError(f"The last {item} has just been sold; more is on its way.")
    stock[item] -= quantity
    value = PRICES[item] * quantity
    try:
        await asyncio.wait_for(charge(value), BANK_PATIENCE)
    except asyncio.TimeoutError:
        stock[item] += quantity
        raise
    basket_value.update(value)
    tapes.counter("shop.sold", tags={"item": item}).increment(quantity)
    return value


@payment_time.time()
async def charge(value: float) -> None:
    """Have the bank move the money, which takes it a moment whatever the value."""
    await asyncio.sleep(0.001)


async def serve(sockets: Sequence[socket.socket], configuration: Configuration) -> None:
    """Serve until a signal says that it is time to close, and close in good order."""
    loop = asyncio.get_running_loop()
    closing = asyncio.Event()

    def close(*_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, as this was not the first signal
            loop.call_soon_threadsafe(closing.set)

    for number in SIGNALS:
        signal.signal(number, close)
    routes = [("/", Catalogue), ("/items/([^/]+)", Item), ("/orders", Orders)]
    server = HTTPServer(Application(routes, default_handler_class=Unknown, closing=closing))
    server.add_sockets(sockets)
    print(f"The shop is open at http://{HOST}:{sockets[0].getsockname()[1]}/", flush=True)
    await closing.wait()
    server.stop()
    while Handler.under_way:
        await asyncio.sleep(0.01)
    await server.close_all_connections()
    # Not on the loop, which reporters may need for what they have begun.
    await loop.run_in_executor(None, configuration.stop)


def main() -> None:
    """Run the shop until it is told to close."""
    parser = argparse.ArgumentParser(description="A small shop that measures itself.")
    parser.add_argument("config", nargs="?", default=str(Path(__file__).with_name("tapes.toml")))
    parser.add_argument("--port", type=int, default=8888, help="default: %(default)s; 0 is any free one")
    options = parser.parse_args()
    logging.getLogger("tornado.access").setLevel(logging.ERROR)  # customers who find nothing are no news
    for number in SIGNALS:  # until the loop runs; whatever has been started by then is stopped
        signal.signal(number, lambda *_: sys.exit())
    try:
        sockets = bind_sockets(options.port, HOST)
    except OSError as error:
        sys.exit(f"The shop cannot open at port {options.port}: {error.strerror}.")
    try:
        configuration = tapes.configure(options.config)
    except TapesError as error:
        sys.exit(f"The shop cannot open: {error}")
    with configuration:
        for name, reporter in configuration.reporters.items():
            print(f"Its metrics go to {name}: {reporter!r}")
        asyncio.run(serve(sockets, configuration))
    for name, reporter in configuration.reporters.items():
        print(f"Reports of {name}: {reporter.reports} made, {reporter.failures} failed{reason(reporter.last_error)}")


def reason(error: BaseException | None) -> str:
    """Say why the last report that failed did; nothing if none did."""
    return "" if error is None else f", the last of these: {getattr(error, 'strerror', None) or error}"


if __name__ == "__main__":
    main()
