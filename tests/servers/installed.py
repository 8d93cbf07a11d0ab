"""Where the servers are that the tests talk to. A test whose server is missing is skipped, or fails.

The original StatsD is where the environment variable TAPES_STATSD says (the path of its stats.js), or where noxfile.py
has installed it. With TAPES_REQUIRE_SERVERS=1 nothing is skipped: what is missing is a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import List, NoReturn, Sequence

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".nox" / "servers"
ADMINISTRATION = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin"])  # not on the PATH of every user


def statsd_command() -> List[str]:
    """Return the command that runs the original StatsD, to which its configuration is added."""
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        missing("the original StatsD needs Node: install nodejs and npm, then run `python3 noxfile.py -s tests`")
    told = os.environ.get("TAPES_STATSD")
    found = [Path(told)] if told else sorted(INSTALLED.glob("statsd-*/node_modules/statsd/stats.js"))
    if not found or not found[-1].exists():
        where = told or INSTALLED
        missing(f"there is no StatsD in {where}: install npm, go online and run `python3 noxfile.py -s tests`")
    return [node, str(found[-1])]


def collectd_command() -> List[str]:
    """Return the command that runs collectd, to which its configuration is added."""
    return [tool("collectd", "collectd-core")]


def redis_command() -> List[str]:
    """Return the command that runs Redis, to which its options are added."""
    return [tool("redis-server", "redis-server")]


def ip_command() -> str:
    """Return the command `ip`, with which root makes networks."""
    command = tool("ip", "iproute2")
    if os.geteuid() != 0:
        missing("only root can make a network: run the tests as root")
    return command


def open_to_all(command: Sequence[str], folder: Path) -> List[str]:
    """Return a command with which root runs `command` where every user may run this Python, also one below /root.

    In a mount namespace of its own, a folder that others may not enter is covered by another one, which has nothing but
    what the interpreter needs. `folder` is a place to keep what is covered.
    """
    imported: List[str] = [sys.base_prefix, sys.prefix, *sys.path, str(ROOT)]
    needed = [os.path.realpath(each) for each in imported if os.path.isabs(each)]
    script = ["set -e"]
    for number, closed in enumerate(sorted({each for path in needed for each in _closed(path)})):
        kept = folder / f"covered{number}"
        script += [f"mkdir {kept}", f"mount --rbind {closed} {kept}", f"mount -t tmpfs -o mode=755 tmpfs {closed}"]
        for path in sorted({path for path in needed if closed in _closed(path) and os.path.isdir(path)}):
            script += [f"mkdir -p {path}", f"mount --bind {kept}/{os.path.relpath(path, closed)} {path}"]
    return [tool("unshare", "util-linux"), "--mount", "sh", "-c", "\n".join([*script, 'exec "$@"']), "sh", *command]


def _closed(path: str) -> List[str]:
    """Return the outermost folder above a path that others may not enter, if there is one."""
    above = reversed(Path(path).parents)
    return [str(each) for each in above if not each.stat().st_mode & 0o001][:1]


def tool(name: str, package: str) -> str:
    """Return the path of a command that comes with a package of Debian."""
    found = shutil.which(name) or shutil.which(name, path=ADMINISTRATION)
    if found is None:
        missing(f"{name} is not installed: apt-get install {package}")
    return found


def missing(what: str) -> NoReturn:
    """Skip the test for want of something; fail it where nothing may be wanting."""
    if os.environ.get("TAPES_REQUIRE_SERVERS") == "1":
        pytest.fail(f"TAPES_REQUIRE_SERVERS is 1, but {what}.", pytrace=False)
    pytest.skip(f"{what[0].upper()}{what[1:]}.")
