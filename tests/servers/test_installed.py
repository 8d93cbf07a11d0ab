"""A server that is missing skips the tests that need it, or fails them where none may be missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.servers import installed
from tests.servers.installed import collectd_command, ip_command, redis_command, statsd_command

NO_NODE = "the original StatsD needs Node: install nodejs and npm, then run `python3 noxfile.py -s tests`."
NO_COLLECTD = "collectd is not installed: apt-get install collectd-core."
NO_REDIS = "redis-server is not installed: apt-get install redis-server."
NO_IP = "ip is not installed: apt-get install iproute2."

skipped: Any = pytest.skip.Exception
failed: Any = pytest.fail.Exception


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this a machine with no command at all, and return the folder that they are looked for in."""
    commands = tmp_path / "bin"
    commands.mkdir()
    monkeypatch.setenv("PATH", str(commands))
    monkeypatch.setattr(installed, "ADMINISTRATION", str(commands))
    monkeypatch.setattr(installed, "INSTALLED", tmp_path / "servers")
    monkeypatch.delenv("TAPES_STATSD", raising=False)
    monkeypatch.delenv("TAPES_REQUIRE_SERVERS", raising=False)
    return commands


@pytest.mark.parametrize(
    ("find", "reason"),
    [
        (statsd_command, NO_NODE),
        (collectd_command, NO_COLLECTD),
        (redis_command, NO_REDIS),
        (ip_command, NO_IP),
    ],
)
def test_what_is_missing_skips_the_test_or_fails_it(
    find: Callable[[], object], reason: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason says what to install, and TAPES_REQUIRE_SERVERS=1 makes a failure of it."""
    # Either may come at either place: one that is not caught would be the outcome of this test.
    with pytest.raises((skipped, failed)) as first:
        find()
    monkeypatch.setenv("TAPES_REQUIRE_SERVERS", "1")
    with pytest.raises((skipped, failed)) as second:
        find()

    assert (first.type, str(first.value)) == (skipped, reason[0].upper() + reason[1:])
    assert (second.type, str(second.value)) == (failed, f"TAPES_REQUIRE_SERVERS is 1, but {reason}")


def test_statsd_is_found_where_it_was_installed_or_is_said_to_be(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that noxfile.py has installed is found, and the one that the environment names goes before."""
    node = bare / "node"
    node.symlink_to(sys.executable)
    told = bare / "told.js"
    there = installed.INSTALLED / "statsd-0.9.0" / "node_modules" / "statsd" / "stats.js"

    with pytest.raises(skipped, match=r"There is no StatsD in .*servers: install npm, go online and run"):
        statsd_command()
    there.parent.mkdir(parents=True)
    there.touch()
    assert statsd_command() == [str(node), str(there)]
    monkeypatch.setenv("TAPES_STATSD", str(told))
    with pytest.raises(skipped, match=r"There is no StatsD in .*told\.js"):
        statsd_command()
    told.touch()
    assert statsd_command() == [str(node), str(told)]


def test_only_root_makes_networks(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others than root are told that only root can."""
    (bare / "ip").symlink_to(sys.executable)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(skipped, match="Only root can make a network"):
        ip_command()
