"""Ctrl-C in a terminal ends everything that runs there, with a last report that has it all and no traceback."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from typing import Iterator, List

import pytest

from tests.distributed.whole.programs import PREAMBLE, Place
from tests.servers.processes import PATIENCE, environment, until

CTRL_C = b"\x03"

# What a shell does: it is the first of the session, and gives the terminal to what it starts, a group of its own.
SHELL = """
import fcntl, os, signal, sys, termios, time
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
ready, go = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(go)
    os.read(ready, 1)
    os.execv(sys.argv[2], sys.argv[2:])
os.setpgid(pid, pid)
os.tcsetpgrp(0, pid)
with open(sys.argv[1], "w") as file:
    file.write(str(pid))
os.close(go)
status = os.waitpid(pid, 0)[1]
try:
    while True:
        os.killpg(pid, 0)
        time.sleep(0.005)
except ProcessLookupError:
    sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
"""


class Terminal:
    """A terminal in which a program runs in the foreground."""

    def __init__(self, place: Place, command: List[str]) -> None:
        """Run a command in it."""
        self._ours, theirs = os.openpty()
        self._group = place.folder / "foreground"
        self._group.unlink(missing_ok=True)
        self._shell = subprocess.Popen(
            [sys.executable, "-c", SHELL, str(self._group), *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(PLACE=str(place.folder)),
        )
        os.close(theirs)
        self._written = b""

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def hang_up(self) -> None:
        """Send what all that runs in the foreground is sent when a terminal is closed."""
        os.killpg(int(self._group.read_text()), signal.SIGHUP)

    def ended(self) -> int:
        """Wait until all that runs in the foreground has ended, and return the exit status of the first process."""
        try:
            # Whoever waits for room in the terminal does not end.
            until(lambda: self.shows() is not None and self._shell.poll() is not None, "all has ended")
        except AssertionError as error:
            raise AssertionError(f"{error} The terminal shows:\n{self.shows()}") from None
        return self._shell.returncode

    def shows(self) -> str:
        """Return all that was written to it."""
        with contextlib.suppress(OSError):  # at its end it is an error to read from it
            while select.select([self._ours], [], [], 0)[0]:
                self._written += os.read(self._ours, 65536)
        return self._written.decode().replace("\r\n", "\n")

    def vanish(self) -> None:
        """Close it while programs run in it, as whoever closes a window does."""
        os.close(self._ours)
        self._ours = os.open(os.devnull, os.O_RDWR)

    def close(self) -> None:
        """End everything and close it."""
        if self._shell.poll() is None:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.killpg(int(self._group.read_text()), signal.SIGKILL)
            self._shell.kill()
            self._shell.wait(PATIENCE)
        os.close(self._ours)


class Terminals:
    """The terminals of a test."""

    def __init__(self, place: Place, stack: contextlib.ExitStack) -> None:
        """Open none yet."""
        self._place = place
        self._stack = stack

    def run(self, script: str) -> Terminal:
        """Run a script in a new one."""
        path = self._place.folder / "program.py"
        path.write_text(PREAMBLE + script)
        return self.command([sys.executable, str(path)])

    def command(self, command: List[str]) -> Terminal:
        """Run a command in a new one."""
        terminal = Terminal(self._place, command)
        self._stack.callback(terminal.close)
        return terminal


@pytest.fixture
def terminals(place: Place) -> Iterator[Terminals]:
    """Open terminals, and close them in the end."""
    with contextlib.ExitStack() as stack:
        yield Terminals(place, stack)


PARENT = """
registry, served = counting(interval=HOUR)

def work():
    try:
        begin(registry, served)
        idle()
    except KeyboardInterrupt:
        served.increment(10)
"""

ENDS = {
    "waits for its workers": """
RegistryAggregator(stream(HOUR), ADDRESS).start()
children = fork_workers(work)
signal.signal(signal.SIGINT, lambda *_: None)
note("all.work")
join(*children)
""",
    "stops the aggregator at once": """
with RegistryAggregator(stream(HOUR), ADDRESS):
    fork_workers(work)
    try:
        note("all.work")
        idle()
    except KeyboardInterrupt:
        pass
""",
    "exits at once": """
RegistryAggregator(stream(HOUR), ADDRESS).start()
fork_workers(work)
try:
    note("all.work")
    idle()
except KeyboardInterrupt:
    sys.exit()
""",
    "is one of them": """
RegistryAggregator(stream(HOUR), ADDRESS).start()
fork_workers(work, 2)
begin(registry, served)
try:
    note("all.work")
    idle()
except KeyboardInterrupt:
    served.increment(10)
""",
    "dies of it": """
signal.signal(signal.SIGINT, signal.SIG_DFL)
RegistryAggregator(stream(HOUR), ADDRESS).start()
signal.signal(signal.SIGINT, signal.default_int_handler)
fork_workers(work)
signal.signal(signal.SIGINT, signal.SIG_DFL)
note("all.work")
idle()
""",
}


SLOW = """
from tapes.distributed import lifetime

