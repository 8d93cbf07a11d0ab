"""`python -m tapes status` and `show` of programs that run, seen from a process that is no worker."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

from tapes.distributed import keys
from tapes.distributed.claims import is_held
from tapes.distributed.rendezvous import Rendezvous
from tests.distributed.patience import HASTY
from tests.distributed.whole.one_call import CALL, await_end, configured, left_over
from tests.distributed.whole.programs import Place, Program
from tests.servers.installed import missing
from tests.servers.processes import PATIENCE, environment, free_port, until


class Told(NamedTuple):
    """How a command has ended, and what it has said."""

    status: int
    output: str
    errors: str

    @property
    def document(self) -> Dict[str, Any]:
        """What it has said, as JSON."""
        return json.loads(self.output)  # type: ignore[no-any-return]

    @property
    def problems(self) -> List[str]:
        """What is wrong, of the JSON of a status."""
        return [each["what"] for each in self.document["problems"]]


def tapes(place: Place, command: str, *arguments: str, run: Sequence[str] = ("-m", "tapes")) -> Told:
    """Run a command of `python -m tapes` on the config of the place, in another folder than that."""
    done = subprocess.run(
        [sys.executable, *run, command, str(place.folder / "tapes.toml"), *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        cwd="/",
        timeout=PATIENCE,
        check=False,
    )
    return Told(done.returncode, done.stdout, done.stderr)


AS_NOBODY = """
import contextlib, io, os, sys
from tapes.__main__ import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    main(sys.argv[1:])  # imports what this user may read, and the other perhaps not
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""
"""Runs the same as another user than root."""


def worker(place: Place, what: str = "served.increment(100)") -> Program:
    """Start a worker that records something and goes on, and wait until that is reported."""
    program = place.run(f"{CALL}{what}\nidle()")
    until(lambda: place.report().documents() or not program.running, "it is reported")
    return program


def aggregator(place: Place) -> int:
    """Return the process of the aggregator."""
    pid: int = place.report().documents()[-1]["tapes.report"]["pid"]
    return pid


def test_before_anything_has_recorded(place: Place) -> None:
    """To look starts nothing and leaves nothing."""
    at = configured(place)
    told = tapes(place, "status")

    assert told.status == 1
    assert told.output.splitlines()[:2] == [
        f"{place.folder}/tapes.toml: no aggregator runs.",
        f"  address  {at.address}",
    ]
    assert "recorded anything yet, or all have ended more than 1.5 s ago.\n  The first process" in told.output
    assert tapes(place, "show").errors.startswith(f"No aggregator answers at {at.address}: ")
    assert left_over(at) == []


def test_while_all_is_well(place: Place) -> None:
    """Who looks is no worker, and keeps the aggregator from nothing."""
    at = configured(place)
    program = worker(place)
    place.report().await_last({"served.value": 100})
    told, shown = tapes(place, "status", "--json"), tapes(place, "show", "--name", "s*")

    assert (told.status, told.errors) == (0, "")
    document, figures = told.document, told.document["figures"]
    assert (document["state"], document["pid"], document["address"]) == ("runs", aggregator(place), at.address)
    assert 0 < document["age"] < PATIENCE * 2
    assert (figures["workers"], set(figures["losses"].values())) == (1, {0})
    assert [(each["key"], each["state"]) for each in figures["reporters"]] == [("stream", "reports")]
    assert figures["reporters"][0]["reports"] > 0
    assert shown == (0, "COUNTER OR GAUGE  value\nserved              100\n", "")
    assert "and all is well." in tapes(place, "status").output.splitlines()[0]
    assert tapes(place, "status", "--json").document["figures"]["workers"] == 1
    program.terminated()
    await_end(at)


