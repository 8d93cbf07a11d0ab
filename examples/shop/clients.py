"""Customers: threads that send requests over HTTP and count them."""

from __future__ import annotations

import http.client
import json
import random
import threading
from urllib.parse import urlsplit

PATHS = ("/", "/items/book", "/items/lamp", "/items/unicorn")
ITEMS = ("book", "chair", "lamp", "poster")
TIMEOUT = 10.0


class Customer(threading.Thread):
    """Sends one request after the other over one connection, until it is told to stop or an answer fails to come.

    `sent` and `answered` are written by this thread alone, and are final when it has been joined.
    """

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(name=f"customer-{seed}", daemon=True)
        self.sent = 0
        self.answered = 0
        self.error: Exception | None = None
        self.stopping = False
        self._address = urlsplit(url).netloc
        self._random = random.Random(seed)

    def run(self) -> None:
        """Send requests."""
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT)
        try:
            while not self.stopping:
                self._ask(connection)
        except (OSError, http.client.HTTPException) as error:
            self.error = error
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        if self._random.random() < 0.3:
            order = {"item": self._random.choice(ITEMS), "quantity": self._random.randint(1, 20)}
            connection.request("POST", "/orders", json.dumps(order), {"Content-Type": "application/json"})
        else:
            connection.request("GET", self._random.choice(PATHS))
        self.sent += 1
        connection.getresponse().read()
        self.answered += 1
