"""Programs of several processes, as users write them, started in a folder of their own, and what they report there."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from tapes.distributed.registry import RegistryAggregator
from tests.distributed.patience import patient
from tests.distributed.servers.serving import Group, accepts
from tests.servers.processes import PATIENCE, awaited, until

PREAMBLE = "from tests.distributed.whole.inside import *\n"

Figures = Dict[str, Any]
"""Values of statistics by their names, like `shop.served.value`. None is that of one that there is not."""


class Program(Group):
    """A program with all the processes that it starts."""

    _killed = False

    def kill(self) -> None:
        """End all that is left of it, with no chance to do anything more."""
        if not self._killed:
            self._killed = True
            super().kill()

    def ended(self) -> int:
        """Wait until it has ended by itself, with all that it has started, and return its exit status."""
        try:
            status = self._process.wait(PATIENCE)
            until(lambda: not self._are_any(), "all that it has started have ended")
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise AssertionError(f"{error} It said:\n{self.said()}") from None
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the first process alone."""
        self._process.send_signal(number)

    def terminated(self) -> int:
        """Ask the first process to end, wait until all have, and return its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended()

    def lines(self) -> List[str]:
        """Return what all of its processes have written."""
        return self.said().splitlines()


class Reports:
    """The file that a stream reporter writes to."""

    def __init__(self, path: Path) -> None:
        """Do nothing yet."""
        self.path = path

    def documents(self) -> List[Dict[str, Any]]:
        """Return every report that was written as a whole."""
        written = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in written.split("\n")[:-1]]

    def last(self, *names: str) -> Figures:
        """Return what the last report says of some statistics."""
        documents = self.documents()
        stats = documents[-1] if documents else {}
        return {name: figure(stats, name) for name in names}

    def history(self, name: str) -> List[Any]:
        """Return what the reports have said of a statistic, in their order."""
        return [figure(stats, name) for stats in self.documents()]

    def await_last(self, expected: Figures) -> Figures:
        """Return what the last report says of these statistics, once that is expected or has not become so in time."""
        return awaited(lambda: self.last(*expected), expected)


class Place:
    """A folder with an aggregator's address, and the programs that run there while it is entered."""

    def __init__(self) -> None:
        """Do nothing yet."""
        self._stack = contextlib.ExitStack()
        self._started = 0

    def __enter__(self) -> Place:
        """Make the folder, and have patience. Not one of pytest: the path of a socket has room for 107 characters."""
        made = tempfile.TemporaryDirectory(prefix="tz", dir="/tmp")
        self.folder = Path(self._stack.enter_context(made))
        self.address = f"ipc://{self.folder}/a"
        self._stack.enter_context(patient())
        return self

    def __exit__(self, *_: object) -> None:
        """End all programs and remove the folder."""
        self._stack.close()

    def run(
        self,
        script: str,
        *arguments: str,
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
        **environment: str,
    ) -> Program:
        """Start a program that begins with what is in `inside.py`.

        The options are those of the interpreter; `prefix` is a command that runs what follows.
        """
        self._started += 1
        path = self.folder / f"program{self._started}.py"
        path.write_text(PREAMBLE + textwrap.dedent(script))
        return self.command([*prefix, sys.executable, *options, str(path), *arguments], environment)

    def supervise(self, config: str, *arguments: str, **environment: str) -> Program:
        """Start an aggregator in a process of its own, with `config` as the content of its file.

        Return when workers can connect, or when it has ended: workers that do not live for long do not wait for it.
        """
        program = self.command([*self.configured(config), *arguments], environment)
        address = re.search('^ *socket_addr = "(.+)"', config, re.MULTILINE)
        until(
            lambda: not program.running or (address and "--check" not in arguments and listens(address.group(1))),
            "the aggregator works",
        )
        return program

    def config(self, options: str = "", *, address: str = "", report: str = "report", interval: float = 0.1) -> str:
        """Return the file of an aggregator that writes reports. The options are further lines of its table."""
        return (
            f'[aggregator]\nsocket_addr = "{address or self.address}"\n{options}\n'
            f'[reporters.stream]\ninterval = {interval}\npath = "{self.folder / report}"\n'
        )

    def configured(self, config: str) -> List[str]:
        """Return the command that runs an aggregator with `config` as the content of its file."""
        self._started += 1
        path = self.folder / f"aggregator{self._started}.toml"
        path.write_text(textwrap.dedent(config))
        return [sys.executable, "-m", "tests.distributed.patience", "--config", str(path)]

    def command(self, command: Sequence[str], environment: Mapping[str, str], folder: Optional[Path] = None) -> Program:
        """Start any command, in a folder."""
        log = self.folder / f"log{len(list(self.folder.glob('log*')))}"
        program = Program(command, log, {"PLACE": str(self.folder), **environment}, folder)
        self._stack.callback(program.kill)
        return program

    def report(self, name: str = "report") -> Reports:
        """Return the reports in a file of the folder."""
        return Reports(self.folder / name)

    def check(
        self,
        program: Program,
        *,
        seen: Optional[Figures] = None,
        last: Optional[Figures] = None,
        said: Optional[Sequence[str]] = (),
        status: int = 0,
    ) -> None:
        """Check that a program ends with this status, has written these lines, and that its last report shows `last`.

        With `seen` it is a program that waits for that note. It is given when a report shows these figures. What it has
        written may be anything if `said` is None.
        """
        if seen is not None:
            self.expect(seen, "seen", program)
        ended = program.ended()
        assert (ended, program.lines()) == (status, program.lines() if said is None else list(said))
        if last is not None:
            assert self.report().last(*last) == last

    def expect(self, figures: Figures, note: str = "", program: Optional[Program] = None) -> None:
        """Check that a report shows these figures in time, and give the programs this note then."""
        assert self.report().await_last(figures) == figures, "" if program is None else program.said()
        if note:
            self.note(note)

    def is_tidy(self) -> bool:
        """Whether an aggregator has left neither its socket nor its lock."""
        return not [name for name in ("a", "a.lock") if (self.folder / name).exists()]

    def note(self, name: str) -> None:
        """Say something to the programs, which wait for it with `noted`."""
        (self.folder / name).touch()

    def await_note(self, name: str) -> None:
        """Wait until a program has said something."""
        until((self.folder / name).exists, f"{name} is noted")

    def pid(self) -> int:
        """Return the number of a process, once a program has written it to the file `pid`."""
        file = self.folder / "pid"
        until(lambda: file.exists() and file.read_text(), "it has been started")
        return int(file.read_text())


@contextlib.contextmanager
def running_here(aggregator: RegistryAggregator) -> Iterator[None]:
    """Run an aggregator in a thread of this process, which has to end when it is stopped."""
    thread = threading.Thread(target=aggregator.start, args=(False,))
    thread.start()
    until(lambda: all(reporter.running for reporter in aggregator.reporters), "it works")
    try:
        yield
    finally:
        aggregator.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


def listens(address: str) -> bool:
    """Whether somebody listens at an address of loopback."""
    kind, _, place = address.partition("://")
    if kind == "tcp":
        return accepts(int(place.rpartition(":")[2]))
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
        return True
    return False


def figure(stats: Mapping[str, Any], name: str) -> Any:
    """Return a statistic of a tree by its name, None if there is none."""
    node: Any = stats
    for part in name.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