def test_an_aggregator_that_is_suspended(place: Place) -> None:
    """The answer comes all the same, and nothing is taken from it: it goes on afterwards."""
    at = configured(place)
    program = worker(place)
    os.kill(aggregator(place), signal.SIGSTOP)
    files = left_over(at)
    try:
        start = time.monotonic()
        told = tapes(place, "status", "--json")
        took = time.monotonic() - start
        kept = left_over(at)
    finally:
        os.kill(aggregator(place), signal.SIGCONT)

    assert (told.status, told.document["state"]) == (1, "hangs")
    pid = aggregator(place)
    assert told.document["problems"][0] == {
        "what": f"The aggregator (process {pid}) is suspended, and takes nothing in.",
        "remedy": f"Let it go on: kill -CONT {pid}",
    }
    assert took < 20
    assert set(files) - {f"{Path(at.start).name}"} <= set(kept)  # a worker removes that one when it has started it
    place.report().await_last({"served.value": 100})
    assert tapes(place, "status", "--json").document["pid"] == pid
    program.terminated()
    await_end(at)


def test_an_aggregator_that_was_killed(place: Place) -> None:
    """Its files are named, and left for the one that takes its place."""
    at = configured(place)
    program = worker(place)
    program.signal(signal.SIGSTOP)
    os.kill(aggregator(place), signal.SIGKILL)
    until(lambda: not is_held(at.lock), "it has ended")
    files = left_over(at)
    told = tapes(place, "status", "--json")

    assert (told.status, told.document["state"], told.document["pid"]) == (1, "not running", None)
    assert told.problems[0].startswith(f"No aggregator runs. The last one (process {aggregator(place)}) was killed, ")
    assert left_over(at) == files
    program.signal(signal.SIGCONT)
    until(lambda: tapes(place, "status").status == 0, "another one runs")
    assert place.report().await_last({"served.value": 100}) == {"served.value": 100}
    program.terminated()
    await_end(at)


def test_last_reports_that_wait(place: Place) -> None:
    """They are counted, and stay."""
    at = configured(place, 'start = "never"')
    place.run(CALL + "served.increment()").ended()
    told = tapes(place, "status", "--json")

    assert told.problems[0].endswith("and its start = 'never' leaves that to somebody else.")
    assert told.problems[1].startswith("The last report of ended workers is in files beside the socket, the oldest ")
    assert len(left_over(at)) == 1
    for name in left_over(at):
        (Path(at.socket).parent / name).unlink()


OTHER_REPORTERS = """
[reporters.page]
type = "http"
port = 1
host = "192.0.2.1"

[reporters.far]
type = "statsd"
interval = 0.1
protocol = "tcp"
port = {port}

[reporters.file]
type = "stream"
interval = 1
path = "missing/file"
"""


def test_reporters_that_do_not_report(place: Place) -> None:
    """Each is named, with its error; a folder that is missing keeps nobody from working, and `check` says so before."""
    at = configured(place)
    path = place.folder / "tapes.toml"
    path.write_text(path.read_text() + OTHER_REPORTERS.format(port=free_port()))
    checked = tapes(place, "check")
    program = worker(place)
    until(lambda: "fails" in tapes(place, "status").output, "a report has failed")
    told = tapes(place, "status", "--json")

    assert checked.status == 1
    assert checked.errors.splitlines()[1:] == [
        (
            f"  - reporters.file: it cannot write to '{place.folder}/missing/file': there is no folder "
            f"'{place.folder}/missing', so make it"
        )
    ]
    states = {each["key"]: each["state"] for each in told.document["figures"]["reporters"]}
    assert states == {"stream": "reports", "page": "not started", "far": "fails", "file": "not started"}
    assert [what.partition(" (")[0] for what in told.problems[:3]] == [
        "The reporter page",
        "The reporter far",
        "The reporter file",
    ]
    assert "Connection refused" in told.problems[1]
    assert told.problems[3] == f"The log of the aggregator has warnings: {at.log}"
    assert "could not start" in told.document["log_lines"][0]
    (place.folder / "missing").mkdir()
    until((place.folder / "missing" / "file").exists, "it has been tried again")
    program.terminated()
    until(lambda: not is_held(at.lock), "the aggregator has ended")
    os.unlink(at.log)