lifetime.FAREWELL_TIMEOUT = lifetime.ORPHANED = 0.3  # where no signal has gone to the workers as well
"""


@pytest.mark.parametrize("end", ENDS)
def test_ctrl_c_ends_parent_aggregator_and_workers(place: Place, terminals: Terminals, end: str) -> None:
    """Whatever the parent does about it, the last report has what the workers counted last.

    Requests that are still answered after Ctrl-C are waited for, also when the parent is gone by then.
    """
    script = PARENT + ENDS[end]
    if end in ("waits for its workers", "exits at once", "dies of it"):
        script = SLOW + script.replace(
            "        served.increment(10)", "        time.sleep(1)\n        served.increment(10)"
        )
    terminal = terminals.run(script)
    place.await_note("all.work")
    terminal.press(CTRL_C)
    terminal.ended()

    assert terminal.shows() == "^C"
    assert place.report().last("served.value") == {"served.value": 33}
    assert len(place.report().documents()) == 2, "the first report and the last"
    assert place.is_tidy()


def test_ctrl_c_ends_a_server_of_tornado(place: Place, terminals: Terminals) -> None:
    """As its documentation has it, with the aggregator started before the fork: it ends, and nothing is missing."""
    terminal = terminals.run("""
import tornado.httpserver, tornado.ioloop, tornado.web
from tapes.reporting.http import HTTPReporter

registry, served = counting(interval=HOUR)
try:
    RegistryAggregator([HTTPReporter(0), stream(HOUR)], ADDRESS).start()
    server = tornado.httpserver.HTTPServer(tornado.web.Application())
    server.bind(0, "127.0.0.1")
    server.start(2)
    begin(registry, served)
    tornado.ioloop.IOLoop.current().call_later(0, lambda: note(f"works{tornado.process.task_id()}"))
    tornado.ioloop.IOLoop.current().start()
except KeyboardInterrupt:
    if tornado.process.task_id() is not None:
        served.increment(10)
""")
    for number in range(2):
        place.await_note(f"works{number}")
    terminal.press(CTRL_C)
    status = terminal.ended()

    assert (status, terminal.shows()) == (0, "^C")
    assert place.report().last("served.value") == {"served.value": 22}


def test_ctrl_c_twice_does_no_harm(place: Place, terminals: Terminals) -> None:
    """An impatient second and third make no traceback in the aggregator, and take nothing from its last report."""
    patient = PARENT.replace(
        "        served.increment(10)",
        """\
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        note(f"heard.{os.getpid()}")
        noted("pressed")
        served.increment(10)""",
    )
    terminal = terminals.run(patient + ENDS["waits for its workers"])
    place.await_note("all.work")
    terminal.press(CTRL_C)
    until(lambda: len(list(place.folder.glob("heard.*"))) == 3, "the workers have heard the first")
    for number in (2, 3):
        terminal.press(CTRL_C)
        until(lambda: terminal.shows() == number * "^C", "it was pressed")  # noqa: B023  is called here
    place.note("pressed")
    terminal.ended()

    assert terminal.shows() == "^C^C^C"
    assert place.report().last("served.value") == {"served.value": 33}


def test_ctrl_c_ends_the_command_line(place: Place, terminals: Terminals) -> None:
    """`python -m tapes.distributed` in the foreground ends with status 0, a last report and nothing on the terminal."""
    terminal = foreground(place, terminals)
    terminal.press(CTRL_C)
    status = terminal.ended()

    assert status == 0
    assert terminal.shows() == "^C"
    assert place.report().last("served.value") == {"served.value": 7}


def test_ctrl_c_before_it_is_ready(place: Place, terminals: Terminals) -> None:
    """Whenever in its start Ctrl-C comes, the command line ends with nothing left behind."""
    command = place.configured(place.config(f'state_path = "{place.folder}/state"', interval=3600))
    for _ in range(2):  # the second one catches up with the first
        terminal = terminals.command(command)
        until((place.folder / "a").exists, "it has begun")
        terminal.press(CTRL_C)
        status = terminal.ended()

        assert status == 0
        assert terminal.shows() == "^C"
        assert place.is_tidy()


def test_a_terminal_that_is_closed_ends_everything(place: Place, terminals: Terminals) -> None:
    """SIGHUP to everything in it is an end like another, with a last report."""
    parent = PARENT.replace("    try:\n", "    signal.signal(signal.SIGHUP, signal.default_int_handler)\n    try:\n")
    script = ENDS["waits for its workers"].replace("signal.SIGINT", "signal.SIGHUP")
    terminal = terminals.run(parent + script)
    place.await_note("all.work")
    terminal.hang_up()
    status = terminal.ended()

    assert (status, terminal.shows()) == (0, "")
    assert place.report().last("served.value") == {"served.value": 33}


def foreground(place: Place, terminals: Terminals) -> Terminal:
    """Run the command line in the foreground, and return when it has counted something."""
    terminal = terminals.command(place.configured(place.config(interval=3600)))
    until(place.report().documents, "it works")
    place.check(place.run("count(7)"))
    return terminal


def test_a_terminal_that_is_closed_ends_the_command_line(place: Place, terminals: Terminals) -> None:
    """It makes its last report, and leaves nothing behind."""
    terminal = foreground(place, terminals)
    terminal.vanish()
    until(lambda: not (place.folder / "a.lock").exists(), "it has ended")

    assert place.report().last("served.value") == {"served.value": 7}


def test_sighup_from_elsewhere_ends_nothing_that_runs_in_a_terminal(place: Place, terminals: Terminals) -> None:
    """The terminal is there, so somebody wants the config to be read anew."""
    terminal = foreground(place, terminals)
    (config,) = place.folder.glob("*.toml")
    config.write_text(place.config(report="other"))
    terminal.hang_up()
    seen = place.report("other").await_last({"served.value": 7})
    terminal.press(CTRL_C)
    status = terminal.ended()

    assert seen == {"served.value": 7}
    assert status == 0
