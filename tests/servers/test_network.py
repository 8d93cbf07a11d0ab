"""The other machine of the tests is one."""

from __future__ import annotations

import socket
import subprocess
from typing import Iterator

import pytest

from tests.servers.network import OtherMachine
from tests.servers.processes import free_port
from tests.servers.statsd import StatsD


@pytest.fixture
def machine() -> Iterator[OtherMachine]:
    """Make another machine."""
    with OtherMachine() as made:
        yield made


def test_a_refusal_comes_when_the_sender_has_gone_on(machine: OtherMachine) -> None:
    """What is sent to a hidden machine is taken, and refused when the machine is shown."""
    port = free_port()
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((machine.host, port))
        machine.hide()
        sender.send(b"lost")
        before = sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

        machine.wait_for_refusals(port)

        assert before == 0
        with pytest.raises(ConnectionRefusedError):
            sender.send(b"lost")


def test_a_server_runs_there(machine: OtherMachine) -> None:
    """A StatsD on the other machine takes and answers, and is not on this one."""
    with StatsD(machine.host, machine.inside) as server:
        server.send("a:1|c\n")
        server.settle()
        totals = server.totals()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), 30)

    assert totals == {"a": 1}


def test_nothing_is_left_behind() -> None:
    """Neither the namespace nor the cable is there afterwards."""
    with OtherMachine() as machine:
        name, cable = machine._name, machine._cable
        there = names()

    assert {name, cable} <= there
    assert not {name, cable} & names()


def names() -> set[str]:
    """Return the words in the lists of namespaces and of links."""
    shown = [
        subprocess.run([*command, "show"], capture_output=True, text=True, check=True).stdout
        for command in (["ip", "netns"], ["ip", "link"])
    ]
    return set(" ".join(shown).replace("@", " ").split())