def test_workers_that_are_not_understood_or_record_too_much(place: Place) -> None:
    """One of another wire format, one with too many series, and a file with changes that need a restart."""
    at = configured(place, "max_tag_sets = 3")
    program = worker(place, "for n in range(9): tapes.counter('many', tags={'n': str(n)}).increment()")
    other = place.run(
        "from tapes.distributed import frames\nframes.VERSION = 9\n" + CALL + "served.increment()\nidle()"
    )
    path = place.folder / "tapes.toml"
    until(lambda: "of version 9" in tapes(place, "status").output, "its message has come")
    configured(place, "max_tag_sets = 4")
    until(lambda: "needs a restart" in tapes(place, "status").output, "the file is read again")
    told = tapes(place, "status", "--json")
    path.write_text("[aggregator")
    until(lambda: " has 1 fault" in tapes(place, "status").errors, "the file is read here")

    assert told.status == 1
    assert [what.partition(".")[0] for what in told.problems[:3]] == [
        f"{told.document['figures']['losses']['bad_frames']} messages of workers could not be read",
        "There are too many series: 6 are counted in overflow series only",
        "max_tag_sets in [aggregator] has changed, which needs a restart of the aggregator",
    ]
    for each in (program, other):
        each.kill()
    os.kill(told.document["pid"], signal.SIGTERM)
    until(lambda: not is_held(at.lock), "the aggregator has ended")
    for name in left_over(at):
        (Path(at.socket).parent / name).unlink()


def test_the_socket_of_another_user(place: Place) -> None:
    """It is said whose it is, and as whom to look."""
    if os.geteuid() != 0:
        missing("only root can become another user: run the tests as root")
    place.folder.chmod(0o755)
    configured(place, f'socket_addr = "ipc://{place.folder}/a"')
    at = Rendezvous(f"{place.folder}/a")
    program = worker(place)
    told = tapes(place, "status", "--json", run=("-c", AS_NOBODY))

    assert (told.status, told.document["state"]) == (1, "not running")
    assert told.problems[0].startswith(f"The user nobody may not connect to the aggregator at {at.address}: its socket")
    assert "sudo -u root python -m tapes status" in told.document["problems"][0]["remedy"]
    program.terminated()
    until(lambda: not left_over(at), "the aggregator has ended")


