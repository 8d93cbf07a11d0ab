"""The place of a StatsD is read as people write it, and what is none is refused."""

from __future__ import annotations

import argparse

import pytest

from examples.shop.destination import Destination, destination


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:8125", "localhost", 8125),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("statsd-2.example.org:65535", "statsd-2.example.org", 65535),
        ("[::1]:8125", "::1", 8125),
        ("[::ffff:127.0.0.1]:8125", "::ffff:127.0.0.1", 8125),
    ],
)
def test_host_and_port_are_read(text: str, host: str, port: int) -> None:
    """Names, addresses, and IPv6 addresses in brackets; what was read is shown as it was written."""
    assert destination(text) == Destination(host, port)
    assert str(destination(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8125",
        ":8125",
        "localhost",
        "localhost:",
        "localhost:statsd",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost:8125\n",
        "::1:8125",
        "[::1]",
        "[::1:8125",
        "[localhost]:8125",
        "[1::2::3]:8125",
        "http://localhost:8125",
        "local host:8125",
        'a":8125',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """The error shows what was written and what is wanted."""
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        destination(text)

    assert str(refused.value) == (
        f"{text!r} is not the HOST:PORT of a StatsD, like localhost:8125 or [::1]:8125, with a port from 1 to 65535"
    )
