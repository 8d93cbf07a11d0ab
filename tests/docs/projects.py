"""A page of the documentation as the project that it describes: laid out in a folder, run, asked and ended.

Its files are the blocks with a title, and what blocks with `add="FILE"` add to files that are there. Its commands are
in blocks with a role, see `pages.py`:

make     Makes the project, before the files of the page are laid out.
server   A server, or another program that runs until it is stopped: by SIGTERM to its first process or, with
         `stop="Ctrl-C"`, as a terminal does it, or with `stop="SIGTERM to all"` as systemd does it. It has one process
         that works, or as many as an option says, or `processes="4"`. With `python="3.10"` it needs that one.
command  Imports the application and records nothing that counts.
work     Does something and prints how much, as the last word of its output.
look     Prints the metrics of all processes as JSON. `curl URL` is done by the test. With `of="WORD"` it belongs to the
         servers whose command has the word.

The port 8000 and the URL of Redis, as pages write them, are replaced by what the test has.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from tapes.distributed.rendezvous import Rendezvous, meeting_at
from tests.distributed.faults.processes import short_folder
from tests.distributed.servers.serving import Group, accepts
from tests.docs.pages import Command, commands, files, lay_out
from tests.servers.installed import missing
from tests.servers.processes import PATIENCE, free_port, until
from tests.servers.redis import running_redis

ROOT = Path(__file__).resolve().parents[2]

PORT = "8000"
REDIS = "redis://localhost:6379/0"

STOPS = {
    "SIGTERM": (os.kill, signal.SIGTERM),
    "SIGTERM to all": (os.killpg, signal.SIGTERM),
    "Ctrl-C": (os.killpg, signal.SIGINT),
}

REQUESTS = 80
CLIENTS = 4

COMPLAINTS = ["Traceback", "aggregator"]
"""Words that nobody says when all is well."""

READ = """
import json, sys, tapes
configuration = tapes.configure(sys.argv[1])
while True:
    try:
        stats = configuration.get_stats()
        break
    except tapes.errors.ReporterError:
        pass
