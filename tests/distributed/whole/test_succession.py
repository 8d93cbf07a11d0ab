"""One aggregator follows another at its address without a start that fails, and goes on with its totals."""

from __future__ import annotations

import os
import signal

import pytest

from tests.distributed.whole.programs import Place, listens
from tests.servers.processes import free_port, is_there, until

STANDS_BY = "There is an aggregator at {} already. This one stands by, and takes its place when that one leaves."

HTTP = "from tapes.reporting.http import HTTPReporter"

PARENT = f"""
{HTTP}
first = RegistryAggregator([stream(), HTTPReporter(int(sys.argv[1]))], sys.argv[2], **OPTIONS)
first.start()
(FOLDER / "pid").write_text(str(first.pid))
join(forked(lambda: count(5)))
note("counted")
idle()
"""

STAYING = """
def stay():
    registry = worker_registry(sys.argv[2], insecure=True)
    registry.connect()
    await_introduction(registry)
    note("stays")
    noted("seen")

forked(stay)
"""

CHILD = f"""
{HTTP}
with RegistryAggregator([stream(HOUR, name="second"), HTTPReporter(int(sys.argv[1]))], ADDRESS, **OPTIONS):
    join(forked(lambda: count(20)))
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ('state_path=FOLDER / "state"', 'state_path=FOLDER / "state"'), ("", 'state_path=FOLDER / "state"')],
    ids=["no state", "the same state", "a new state"],
)
def test_a_program_that_was_killed_can_be_started_again_at_once(place: Place, before: str, after: str) -> None:
    """Its old aggregator is waited for, gives up its port, and leaves what workers had counted that are gone."""
    port = str(free_port())
    parent = f"OPTIONS = dict({before})\n" + PARENT.replace("idle()", f"{STAYING}idle()")
    killed = place.run(parent, port, place.address)
    place.await_note("stays")
    os.kill(place.pid(), signal.SIGINT)  # from now on it waits long for workers that have got one, too
    killed.signal(signal.SIGKILL)
    again = place.run(f"OPTIONS = dict({after})\n{CHILD}", port)

    place.check(again)
    place.note("seen")
    place.check(killed, status=-signal.SIGKILL)
    assert place.report("second").last("served.value") == {"served.value": 25}


def test_ports_are_free_as_soon_as_the_program_was_killed(place: Place) -> None:
    """A program that publishes elsewhere when it is started again needs them; workers are still waited for."""
    ports = free_port(), free_port()
    program = place.run(
        f"""
from tapes.distributed import lifetime
from tapes.reporting.http import HTTPReporter

lifetime._GRACE = HOUR
aggregating = RegistryAggregator([HTTPReporter(int(sys.argv[1]))], sys.argv[2], insecure=True, lease=HOUR)
aggregating.start()
(FOLDER / "pid").write_text(str(aggregating.pid))
{STAYING}
idle()
""",
        *(str(ports[0]), f"tcp://127.0.0.1:{ports[1]}"),
    )
    place.await_note("stays")
    pid = place.pid()
    os.kill(pid, signal.SIGINT)  # from now on it waits long for workers that have got one, too
    program.signal(signal.SIGKILL)
    until(lambda: not any(listens(f"tcp://127.0.0.1:{port}") for port in ports), "the ports are free")
    stays = is_there(pid)
    place.note("seen")
    program.ended()

    assert stays


def test_a_second_import_stands_by(place: Place) -> None:
    """A program that starts its aggregator twice has one; the second takes over when the first is stopped."""
    program = place.run("""
first, second = aggregator(stream(name="first")), aggregator(stream(name="second"))
first.start()
join(forked(lambda: count(5)))
second.start()
join(forked(lambda: count(20)))
print(len({first.pid, second.pid, None}), (FOLDER / "second").exists())
first.stop()
print(first.pid, second.pid is not None)
join(forked(lambda: count(100)))
second.stop()
""")
    said = [f"WARNING tapes.distributed: {STANDS_BY.format(place.address)}", "3 False", "None True"]

    place.check(program, said=said)
    assert place.report("first").last("served.value") == {"served.value": 25}
    assert place.report("second").last("served.value") == {"served.value": 125}


def test_a_program_that_executes_another_is_succeeded(place: Place) -> None:
    """Its old aggregator is still its child, and nobody else's to stop: the new one takes its place."""
    program = place.run("""
if len(sys.argv) == 1:
    first = aggregator(stream(name="first"))
    first.start()
    (FOLDER / "pid").write_text(str(first.pid))
    join(forked(lambda: count(5)))
    os.execv(sys.executable, [sys.executable, *sys.argv, "again"])
with aggregator(stream(name="second")):
    join(forked(lambda: count(20)))
os.waitpid(int((FOLDER / "pid").read_text()), 0)
""")

    place.check(program)
    assert place.report("first").last("served.value") == {"served.value": 5}
    assert place.report("second").last("served.value") == {"served.value": 25}


def test_a_program_that_is_started_by_another_takes_over_from_it(place: Place) -> None:
    """As with an upgrade in which the new program is a child of the old one until that ends."""
    port = str(free_port())
    script = place.folder / "child.py"
    script.write_text(f"""from tests.distributed.whole.inside import *
{HTTP}
with RegistryAggregator([stream(name="second"), HTTPReporter(int(sys.argv[1]))], ADDRESS):
    join(forked(lambda: count(20)))
    note("started")
    noted("took.over")
    join(forked(lambda: count(100)))
""")
    program = place.run(
        "OPTIONS = {}\n"
        + PARENT.replace('note("counted")', "import subprocess; subprocess.Popen([sys.executable, *sys.argv[3:]])"),
        *(port, place.address, str(script), port),
    )
    place.await_note("started")
    before = place.report().await_last({"served.value": 25})
    pid = place.pid()
    program.signal(signal.SIGTERM)
    until(lambda: not is_there(pid), "the old one has left")
    after = place.report("second").await_last({"served.value": 25})
    place.note("took.over")
    program.ended()

    assert (before, after) == ({"served.value": 25}, {"served.value": 25})
    assert place.report("second").history("served.value")[0] == 25
    assert place.report("second").last("served.value") == {"served.value": 125}
    assert program.lines() == [f"WARNING tapes.distributed: {STANDS_BY.format(place.address)}"]


def test_one_that_stands_by_ends_with_its_program(place: Place) -> None:
    """It makes no report, and the aggregator that is there is not touched."""
    program = place.run("""
        with aggregator() as first:
            def child():
                second = aggregator(stream(name="second"))
                second.start()
                (FOLDER / "pid").write_text(str(second.pid))
                os.kill(os.getpid(), signal.SIGKILL)

            os.waitpid(forked(child), 0)
            pid = int((FOLDER / "pid").read_text())
            until(lambda: not is_there(pid), "it ends")
            print(first.pid is not None)
    """)

    place.check(program, said=None)
    assert (program.lines()[-1], len(program.lines())) == ("True", 2)
    assert not place.report("second").path.exists()
    assert not [path.name for path in place.folder.glob("a*")]