def test_a_network_address(place: Place) -> None:
    """Nothing more can be seen than whether somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        configured(place, f'socket_addr = "tcp://127.0.0.1:{port}"\ninsecure = true')
        listened, shown = tapes(place, "status"), tapes(place, "show")
    told = tapes(place, "status")

    assert (listened.status, shown.status, told.status) == (0, 1, 1)
    assert "tcp:// nothing more can be seen." in listened.output
    assert "cannot be asked over tcp://: give the URL of the page" in shown.errors
    assert f"- Nobody listens at tcp://127.0.0.1:{port}: Connection refused." in told.output


def test_what_is_watched(place: Place) -> None:
    """It is printed again and again, until Ctrl-C; a terminal is cleared each time, and a file is not."""
    at = configured(place)
    program = worker(place)
    place.report().await_last({"served.value": 100})
    command = [
        sys.executable,
        "-m",
        "tapes",
        "show",
        str(place.folder / "tapes.toml"),
        "--watch",
        "0.1",
        "--name",
        "s*",
    ]
    ours, theirs = pty.openpty()
    on_terminal = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment())
    os.close(theirs)
    to_file = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    try:
        shown = b""
        while shown.count(b"\x1b[H\x1b[2J") < 2:
            shown += os.read(ours, 65536)
        assert to_file.stdout is not None
        lines = [to_file.stdout.readline() for _ in range(2)]
    finally:
        for process in (on_terminal, to_file):
            process.send_signal(signal.SIGINT)
        errors = [process.communicate(timeout=PATIENCE)[1] for process in (on_terminal, to_file)]
        os.close(ours)

    assert b"served              100" in shown
    assert lines == [b'{"served": {"value": 100}}\n'] * 2
    assert ([on_terminal.returncode, to_file.returncode], errors) == ([0, 0], [b"", b""])
    program.terminated()
    await_end(at)


PATHS = """
[aggregator]
socket_addr = "ipc://missing/socket"
state_path = "locked/state"
[reporters.stream]
interval = 1
path = "locked/report"
[reporters.http]
port = 8889
"""


def test_paths_that_cannot_be_written(place: Place) -> None:
    """`check` names each with its key, and shows what holds. They are those of the folder of the file."""
    path = place.folder / "tapes.toml"
    path.write_text(PATHS)
    path.chmod(0o644)
    place.folder.chmod(0o755)
    (place.folder / "locked").mkdir(mode=0o555)
    told = tapes(place, "check", run=("-c", AS_NOBODY) if os.geteuid() == 0 else ("-m", "tapes"))
    folder = place.folder

    said = told.errors.splitlines()
    user = said[2].partition(" the user ")[2].partition(",")[0]
    locked = (
        f"the folder '{folder}/locked' is not writable for the user {user}, so let that user write, or name another"
    )
    assert told.status == 1
    assert said[1:] == [
        (
            f"  - aggregator.socket_addr: nobody can listen at '{folder}/missing/socket': there is no folder "
            f"'{folder}/missing', so make it"
        ),
        f"  - aggregator.state_path: the state cannot be kept in '{folder}/locked/state': {locked}",
        f"  - reporters.stream: it cannot write to '{folder}/locked/report': {locked}",
    ]
    assert told.output.splitlines()[2:7] == [
        f"  socket_addr = 'ipc://{folder}/missing/socket'",
        "  start = 'auto'",
        "  linger = 10.0",
        "  interval = 1.0",
        f"  state_path = '{folder}/locked/state'",
    ]


TWO_AT_ONE_PORT = """
[aggregator]
[reporters.http]
port = 8889
[reporters.second]
type = "http"
port = 8889
host = "0.0.0.0"
"""


def test_two_reporters_at_one_port_are_wrong_in_themselves(place: Place) -> None:
    """With an aggregator, too, `configure()` raises for that."""
    (place.folder / "tapes.toml").write_text(TWO_AT_ONE_PORT)
    fault = "reporters.second: it cannot listen on 0.0.0.0:8889, where reporters.http listens: choose another port"
    program = place.run(
        "import tapes\ntry:\n    tapes.configure(FOLDER / 'tapes.toml')\nexcept ValueError as error:\n    print(error)"
    )

    assert tapes(place, "check").errors.endswith(f"  - {fault}\n")
    assert program.ended() == 0
    assert program.said().endswith(f"  - {fault}\n")


def test_keys_that_only_a_worker_has(place: Place) -> None:
    """A host of workers needs no secret of the aggregator; without any keys it starts all the same, and says so."""
    made = keys.generate(place.folder / "keys")
    (place.folder / "own").mkdir(mode=0o700)
    address = f"tcp://127.0.0.1:{free_port()}"
    configured(place, f'socket_addr = "{address}"\nkeys = "own"\nstart = "never"')
    place.supervise(place.config(f'keys = "{made}"', address=address))
    checked = tapes(place, "check")
    program = place.run(CALL + "served.increment(3)\nidle()", **HASTY)
    until(lambda: "No aggregator receives anything" in program.said(), "it says so")
    for name in ("worker.key", "worker.key_secret", "aggregator.key"):
        shutil.copy2(made / name, place.folder / "own" / name)

    assert checked.errors.splitlines()[1].startswith(
        f"  - aggregator.keys: {place.folder}/own/worker.key_secret cannot "
    )
    assert place.report().await_last({"served.value": 3}) == {"served.value": 3}
    assert tapes(place, "check").status == 0
    assert f": keys: {place.folder}/own/worker.key_secret cannot be used: " in program.said()
    program.terminated()
