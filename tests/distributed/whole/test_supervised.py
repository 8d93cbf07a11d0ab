"""`python -m tapes.distributed`: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import signal
import socket
import sys

import pytest

from tests.distributed.whole.programs import Place
from tests.servers.processes import until

CONFIG = """
[aggregator]
socket_addr = "{address}"
state_path = "{folder}/state"
lease = 5
by_worker = false

[reporters.stream]
interval = 0.1
path = "{folder}/report"
"""


def config(place: Place) -> str:
    """Return a config without a fault."""
    return CONFIG.format(address=place.address, folder=place.folder)


def test_a_process_without_standard_output_says_nothing(place: Place) -> None:
    """A daemon that has closed it gets the same exit status."""
    path = place.folder / "aggregator.toml"
    path.write_text(config(place))
    statuses = [
        place.command(
            ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-m", "tapes.distributed", *arguments], {}
        ).ended()
        for arguments in (["--check", "--config", str(path)], ["--config", f"{path}.none"])
    ]

    assert statuses == [0, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_a_last_report(place: Place, number: signal.Signals) -> None:
    """Status 0, nothing on its output, everything in the report, and no socket left."""
    program = place.supervise(config(place).replace("interval = 0.1", "interval = 3600"))

    place.check(place.run("count(7)"))
    program.signal(number)
    place.check(program, last={"served.value": 7})
    assert place.is_tidy()


def test_a_start_that_fails_ends_with_one_line(place: Place) -> None:
    """A port that is taken: status 1, the reason, no traceback, and nothing left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = place.supervise(f'[aggregator]\nsocket_addr = "{place.address}"\n[reporters.http]\nport = {port}\n')
        place.check(program, said=None, status=1)

    assert str(port) in program.said()
    assert "Traceback" not in program.said()
    assert place.is_tidy()


def test_two_may_not_share_a_state(place: Place) -> None:
    """A second aggregator with the same file would overwrite what the first has kept: it is refused."""
    first = place.supervise(config(place))
    until(place.report().documents, "it works")
    second = place.supervise(
        config(place).replace(place.address, f"ipc://{place.folder}/b").replace("/report", "/other")
    )
    until(lambda: not second.running or place.report("other").documents(), "it has been refused, or works")
    refused = not second.running
    for each in (first, second):
        each.stop()

    assert refused
    assert "state" in second.said()


def test_verbose_tells_what_goes_on(place: Place) -> None:
    """What is logged goes to standard error with its time; there is no traceback in it."""
    told = place.supervise(config(place), "--verbose")
    until(place.report().documents, "it works")
    place.run("""
        import socket

        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(f"{FOLDER}/a")
            stranger.send(b"nonsense" * 10)
    """).ended()
    place.run("count(7)").ended()
    told.signal(signal.SIGTERM)

    place.check(told, last={"served.value": 7}, said=None)
    assert f"The aggregator listens at ipc://{place.folder}/a, and reports by [ThreadedStreamReporter(" in told.said()
    assert told.lines()[-1].endswith("The aggregator ends.")
    assert "Traceback" not in told.said()


# The file of an ipc:// address.


def test_a_relative_path_is_that_of_the_moment(place: Place) -> None:
    """Processes that change their directory after the registry or the aggregator was made still meet."""
    program = place.run("""
        os.chdir(FOLDER)
        (FOLDER / "elsewhere").mkdir()
        registry = worker_registry("ipc://relative.ipc")
        aggregating = aggregator(address="ipc://relative.ipc")
        os.chdir(FOLDER / "elsewhere")
        aggregating.start()

        def work():
            os.chdir("/")
            registry.connect()
            registry.counter("served").increment(5)

        join(*[forked(work) for _ in range(2)])
        print(registry.address, aggregating.address)
        aggregating.stop()
        print(sorted(path.name for path in (FOLDER / "elsewhere").iterdir()))
    """)
    where = f"ipc://{place.folder}/relative.ipc"

    place.check(program, last={"served.value": 10}, said=[f"{where} {where}", "[]"])
