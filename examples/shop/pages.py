"""The pages of the shop, and the metrics of what happens on them. They know nothing of processes."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, ClassVar

from tornado.web import Application, HTTPError, RequestHandler

import tapes
from tapes.errors import ReporterError
from tapes.instruments import Counter, Meter

BANK_PATIENCE = 5.0  # seconds; so long may a worker take to close, too

PRICES = {"book": 24.0, "chair": 89.5, "lamp": 39.9, "poster": 7.5}
FULL_SHELF = 500

stock = dict.fromkeys(PRICES, FULL_SHELF)
"""Each worker has shelves of its own."""

# This is all that a program of many processes needs. Another file may say that the metrics are sent elsewhere, too.
configuration = tapes.configure(os.environ.get("TAPES_CONFIG", Path(__file__).with_name("tapes.toml")))

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
        if self.settings["is_closing"]():
            self.set_header("Connection", "close")
        self.requests.increment()
        self.under_way.add(self)
        self.measuring.callback(self.under_way.discard, self)
        self.measuring.enter_context(in_progress.track_in_progress())
        tags = {"route": self.route, "method": str(self.request.method)}
        self.measuring.enter_context(tapes.timer("shop.request", tags=tags).time())

    def on_finish(self) -> None:
        """End what `prepare` began. Tornado comes here when it has handed the answer over."""
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


class Metrics(RequestHandler):
    """The metrics of all processes, whichever of them answers."""

    async def get(self) -> None:
        """Ask for them in a thread: customers are served meanwhile."""
        try:
            self.finish(await asyncio.to_thread(configuration.get_stats))
        except ReporterError as error:
            self.set_status(503)
            self.finish({"error": str(error)})


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


def application(is_closing: Callable[[], bool]) -> Application:
    """Return the shop as an application, which asks nobody to stay when it is closing."""
    routes = [("/", Catalogue), ("/items/([^/]+)", Item), ("/orders", Orders), ("/metrics", Metrics)]
    return Application(routes, default_handler_class=Unknown, is_closing=is_closing)
