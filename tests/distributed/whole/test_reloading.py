"""SIGHUP: an aggregator reads its config and its keys anew, and ends nothing that need not end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Tuple

import pytest

from tapes.distributed import keys
from tests.distributed.servers.serving import accepts
from tests.distributed.whole.programs import Place, Program
from tests.servers.processes import free_port, until

CONFIG = """
[aggregator]
socket_addr = "{address}"
{options}

[reporters.report]
type = "{kind}"
interval = 0.1
path = "{folder}/report"

[reporters.{other}]
type = "{kind}"
interval = 0.1
path = "{folder}/{other}"
"""

KEYED = """
registry, served = counting(sys.argv[1], keys=sys.argv[2])
registry.connect()
served.increment(int(sys.argv[3]))
noted("removed")
served.increment(int(sys.argv[3]))
noted("seen")
os._exit(0)
"""


def config(place: Place, other: str, options: str = "", kind: str = "stream") -> str:
    """Return a config with two reporters."""
    return CONFIG.format(address=place.address, folder=place.folder, other=other, options=options, kind=kind)


def reload(place: Place, program: Program, content: str) -> None:
    """Change the config, and say so."""
    (place.folder / "aggregator1.toml").write_text(content)
    program.signal(signal.SIGHUP)


@pytest.mark.parametrize("kind", ["stream", "tornado-stream"])
def test_reporters_follow_the_config(place: Place, kind: str) -> None:
    """What is new starts, what is gone stops with a last report, what is the same goes on without a gap."""
    program = place.supervise(config(place, "before", kind=kind))
    place.run("count(7)").ended()
    place.report("before").await_last({"served.value": 7})
    reload(place, program, config(place, "after", kind=kind))
    seen = place.report("after").await_last({"served.value": 7})
    stopped = len(place.report("before").documents())
    reports = len(place.report().documents())
    until(lambda: len(place.report().documents()) > reports, "the other one goes on")
    after = len(place.report("before").documents())
    status = program.terminated()

    assert seen == {"served.value": 7}
    assert after == stopped
    assert (status, program.said()) == (0, "")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("[aggregator", "it is not TOML"),
        ("[aggregator]\nleese = 3\n[reporters.statsq]\n", "aggregator.leese"),
    ],
    ids=["no TOML", "faults"],
)
def test_a_config_with_faults_changes_nothing(place: Place, content: str, part: str) -> None:
    """They are logged in one line, and the aggregator goes on as it was."""
    program = place.supervise(config(place, "before"))
    until(place.report("before").documents, "it works")
    reload(place, program, content)
    until(lambda: program.said(), "it says so")
    place.run("count(7)").ended()
    seen = place.report("before").await_last({"served.value": 7})
    status = program.terminated()

    assert seen == {"served.value": 7}
    assert status == 0
    (line,) = program.lines()
    assert "The aggregator keeps its old config, reporters and keys, because of " in line
    assert part in line
    assert line.endswith(" Fix that, and send SIGHUP again.")
    assert "nothing was started" not in line


def test_what_needs_another_start_is_said(place: Place) -> None:
    """And a reporter that cannot start, for want of its port, takes nothing from the others. It is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        program = place.supervise(config(place, "before"))
        until(place.report("before").documents, "it works")
        content = config(place, "after", "lease = 5\nby_worker = true")
        content += f"[reporters.http]\nport = {taken.getsockname()[1]}\n"
        reload(place, program, content)
        until(place.report("after").documents, "it has followed")
        until(lambda: len(program.lines()) == 2, "it has said all")
        port = taken.getsockname()[1]
    reload(place, program, content)
    until(lambda: accepts(port), "the page is there")
    status = program.terminated()

    assert status == 0
    assert (
        "restart the aggregator to change by_worker, lease in [aggregator]. They stay as they were"
    ) in program.lines()[0]
    assert "could not start" in program.lines()[1]
    assert "in use" in program.lines()[1]
    assert program.lines()[1].endswith(". The others run. Send SIGHUP to try again.")


def test_the_first_reporter_of_tornado_needs_another_start(place: Place) -> None:
    """There is no loop that would drive it: all reporters stay what they were, and that is said."""
    program = place.supervise(config(place, "before"))
    until(place.report("before").documents, "it works")
    reload(place, program, config(place, "after", kind="tornado-stream"))
    until(lambda: program.said(), "it says so")
    reports = len(place.report("before").documents())
    until(lambda: len(place.report("before").documents()) > reports, "it goes on")
    status = program.terminated()

    assert status == 0
    assert "restart the aggregator to add its first reporter of Tornado" in program.said()
    assert not place.report("after").path.exists()


def test_sighup_that_is_ignored_stays_ignored(place: Place) -> None:
    """Under nohup it neither ends the aggregator nor has it read anything."""
    command = place.configured(config(place, "before"))
    program = place.command(["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command], {})
    until(place.report("before").documents, "it works")
    reload(place, program, "[nonsense")
    place.run("count(7)").ended()
    seen = place.report("before").await_last({"served.value": 7})
    status = program.terminated()

    assert seen == {"served.value": 7}
    assert (status, program.said()) == (0, "")


@pytest.mark.parametrize("forked", [False, True], ids=["by itself", "forked"])
def test_a_key_that_is_removed_lets_nobody_in(place: Place, forked: bool) -> None:
    """A worker that is connected by it is cut off; the others are seen again a moment later."""
    folder, shop = keys.generate(place.folder / "keys"), place.folder / "shop"
    keys.generate(folder, "shop")
    shop.mkdir(0o700)
    for name in ("aggregator.key", "shop.key", "shop.key_secret"):
        shutil.copy2(folder / name, shop)
    worker = shutil.copytree(folder, place.folder / "worker")
    address = f"tcp://127.0.0.1:{free_port()}"
    program, pid = start(place, folder, address, forked)
    stays, goes = place.run(KEYED, address, str(shop), "1"), place.run(KEYED, address, str(worker), "10")
    place.expect({"served.value": 11})
    (folder / "worker.key").unlink()
    os.kill(pid, signal.SIGHUP)
    until(lambda: "not in the folder of its keys" in program.said(), "the other one comes again")
    place.note("removed")

    place.check(stays, seen={"served.value": 12})
    place.check(goes, said=None)
    status = program.terminated()
    assert status == (-signal.SIGTERM if forked else 0)
    assert program.said().count("not in the folder of its keys") == 1


def start(place: Place, folder: Path, address: str, forked: bool) -> Tuple[Program, int]:
    """Start an aggregator, and return its program and its process."""
    if not forked:
        program = place.supervise(place.config(f'keys = "{folder}"', address=address))
        return program, program.pid
    program = place.run(
        """
        aggregating = aggregator(address=sys.argv[1], keys=sys.argv[2])
        aggregating.start()
        (FOLDER / "pid").write_text(str(aggregating.pid))
        idle()
        """,
        *(address, str(folder)),
    )
    return program, place.pid()
