"""Workers in containers that share the folder of the socket: each is the first process of its own."""

from __future__ import annotations

import subprocess
from typing import List

from tests.distributed.whole.one_call import CALL, aggregators, await_end, configured
from tests.distributed.whole.programs import Place
from tests.servers.installed import missing
from tests.servers.processes import until

CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Runs what follows as process 1 of a pid namespace, which ends with it."""


def container() -> List[str]:
    """Return the beginning of a command that runs in a container, where that is permitted."""
    try:
        subprocess.run([*CONTAINER, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        missing("pid namespaces cannot be made here: run the tests as root, on Linux with util-linux")
    return list(CONTAINER)


def test_first_processes_of_containers_are_workers_of_their_own(place: Place) -> None:
    """Three with pid 1 are three; the aggregator that one of them started ends with its container, and is replaced."""
    at = configured(place, "by_worker = true\nlease = 1")
    first = place.run(CALL + "served.increment(1); print(os.getpid()); idle()", prefix=container())
    place.report().await_last({"served.value": 1})
    others = [place.run(CALL + "served.increment(10); noted('end')", prefix=container()) for _ in range(2)]
    place.report().await_last({"served.value": 21})
    (shown,) = [document["served"] for document in place.report().documents()[-1:]]

    assert sorted(each["value"] for name, each in shown.items() if name.startswith("worker=")) == [1, 10, 10]
    first.kill()
    until(lambda: len(aggregators(place)) == 2, "another aggregator reports")
    assert place.report().await_last({"served.value": 21}) == {"served.value": 21}
    place.note("end")
    assert [each.ended() for each in others] == [0, 0]
    place.run(CALL + "served.increment(100)").ended()
    assert place.report().await_last({"served.value": 121}) == {"served.value": 121}
    await_end(at)


def test_the_aggregator_of_a_container_makes_its_last_report(place: Place) -> None:
    """Before the first process ends, since all others of the container are killed then."""
    at = configured(place, "lease = 1")
    path = place.folder / "tapes.toml"
    path.write_text(path.read_text().replace("interval = 0.05", "interval = 3600"))
    program = place.run(
        CALL + "served.increment(3)\nconfiguration.get_stats()\nserved.increment(4)", prefix=container()
    )

    assert program.ended() == 0
    assert place.report().last("served.value") == {"served.value": 7}
    configured(place, "lease = 1")
    place.run(CALL + "served.increment(1)").ended()
    assert place.report().await_last({"served.value": 8}) == {"served.value": 8}
    await_end(at)