print(json.dumps(stats))
"""
"""Prints the metrics of all processes, once there is an aggregator: what is done after a restart."""


class Project(NamedTuple):
    """A page, with what its commands are for."""

    page: Path
    name: str
    files: Dict[str, str]
    added: Dict[str, str]
    """What is added to files, by their names."""
    commands: List[Command]

    @classmethod
    def of(cls, page: Path) -> Project:
        """Read a page."""
        text = page.read_text(encoding="utf-8")
        return cls(page, page.stem, files(text), files(text, "add"), commands(text))

    def looks(self, server: Optional[Command]) -> List[Command]:
        """Return how to look at the metrics while a server runs."""
        line = server.line if server else ""
        return [look for look in self.having("look") if look.attributes.get("of", "") in line]

    def having(self, role: str) -> List[Command]:
        """Return the commands of a role that the running Python can have."""
        return [command for command in self.commands if command.role == role and is_possible(command)]


class Place:
    """A project in a folder of its own, and all that was started there."""

    def __init__(self, project: Project, folder: Path, replaced: Mapping[str, str]) -> None:
        """Lay the project out, with some words replaced, in its files and commands alike."""
        self._project = project
        self._folder = folder
        self._replaced = replaced
        self._config = next(folder / name for name in project.files if name.endswith("tapes.toml"))
        self._logs = 0
        for command in project.having("make"):
            self.run(command)
        lay_out({name: self._filled(content) for name, content in project.files.items()}, folder)
        for name, content in project.added.items():
            with open(folder / name, "a", encoding="utf-8") as file:
                file.write(content)

    @property
    def at(self) -> Rendezvous:
        """Where its processes meet."""
        return meeting_at(str(self._config))

    def run(self, command: Command) -> str:
        """Run a command to its end, which has to be a good one, and return what it has printed."""
        line, environment = self._command(command)
        done = subprocess.run(
            line,
            cwd=self._folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{command.line} ended with {done.returncode}:\n{said}"
        assert complaints(done.stderr) == [], f"{command.line} said:\n{said}"
        return done.stdout

    @contextlib.contextmanager
    def running(self, command: Command) -> Iterator[None]:
        """Run a server while this is entered, and end it in order then."""
        line, environment = self._command(command)
        self._logs += 1
        log = self._folder / f"server{self._logs}.log"
        server = Group(line, log, environment, folder=self._folder)
        try:
            if self._listens(command):
                port = int(self._replaced[PORT])
                until(lambda: accepts(port) or not server.running, f"{command.line} listens")
            assert server.running, f"{command.line} does not start:\n{server.said()}"
            yield
            tell, number = STOPS[command.attributes.get("stop", "SIGTERM")]
            tell(server.pid, number)
            server.await_end()
            assert complaints(server.said()) == [], f"{command.line} said:\n{server.said()}"
        except AssertionError as error:
            raise AssertionError(f"{error}\n{command.line} said:\n{server.said()}") from error
        finally:
            server.kill()

    def work(self, server: Optional[Command]) -> int:
        """Have the project do what it is for, and return how much it has done."""
        answered = self._ask() if server and self._listens(server) else 0
        return answered + sum(int(self.run(command).split()[-1]) for command in self._project.having("work"))

    def look(self, command: Command) -> Dict[str, Any]:
        """Return the metrics that a command shows."""
        words = shlex.split(self._filled(command.line))
        text = fetch(words[-1]) if words[0] == "curl" else self.run(command)
        stats: Dict[str, Any] = json.loads(text)
        return stats

    def read(self) -> Dict[str, Any]:
        """Return the metrics that another process finds."""
        done = subprocess.run(
            [sys.executable, "-c", READ, str(self._config)],
            stdout=subprocess.PIPE,
            text=True,
            timeout=2 * PATIENCE,
            check=True,
        )
        stats: Dict[str, Any] = json.loads(done.stdout)
        return stats

    def left_over(self) -> List[str]:
        """Return the files at the meeting place."""
        folder = Path(self.at.socket).parent
        return sorted(each.name for each in folder.glob(f"{Path(self.at.socket).name}*"))

    def _listens(self, server: Command) -> bool:
        """Whether it serves over HTTP."""
        return any(PORT in text for text in (server.line, *self._project.files.values()))

    def _ask(self) -> int:
        """Send requests to the server from several clients, and return how many were answered."""
        url = f"http://localhost:{self._replaced[PORT]}/"

        def answered(_: int) -> int:
            with contextlib.suppress(ConnectionError):  # a worker may leave before it has read a request
                fetch(url)
                return 1
            return 0

        with ThreadPoolExecutor(CLIENTS) as clients:
            return sum(clients.map(answered, range(REQUESTS)))

    def _command(self, command: Command) -> Tuple[Sequence[str], Dict[str, str]]:
        """Return the words of a command line and the environment that it begins with."""
        words = shlex.split(self._filled(command.line))
        # Users have no such thing: what is found is what is installed, and the folder of the project.
        environment = {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            name, _, value = words.pop(0).partition("=")
            environment[name] = value
        return [executable(words[0]), *words[1:]], environment

    def _filled(self, text: str) -> str:
        for word, replacement in self._replaced.items():
            text = text.replace(word, replacement)
        return text


@contextlib.contextmanager
def laid_out(project: Project, folder: Path) -> Iterator[Place]:
    """Lay a project out in a folder, with what it needs running."""
    with contextlib.ExitStack() as stack:
        replaced = {PORT: str(free_port()), "$VIRTUAL_ENV": sys.prefix}
        if any(REDIS in content for content in project.files.values()):
            socket = Path(stack.enter_context(short_folder()))
            replaced[REDIS] = stack.enter_context(running_redis(socket))
        yield Place(project, folder, replaced)


def is_possible(command: Command) -> bool:
    """Whether this Python is as new as a command needs."""
    major, minor = command.attributes.get("python", "3.9").split(".")
    return sys.version_info >= (int(major), int(minor))


def executable(name: str) -> str:
    """Return the path of a command that was installed beside the interpreter."""
    if name == "python":
        return sys.executable
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        missing(f"{name} is not installed: it is in the dependency groups `servers` and `frameworks`")
    return found


def complaints(said: str) -> List[str]:
    """Return the lines of what was said that should not be there."""
    return [line for line in said.splitlines() if any(word in line for word in COMPLAINTS)]


def fetch(url: str) -> str:
    """Return a page. Anything but 200 is a failure."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=PATIENCE)
    try:
        connection.request("GET", address.path)
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    assert answer.status == 200, f"{url}: {answer.status} {body}"
    return body


def served(stats: Mapping[str, Any]) -> int:
    """Return what all processes together have served."""
    value: int = stats.get("shop", {}).get("served", {}).get("value", 0)
    return value


def workers(stats: Mapping[str, Any]) -> int:
    """Return how many processes have recorded something."""
    value: int = stats["tapes"]["aggregator"]["workers"]["value"]
    return value


def processes(server: Command) -> int:
    """Return how many processes of a server work, by the option that says so."""
    found = re.search(r"--(?:workers|concurrency|processes) (\d+)", server.line)
    return int(found[1] if found else server.attributes.get("processes", 1))
