"""The projects of the documentation run as their pages say, one page for each framework and server."""

from __future__ import annotations

import contextlib
from typing import Callable, ContextManager, Iterator, List, Optional, Tuple

import pytest

from tapes.distributed.claims import is_held
from tests.docs.pages import Command, commands, files
from tests.docs.projects import ROOT, Place, Project, laid_out, processes, served, workers
from tests.servers.processes import awaited, until

PAGES = [
    ROOT / "README.md",
    *(page for place in ("frameworks", "servers") for page in sorted((ROOT / "docs" / place).iterdir())),
]
PROJECTS = [Project.of(page) for page in PAGES]

ALONE: List[Optional[Command]] = [None]

SERVERS: List[Tuple[Project, Optional[Command]]] = [
    (project, server)
    for project in PROJECTS
    for server in project.having("server") or ALONE * bool(project.having("work"))
]

LayOut = Callable[[Project], ContextManager[Place]]


@pytest.fixture(scope="module")
def lay_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LayOut]:
    """Lay projects out. When all tests are over their aggregators have to end by themselves, and leave nothing behind.

    They stay for ten seconds, as pages say: it is less to wait for all of them at once.
    """
    places: List[Place] = []

    @contextlib.contextmanager
    def laid(project: Project) -> Iterator[Place]:
        with laid_out(project, tmp_path_factory.mktemp(project.name)) as place:
            places.append(place)
            yield place

    yield laid
    for place in places:
        until(lambda: not is_held(place.at.lock) and not place.left_over(), f"nothing is left at {place.at.log}")  # noqa: B023


def named(value: object) -> str:
    """Return a name for a test."""
    if isinstance(value, Project):
        return value.name
    return value.line if isinstance(value, Command) else "alone"


@pytest.mark.parametrize(("project", "server"), SERVERS, ids=named)
def test_the_project_counts_what_it_serves(project: Project, server: Optional[Command], lay_out: LayOut) -> None:
    """Every way of a page to look at the metrics shows all that was served, and nothing is lost when the server ends.

    No process counts but those that serve, whatever else is run meanwhile.
    """
    looks = project.looks(server)
    with lay_out(project) as place:
        with place.running(server) if server else contextlib.nullcontext():
            done = place.work(server)
            for command in project.having("command") if server in project.having("server")[:1] else []:
                place.run(command)
            for look in looks:
                assert awaited(lambda: served(place.look(look)), done) == done  # noqa: B023
                if server:
                    assert 1 <= workers(place.look(look)) <= processes(server)
            done += place.work(server)
        stats = place.read()

    assert looks
    assert done > 0
    assert served(stats) == done


@pytest.mark.parametrize("project", [project for project in PROJECTS if project.having("command")], ids=named)
def test_commands_start_nothing(project: Project, lay_out: LayOut) -> None:
    """A command that imports the application and records nothing, or is told to do nothing, starts no aggregator."""
    with lay_out(project) as place:
        for command in project.having("command"):
            place.run(command)
            assert place.left_over() == [], command.line


PAGE = """
```console run="server" stop="Ctrl-C"
$ serve --port 8000
Serving.
```

```ini title="folder/settings.ini"
[settings]
```

```ini add="folder/settings.ini"
added = true
```

```console
$ rm -rf everything
```
"""


def test_a_project_is_read_from_its_page() -> None:
    """Only what has a role is run, without what it prints; what is added to a file is no file."""
    (server,) = commands(PAGE)

    assert server == Command("server", "serve --port 8000", {"run": "server", "stop": "Ctrl-C"})
    assert files(PAGE) == {"folder/settings.ini": "[settings]\n"}
    assert files(PAGE, "add") == {"folder/settings.ini": "added = true\n"}
