"""Customers count what they send and what is answered, also when a connection breaks."""

from __future__ import annotations

import io
import re
import socket
import threading
from contextlib import contextmanager
from typing import Iterator

from examples.shop.clients import VISIT, Customer
from tests.servers.processes import PATIENCE, free_port

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def server(answers: list[int], pausing: threading.Event) -> Iterator[str]:
    """Answer so many requests on each connection and then hang up. With the last answer it is time to pause."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)

        def serve() -> None:
            for number, wanted in enumerate(answers, 1):
                connection, _ = listening.accept()
                connection.settimeout(PATIENCE)
                with connection, connection.makefile("rb") as requests:
                    for answered in range(1, wanted + 1):
                        read(requests)
                        if (number, answered) == (len(answers), wanted):
                            pausing.set()
                        connection.sendall(ANSWER)
                    read(requests)

        serving = threading.Thread(target=serve)
        serving.start()
        yield "http://{}:{}/".format(*listening.getsockname())
        serving.join()


def read(requests: io.BufferedReader) -> None:
    """Read one request, or the end."""
    head = b"".join(iter(requests.readline, b"\r\n")) if requests.peek(1) else b""
    length = re.search(rb"Content-Length: (\d+)", head)
    requests.read(int(length[1]) if length else 0)


def shop(answers: list[int]) -> Customer:
    """Send a customer to a server that answers so many requests on each connection."""
    pausing = threading.Event()
    with server(answers, pausing) as url:
        customer = Customer(url, seed=1)
        customer.shop(pausing)
        customer.leave()
    return customer


def test_a_customer_pauses_when_it_is_time_to() -> None:
    """What was sent until then was answered."""
    customer = shop([3])

    assert (customer.sent, customer.answered, customer.error) == (3, 3, None)


def test_a_customer_whose_connection_breaks_comes_back() -> None:
    """The request that was not answered counts as sent, and the next ones go over a new connection."""
    customer = shop([2, 3])

    assert (customer.sent, customer.answered, customer.error) == (6, 5, None)


def test_a_customer_changes_connections_now_and_then() -> None:
    """After so many requests the connection is closed, with no request on it that would stay unanswered."""
    customer = shop([VISIT, 1])

    assert (customer.sent, customer.answered, customer.error) == (VISIT + 1, VISIT + 1, None)


def test_a_customer_who_is_not_served_on_a_new_connection_leaves() -> None:
    """A shop that drops every request is not tried for ever."""
    customer = shop([1, 0])

    assert (customer.sent, customer.answered) == (3, 1)
    assert isinstance(customer.error, ConnectionError)


def test_a_customer_who_finds_nobody_leaves() -> None:
    """Where nobody listens nothing is sent."""
    customer = Customer(f"http://127.0.0.1:{free_port()}/", seed=1)

    customer.shop(threading.Event())

    assert (customer.sent, customer.answered) == (0, 0)
    assert isinstance(customer.error, ConnectionRefusedError)
