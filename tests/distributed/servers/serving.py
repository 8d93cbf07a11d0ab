"""Servers of several processes with their aggregator: started, asked, watched and ended."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Callable, ContextManager, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from tests.distributed.servers.totals import LastReport, Page, Picture, Scraper, Totals, fetch
from tests.servers import processes
from tests.servers.installed import missing
from tests.servers.processes import PATIENCE, ServerProcess, free_port, until

ATTEMPTS = 5  # at a start, each with other ports
CLIENTS = 4
REQUESTS = 60
PROCESSES = 2  # that a server has at a time

COMPLAINTS = ["Traceback", "called connect", "has confirmed its last report"]
"""Words that are in the log of none, when all is well."""

WHILE_SERVING = 0.1
"""The interval of workers whose counts have to be seen while they serve."""

AT_THE_END = 3600.0
"""The interval of workers that publish what they have counted when they end, and not before."""

OVERHEARD = 10.0
"""Seconds after which a server that has not ended is told to once more."""

Command = Callable[[int], Sequence[str]]
"""Gives the command for a server that listens at a port of loopback."""

Ask = Callable[[int, Callable[[], bool]], int]
"""Asks so often at least, until that is enough. Returns how many answers there were."""


class Course(NamedTuple):
    """What came of a server that was asked, watched and ended."""

    answered: Totals
    """By all of its processes together."""
    total: Totals
    """That the aggregator knows of when all have ended."""
    faults: List[str]
    """Totals that went down, and the log of the server if it complains or the total is wrong."""


class Group(ServerProcess):
    """A server with all the processes that it starts. None of them outlives the tests, however they end."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], folder: Optional[Path] = None
    ) -> None:
        """Start `command` in a folder, with this in its environment besides."""
        of_all = processes.environment(**environment)
        super().__init__(command, log, environment=of_all, leads_group=True, folder=folder)
        # It reads until it is told that all is over, or until the tests have ended and cannot tell.
        self._guard = subprocess.Popen(
            ["sh", "-c", f"read -r line || kill -KILL -{self.pid}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _have_ended(self, once_more: float) -> bool:
        """Whether all have. uWSGI overhears a signal while it replaces a worker: it is told again after that time."""
        if self.running and time.monotonic() > once_more:
            os.kill(self.pid, signal.SIGTERM)
        return not self.running and not self._are_any()

    def end(self, *, everyone: bool = False) -> None:
        """Send SIGTERM to the first process, or to all of them, and wait until all have ended by themselves."""
        if everyone:
            os.killpg(self.pid, signal.SIGTERM)
        else:
            os.kill(self.pid, signal.SIGTERM)
        once_more = time.monotonic() + OVERHEARD
        try:
            until(lambda: self._have_ended(once_more), "all have ended")
        except AssertionError as error:
            raise AssertionError(f"{error} They said:\n{self.said()}") from None

    def await_end(self) -> None:
        """Wait until all of them have ended by themselves."""
        until(lambda: not self.running and not self._are_any(), "all have ended")

    def kill(self) -> None:
        """End what is left of it, with no chance to do anything more."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().kill()
        self._guard.communicate(b"\n")

    def complaints(self) -> List[str]:
        """Return its log, if there is something in it that should not be."""
        said = self.said()
        return [said] if any(word in said for word in COMPLAINTS) else []

    def _are_any(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Site:
    """A server with the aggregator that its workers publish to."""

    def __init__(
        self, server: Group, ask: Ask, page: Page, last: Picture, *, end: Callable[[], None], interval: float
    ) -> None:
        """Take what was started. `last` is where the totals are when the server has ended."""
        self._server = server
        self._ask = ask
        self._page = page
        self._last = last
        self._end_server = end
        self._interval = interval

    def serve(self) -> Course:
        """Ask for a while, with scrapes in between, and end the server at once.

        Before that wait until the aggregator has it all, if workers publish while they serve.
        """
        return self._serve_and_end() if self._interval == AT_THE_END else self._serve_and_watch()

    def _serve_and_watch(self) -> Course:
        answered = self._ask(REQUESTS, lambda: True)
        faults = self._wrong(answered)
        with Scraper(self._page) as scraper:
            answered += self._ask(REQUESTS, scraper.enough)
        faults += self._wrong(answered)
        return self._end(answered, faults + scraper.went_down())

    def _serve_and_end(self) -> Course:
        with Scraper(self._page) as scraper:
            answered = self._ask(2 * REQUESTS, scraper.enough)
        return self._end(answered, scraper.went_down())

    def _wrong(self, answered: int) -> List[str]:
        """Wait until the aggregator has it all, while the server serves. Return what is wrong otherwise."""
        return difference(self._page.await_totals(both(answered)), both(answered))

    def _end(self, answered: int, faults: List[str]) -> Course:
        self._end_server()
        total = self._last.await_totals(both(answered))
        wrong = difference(total, both(answered))
        complaints = [*wrong, self._server.said()] if wrong else self._server.complaints()
        return Course(both(answered), total, faults + complaints)


def difference(read: Totals, expected: Totals) -> List[str]:
    """Return how totals differ from what they have to be, if they do."""
    return [] if read == expected else [f"{read} was read when {expected} had been answered"]


def both(answered: int) -> Totals:
    """Return what the totals have to be after so many answers."""
    return Totals(answered, answered)


@contextlib.contextmanager
def serving(
    command: Command,
    interval: float,
    *,
    forks_aggregator: bool = False,
    end_everyone: bool = False,
    settled: Callable[[str], bool] = lambda said: True,
    processes: int = PROCESSES,
    asking: Optional[Ask] = None,
    environment: Optional[Mapping[str, str]] = None,
) -> Iterator[Site]:
    """Run a server whose workers publish at this interval, and that is asked until so many processes have answered.

    The aggregator is a process of its own, or forked by the server. A server that is asked otherwise does not listen.
    One that cannot be ended at any moment tells by what it says when it is `settled`.
    """
    with contextlib.ExitStack() as stack:
        # Not the folder of pytest: the address of a socket has room for about a hundred characters.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapes-")))
        told = {**(environment or {}), "PLACE": address(folder), "INTERVAL": str(interval)}
        report = folder / "report"

        def start(port: int, other: int) -> Group:
            forked = {"AGGREGATOR": f"{other} {report}"} if forks_aggregator else {}
            return Group(command(port), folder / "server", {**told, **forked})

        page = None if forks_aggregator else stack.enter_context(aggregator(folder))
        used = [asking is None, forks_aggregator]
        server, port, other = stack.enter_context(listening(start, used))

        def end() -> None:
            until(lambda: settled(server.said()), "the server has settled")
            server.end(everyone=end_everyone)

        def ask_all(requests: int, enough: Callable[[], bool]) -> int:
            try:
                return ask(port, requests, processes, enough)
            except AssertionError as error:
                raise AssertionError(f"{error} The server said:\n{server.said()}") from None

        yield Site(
            server,
            asking or ask_all,
            page or Page(other),
            page or LastReport(report),
            end=end,
            interval=interval,
        )


def check_counts(served: ContextManager[Site]) -> None:
    """Check that the aggregator has counted what a server has answered, and that no scrape shows less than another."""
    with served as site:
        course = site.serve()

    assert course.faults == [], course
    assert course.total == course.answered, course


@contextlib.contextmanager
def aggregator(folder: Path) -> Iterator[Page]:
    """Run an aggregator as a process of its own, as a supervisor does. It has to end well."""

    def start(port: int, _: int) -> Group:
        config = folder / "aggregator.toml"
        config.write_text(f'[reporters.http]\nport = {port}\n\n[aggregator]\nsocket_addr = "{address(folder)}"\n')
        command = [sys.executable, "-m", "tests.distributed.patience", "--config", str(config)]
        return Group(command, folder / "aggregator", {})

    with listening(start, [True, False]) as (process, port, _):
        yield Page(port)
        process.end()
        assert process.complaints() == []


def address(folder: Path) -> str:
    """Return the address of the aggregator."""
    return f"ipc://{folder}/a"


@contextlib.contextmanager
def listening(start: Callable[[int, int], Group], used: Sequence[bool]) -> Iterator[Tuple[Group, int, int]]:
    """Start a server that is given two free ports, and wait until it listens at those that it uses."""
    with contextlib.ExitStack() as stack:
        for _ in range(ATTEMPTS):
            port = free_port()
            ports = (port, free_port())
            group = start(*ports)
            stack.callback(group.kill)
            waited_for = [port for port, uses in zip(ports, used) if uses]
            until(lambda: all(map(accepts, waited_for)) or not group.running, "it listens")  # noqa: B023  is called here
            if group.running:
                break
            assert "in use" in group.said(), f"It does not start:\n{group.said()}"  # another program was faster
        yield (group, *ports)


def accepts(port: int) -> bool:
    """Whether somebody listens at a port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


def ask(port: int, requests: int, processes: int, enough: Callable[[], bool]) -> int:
    """Ask so often at least, until that is enough and so many processes have answered. Several clients ask at once."""
    answers: Counter[int] = Counter()
    errors: List[BaseException] = []
    lock = threading.Lock()
    deadline = time.monotonic() + PATIENCE

    def done() -> bool:
        return bool(errors) or (sum(answers.values()) >= requests and len(answers) >= processes and enough())

    def client() -> None:
        try:
            while not done():
                assert time.monotonic() < deadline, f"In time there were these answers: {answers}."
                with contextlib.suppress(ConnectionError):  # a worker may leave before it has read a request
                    process = int(fetch(port))
                    with lock:
                        answers[process] += 1
        except BaseException as error:  # noqa: BLE001  whatever it is, the test is told
            errors.append(error)

    clients = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(2 * PATIENCE)
    for error in errors:
        raise error
    return sum(answers.values())


def needs(module: str) -> None:
    """Skip or fail the test where a server is not installed."""
    if importlib.util.find_spec(module) is None:
        missing(f"{module} is not installed: it is in the dependency group `servers`")


def script(name: str) -> str:
    """Return the path of a command that was installed beside the interpreter. Without it, skip or fail the test."""
    path = Path(sysconfig.get_path("scripts"), name)
    if not path.exists():
        missing(f"{name} is not installed: it is in the dependency group `servers`")
    return str(path)
