"""A small shop with Flask, instrumented with tapes.

python app.py                        the shop at http://127.0.0.1:8888, its metrics as tapes.toml says
python app.py --port 0 other.toml    at any free port, with another configuration
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from flask import Flask, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.serving import WSGIRequestHandler, make_server

import tapes

app = Flask(__name__)

PRICES = {"book": 24.0, "chair": 89.5, "lamp": 39.9, "poster": 7.5}
FULL_SHELF = 500

stock = dict.fromkeys(PRICES, FULL_SHELF)
lock = threading.Lock()

# Metrics may be made at import time, long before anything is configured to send them.
in_progress = tapes.gauge("shop.in_progress")
basket_value = tapes.histogram("shop.basket_value")
checkout_time = tapes.timer("shop.checkout")
refused = tapes.meter("shop.refused")
tapes.gauge("shop.stock", producer=lambda: sum(stock.values()))


class SoldOutError(Exception):
    """There is less of an item left than a customer wants."""


@app.before_request
def start_measuring() -> None:
    """Time every request, by its route and method, and count those that are in progress."""
    route = request.url_rule.rule if request.url_rule else "unknown"
    g.measuring = ExitStack()
    g.measuring.enter_context(in_progress.track_in_progress())
    g.measuring.enter_context(tapes.timer("shop.request", tags={"route": route, "method": request.method}).time())


@app.teardown_request
def stop_measuring(_: BaseException | None) -> None:
    """End what `start_measuring` began. Flask comes here before it sends the answer."""
    g.measuring.close()


@app.get("/")
def catalogue() -> ResponseReturnValue:
    """List what there is."""
    return jsonify(PRICES)


@app.get("/items/<item>")
def show(item: str) -> ResponseReturnValue:
    """Show one item."""
    if item not in PRICES:
        return jsonify(error=f"There is no {item} here."), 404
    return jsonify(price=PRICES[item], left=stock[item])


@app.post("/orders")
def order() -> ResponseReturnValue:
    """Buy `quantity` of `item`."""
    wanted = request.get_json()
    try:
        value = checkout(wanted["item"], wanted["quantity"])
    except SoldOutError as error:
        return jsonify(error=str(error)), 409
    return jsonify(paid=value), 201


@checkout_time.time()
@refused.mark_exceptions(SoldOutError)
def checkout(item: str, quantity: int) -> float:
    """Take the items from the shelf and return what they cost."""
    with lock:
        if stock[item] < quantity:
            stock[item] = FULL_SHELF
            raise SoldOutError(f"The last {item} has just been sold; more is on its way.")
        stock[item] -= quantity
    value = PRICES[item] * quantity
    basket_value.update(value)
    tapes.counter("shop.sold", tags={"item": item}).increment(quantity)
    return value


class KeepAliveHandler(WSGIRequestHandler):
    """Answers several requests on one connection."""

    protocol_version = "HTTP/1.1"


def main() -> None:
    """Run the shop until it is told to stop."""
    parser = argparse.ArgumentParser(description="A small shop that measures itself.")
    parser.add_argument("config", nargs="?", default=str(Path(__file__).with_name("tapes.toml")))
    parser.add_argument("--port", type=int, default=8888, help="default: %(default)s; 0 is any free one")
    options = parser.parse_args()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    # Leaving by SystemExit lets the reporters send a last report.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server = make_server("127.0.0.1", options.port, app, threaded=True, request_handler=KeepAliveHandler)
    with tapes.configure(options.config) as configuration:
        for name, reporter in configuration.reporters.items():
            print(f"Its metrics go to {name}: {reporter!r}")
        print(f"The shop is open at http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
