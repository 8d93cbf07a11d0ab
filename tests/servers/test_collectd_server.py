"""The collectd of the tests shows what it took and what it refused."""

from __future__ import annotations

import socket
from typing import Iterator

import pytest

from tests.servers.collectd import Collectd
from tests.servers.processes import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[Collectd]:
    """Run a collectd."""
    with Collectd() as running:
        yield running


def test_what_it_took_and_what_it_refused_is_shown(server: Collectd) -> None:
    """Lines that it can read are held; those that it cannot read, such as tagged ones, are told as they were sent."""
    server.send("a.b:1|c\nc.d:0.25|g\nminus:0|g\nminus:-5|g\n")
    server.send("no value\na:1|q\ntagged:1|c|#k:v\na.b:2|c")

    assert server.rejected() == ["no value", "a:1|q", "tagged:1|c|#k:v"]
    assert server.counters() == ["a.b"]
    assert server.gauges() == {"c.d": 0.25, "minus": -5.0}


def test_a_port_that_is_taken_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that somebody takes between its choice and its use is given up for another."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        choices = iter([taken.getsockname()[1]])
        monkeypatch.setattr("tests.servers.collectd.free_port", lambda: next(choices, 0) or free_port())

        with Collectd() as second:
            second.send("wrong")
            rejected = second.rejected()

    assert rejected == ["wrong"]


def test_nothing_is_left_behind() -> None:
    """The process has ended and its folder is gone, also when the test raises."""
    processes = []

    def fail() -> None:
        with Collectd() as server:
            processes.append(server._process)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert processes[0] is not None
    assert not processes[0].running
    assert not processes[0].log.parent.exists()
