"""What the tests over real servers rely on: groups of processes that end, clients that count, and totals that tell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from tests.distributed.servers.serving import AT_THE_END, Course, Group, Site, both, needs, script
from tests.distributed.servers.totals import LastReport, Page, Totals
from tests.servers.processes import environment, is_there, until

ROOT = Path(__file__).resolve().parents[3]

STARTER = """
import os, signal, sys
from pathlib import Path
from tests.distributed.servers.serving import Group
from tests.servers.processes import until
group = Group(["sh", "-c", "sleep 600 & echo $!; exec sleep 600"], Path(sys.argv[1]), {})
until(group.said, "it has started another process")
print(group.pid, group.said(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_group_ends_with_the_tests_that_are_killed(tmp_path: Path) -> None:
    """Not even what a server has started outlives tests that were given no chance to stop it."""
    tests = subprocess.run(
        [sys.executable, "-c", STARTER, str(tmp_path / "log")],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert tests.returncode == -signal.SIGKILL
    for pid in map(int, tests.stdout.split()):
        until(lambda pid=pid: not is_there(pid), "it has ended")  # type: ignore[misc]


def test_a_group_has_ended_when_all_of_it_have(tmp_path: Path) -> None:
    """The end of a server is waited for until the last process that it has started has ended."""
    group = Group(["sh", "-c", "(sleep 0.2; echo last) & trap exit TERM; echo up; wait"], tmp_path / "log", {})
    try:
        until(group.said, "it is up")
        group.end()

        assert group.said() == "up\nlast\n"
    finally:
        group.kill()


class Sequel(Page):
    """A page that shows one thing after the other, and the last for ever."""

    def __init__(self, *shown: int) -> None:
        """Show these totals."""
        super().__init__(0)
        self._shown = [both(each) for each in shown]

    def totals(self) -> Totals:
        """Return the next."""
        return self._shown.pop(0) if len(self._shown) > 1 else self._shown[0]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    """Run a process that ends when it is asked to."""
    running = Group(["sh", "-c", "echo the log; exec sleep 600"], tmp_path / "log", {})
    until(running.said, "it is up")
    yield running
    running.kill()


@pytest.mark.parametrize(
    ("shown", "answered", "faults"),
    [
        ([0, 1, 5], 5, []),
        ([3, 2, 5], 5, ["Totals(timed=2, counted=2) was read after Totals(timed=3, counted=3)"]),
        (
            [0, 4],
            5,
            ["Totals(timed=4, counted=4) was read when Totals(timed=5, counted=5) had been answered", "the log\n"],
        ),
        (
            [6],
            5,
            ["Totals(timed=6, counted=6) was read when Totals(timed=5, counted=5) had been answered", "the log\n"],
        ),
    ],
    ids=["exact", "went-down", "too-few", "too-many"],
)
def test_what_is_wrong_with_totals_is_found(
    shown: List[int], answered: int, faults: List[str], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The course says what the total was and should have been, and which scrape went down."""
    monkeypatch.setattr("tests.servers.processes.PATIENCE", 0.1)
    page = Sequel(*shown)

    def ask(requests: int, enough: object) -> int:
        until(enough, "it is enough")  # type: ignore[arg-type]
        return answered

    course = Site(group, ask, page, page, end=group.end, interval=AT_THE_END).serve()

    assert course == Course(both(answered), both(shown[-1]), faults)


def test_the_last_report_is_the_last_line_that_is_whole(tmp_path: Path) -> None:
    """A line that is being written does not count yet."""
    path = tmp_path / "report"
    stats = json.dumps({"app": {"latency": {"count": 2}, "served": {"value": 3}}})

    assert LastReport(path).totals() == (0, 0)
    path.write_text(f"{{}}\n{stats}\n")
    assert LastReport(path).totals() == (2, 3)
    path.write_text(f"{stats}\n{{")
    assert LastReport(path).totals() == (2, 3)


def test_servers_that_are_not_installed_skip_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says where the server comes from."""
    monkeypatch.delenv("TAPES_REQUIRE_SERVERS", raising=False)

    with pytest.raises(pytest.skip.Exception, match="Nothing_of_that_name is not installed: it is in the dependency"):
        needs("nothing_of_that_name")
    with pytest.raises(pytest.skip.Exception, match="Nothing-of-that-name is not installed: it is in the dependency"):
        script("nothing-of-that-name")
