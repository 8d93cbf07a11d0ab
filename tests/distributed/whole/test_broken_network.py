"""A network that swallows what is sent, and says nothing of it."""

from __future__ import annotations

from tests.distributed.whole.programs import Place
from tests.servers.network import OtherMachine
from tests.servers.processes import free_port, until

WORKER = """
from tapes.distributed import connection, link

connection._BEAT, connection._BEATEN, link._GRACE = 200, 1000, 1.0
registry, served = counting(sys.argv[1], insecure=True)
registry.connect()
served.increment(3)
noted("hidden")
served.increment(40)
noted("seen")
"""


def test_a_worker_notices_that_the_network_has_gone_and_tells_all_when_it_is_back(place: Place) -> None:
    """It says so in one line while nothing arrives, connects again by itself, and nothing is lost."""
    with OtherMachine() as machine:
        address, report = f"tcp://{machine.host}:{free_port()}", place.report()
        config = place.config("insecure = true", address=address)
        aggregator = place.command([*machine.inside, *place.configured(config)], {})
        worker = place.run(WORKER, address)
        before = report.await_last({"served.value": 3})
        machine.hide()
        place.note("hidden")
        until(lambda: address in worker.said(), "the worker says that it reaches no aggregator")
        while_hidden = report.last("served.value")
        machine.show()
        after = report.await_last({"served.value": 43})
        place.note("seen")
        statuses = [worker.ended(), aggregator.terminated()]

    assert [before, while_hidden, after] == [{"served.value": 3}, {"served.value": 3}, {"served.value": 43}]
    assert statuses == [0, 0]
    (line,) = worker.lines()
    assert "the network to it" in line or "its host does not answer" in line
