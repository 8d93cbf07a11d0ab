"""`python -m tapes.distributed`: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import os
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

WORKER = """
registry = worker_registry()
registry.connect()
registry.counter("served").increment(7)
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
    worker = place.run(WORKER)
    statuses = [worker.ended()]
    program.signal(number)
    statuses.append(program.ended())

    assert statuses == [0, 0]
    assert program.said() == ""
    assert place.report().last("served.value") == {"served.value": 7}
    assert [name for name in ("a", "a.lock") if (place.folder / name).exists()] == []


def test_a_start_that_fails_ends_with_one_line(place: Place) -> None:
    """A port that is taken: status 1, the reason, no traceback, and nothing left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = place.supervise(f'[aggregator]\nsocket_addr = "{place.address}"\n[reporters.http]\nport = {port}\n')
        status = program.ended()

    assert status == 1
    assert str(port) in program.said()
    assert "Traceback" not in program.said()
    assert [name for name in ("a", "a.lock") if (place.folder / name).exists()] == []


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
    place.run(WORKER).ended()
    status = told.terminated()

    assert status == 0
    assert f"The aggregator works at ipc://{place.folder}/a. It reports by [ThreadedStreamReporter(" in told.said()
    assert told.lines()[-1].endswith("The aggregator ends.")
    assert "Traceback" not in told.said()
    assert place.report().last("served.value") == {"served.value": 7}


# The file of an ipc:// address.


def test_the_socket_is_for_its_user_alone(place: Place) -> None:
    """Mode 0600 with any umask, and of the lock and the state likewise; a folder of its own is not needed."""
    mask = os.umask(0)
    try:
        program = place.supervise(config(place))
        until(lambda: (place.folder / "state").exists() and (place.folder / "a").exists(), "it works")
        until(place.report().documents, "it works")
        modes = {name: oct((place.folder / name).stat().st_mode & 0o777) for name in ("a", "a.lock", "state")}
    finally:
        os.umask(mask)
    program.terminated()

    assert modes == {"a": "0o600", "a.lock": "0o600", "state": "0o600"}


def test_another_user_cannot_connect(place: Place) -> None:
    """The system refuses it, although the folder is open to everybody."""
    if os.geteuid() != 0:
        pytest.skip("Only root can become another user.")
    place.folder.chmod(0o777)
    program = place.supervise(config(place))
    until(place.report().documents, "it works")
    other = place.run("""
        import socket

        os.setgid(65534)
        os.setuid(65534)
        try:
            socket.socket(socket.AF_UNIX).connect(f"{FOLDER}/a")
        except PermissionError:
            print("refused")
    """)
    status = other.ended()
    program.terminated()

    assert (status, other.lines()) == (0, ["refused"])


@pytest.mark.parametrize("side", ["aggregator", "worker", "both"])
def test_a_relative_path_is_that_of_the_moment(place: Place, side: str) -> None:
    """Processes that change their directory after the registry or the aggregator was made still meet."""
    program = place.run(
        """
        os.chdir(FOLDER)
        (FOLDER / "elsewhere").mkdir()
        registry = worker_registry("ipc://relative.ipc")
        aggregating = aggregator(address="ipc://relative.ipc")
        if sys.argv[1] != "aggregator":
            os.chdir(FOLDER / "elsewhere")
        if sys.argv[1] == "aggregator":
            os.chdir(FOLDER / "elsewhere")
            aggregating.start()
            os.chdir(FOLDER)
        else:
            if sys.argv[1] == "worker":
                os.chdir(FOLDER)
            aggregating.start()
            os.chdir(FOLDER / "elsewhere")

        def work():
            os.chdir("/")
            registry.connect()
            registry.counter("served").increment(5)

        join(*[forked(work) for _ in range(2)])
        print(registry.address, aggregating.address)
        aggregating.stop()
        print(sorted(path.name for path in (FOLDER / "elsewhere").iterdir()))
    """,
        side,
    )
    status = program.ended()

    where = f"ipc://{place.folder}/relative.ipc"
    assert (status, program.lines()) == (0, [f"{where} {where}", "[]"])
    assert place.report().last("served.value") == {"served.value": 10}


def test_the_default_address_is_a_file_of_the_working_directory(place: Place) -> None:
    """Both sides find one another there when they were made in the same one."""
    program = place.run("""
        os.chdir(FOLDER)
        registry = DistributedRegistry(interval=0.1)
        with RegistryAggregator(stream()):
            print(sorted(path.name for path in FOLDER.glob("tapes_metrics.ipc*")))
            registry.connect()
            registry.counter("served").increment(5)
            registry.close()
    """)

    place.check(program, last={"served.value": 5}, said=["['tapes_metrics.ipc', 'tapes_metrics.ipc.lock']"])


def test_a_path_that_is_too_long_is_said_at_once(place: Place) -> None:
    """A socket has room for about a hundred bytes, which the message names, with the path and its length."""
    from tapes.distributed.registry import DistributedRegistry
    from tapes.errors import ReporterOptionError

    longest = "/tmp/" + "x" * 102
    DistributedRegistry(f"ipc://{longest}")
    with pytest.raises(ReporterOptionError) as caught:
        DistributedRegistry(f"ipc://{longest}y")

    for part in (longest, "108 bytes", "107"):
        assert part in str(caught.value)


def test_a_relative_path_of_a_state_is_that_of_the_moment(place: Place) -> None:
    """`state_path` is made absolute when it is given."""
    program = place.run("""
        os.chdir(FOLDER)
        (FOLDER / "elsewhere").mkdir()
        aggregating = aggregator(state_path="relative.state")
        os.chdir(FOLDER / "elsewhere")
        with aggregating:
            registry = worker_registry()
            registry.connect()
            registry.counter("served").increment(5)
            registry.close()
        print(sorted(path.name for path in FOLDER.rglob("relative.state")))
        print((FOLDER / "relative.state").exists())
    """)

    place.check(program, said=["['relative.state']", "True"])
