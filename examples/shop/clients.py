"""Customers: they send requests over HTTP and count them."""

from __future__ import annotations

import http.client
import json
import random
import threading
from urllib.parse import urlsplit

PATHS = ("/", "/items/book", "/items/lamp", "/items/unicorn")
ITEMS = ("book", "chair", "lamp", "poster")
TIMEOUT = 30.0  # seconds
VISIT = 25  # requests over one connection; a new one may be taken by another worker


class Customer:
    """Sends one request after the other, and goes on over a new connection when one breaks.

    Its counts are written by the thread that is in `shop()`, and are final when that has returned.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.name = f"customer {seed}"
        self.sent = 0
        self.answered = 0
        self.error: Exception | None = None
        """Why it has left: no connection could be made, or one that had just been made was broken."""
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
        self._random = random.Random(seed)

    def shop(self, pausing: threading.Event) -> None:
        """Send requests, until it is time to pause. What was sent has been answered then, or never will be."""
        while not pausing.is_set() and self.error is None:
            is_new = self._connection.sock is None
            try:
                if is_new:
                    self._connection.connect()
                self._ask()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if is_new:
                    self.error = error

    def leave(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self) -> None:
        self.sent += 1
        if self._random.random() < 0.3:
            order = {"item": self._random.choice(ITEMS), "quantity": self._random.randint(1, 20)}
            self._connection.request("POST", "/orders", json.dumps(order), {"Content-Type": "application/json"})
        else:
            self._connection.request("GET", self._random.choice(PATHS))
        self._connection.getresponse().read()
        self.answered += 1
        if self.answered % VISIT == 0:
            self._connection.close()
