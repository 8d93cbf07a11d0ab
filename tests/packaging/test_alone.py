"""Each distribution works alone, with core, and brings nothing that only another one needs."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Dict, List

import pytest

import tapes
from tests.packaging.building import environment, run
from tests.reporting.lines import statistics

OF_CORE = ["addict", "pluggy", *([] if sys.version_info >= (3, 11) else ["tomli"])]
VERSION = tapes.__version__
PROGRAM = """
import tapes
tapes.counter("orders").increment(3)
tapes.configure({{"reporters": {reporters}}}).stop()
"""
LIST = "from importlib import metadata; print(*{found.metadata['Name'] for found in metadata.distributions()})"

KINDS = f"""
KIND       DISTRIBUTION      STATUS
counter    tapes-core {VERSION}  ok
gauge      tapes-core {VERSION}  ok
histogram  tapes-core {VERSION}  ok
meter      tapes-core {VERSION}  ok
timer      tapes-core {VERSION}  ok
"""
"""The kinds that core has."""


@pytest.fixture(scope="session")
def statsd_python(wheels: Dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheels of tapes-core and tapes-statsd, and what they require."""
    return alone("tapes-statsd", wheels, tmp_path_factory)


@pytest.fixture(scope="session")
def tornado_python(wheels: Dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheels of tapes-core and tapes-tornado, and what they require."""
    return alone("tapes-tornado", wheels, tmp_path_factory)


def alone(name: str, wheels: Dict[str, Path], folders: pytest.TempPathFactory) -> Path:
    """Install a distribution with core and nothing else of tapes."""
    return environment(folders.mktemp(name) / "venv", [str(wheels["tapes-core"]), str(wheels[name])])


def installed(python: Path) -> List[str]:
    """Return the names of the distributions that are installed."""
    return sorted(run(str(python), "-I", "-c", LIST).split())


def plugins(python: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m tapes plugins`."""
    return subprocess.run(
        [str(python), "-I", "-m", "tapes", "plugins"], capture_output=True, text=True, timeout=300, check=False
    )


def test_statsd_brings_no_tornado(statsd_python: Path) -> None:
    """tapes-statsd is installed with core, and with nothing else."""
    assert installed(statsd_python) == sorted([*OF_CORE, "tapes-core", "tapes-statsd"])


def test_tornado_brings_no_statsd(tornado_python: Path) -> None:
    """tapes-tornado is installed with core and tornado, and with nothing else."""
    assert installed(tornado_python) == sorted([*OF_CORE, "tapes-core", "tapes-tornado", "tornado"])


def test_statsd_is_found_alone(statsd_python: Path) -> None:
    """`python -m tapes plugins` lists the reporter statsd, and nothing is broken."""
    listed = plugins(statsd_python)

    assert (
        listed.stdout
        == dedent(f"""\
        PLUGIN  DISTRIBUTION        STATUS
        core    tapes-core {VERSION}    ok
        statsd  tapes-statsd {VERSION}  ok

        REPORTER  DISTRIBUTION        STATUS
        http      tapes-core {VERSION}    ok
        statsd    tapes-statsd {VERSION}  ok
        stream    tapes-core {VERSION}    ok

        FORMAT  DISTRIBUTION      STATUS
        json    tapes-core {VERSION}  ok

        ROUTE  DISTRIBUTION      STATUS
        /      tapes-core {VERSION}  ok
        """)
        + KINDS
    )
    assert (listed.returncode, listed.stderr) == (0, "")


def test_tornado_is_found_alone_and_says_what_is_missing(tornado_python: Path) -> None:
    """`python -m tapes plugins` lists the reporters of tapes-tornado, and says what tornado-statsd needs."""
    listed = plugins(tornado_python)
    lines = listed.stdout.splitlines(keepends=True)
    broken = [line for line in lines if "broken" in line]

    assert (
        "".join(line for line in lines if line not in broken)
        == dedent(f"""\
        PLUGIN   DISTRIBUTION         STATUS
        core     tapes-core {VERSION}     ok
        tornado  tapes-tornado {VERSION}  ok

        REPORTER        DISTRIBUTION         STATUS
        http            tapes-core {VERSION}     ok
        stream          tapes-core {VERSION}     ok
        tornado-http    tapes-tornado {VERSION}  ok
        tornado-stream  tapes-tornado {VERSION}  ok

        FORMAT  DISTRIBUTION      STATUS
        json    tapes-core {VERSION}  ok

        ROUTE  DISTRIBUTION      STATUS
        /      tapes-core {VERSION}  ok
        """)
        + KINDS
    )
    assert len(broken) == 1
    assert broken[0].startswith(f"tornado-statsd  tapes-tornado {VERSION}  broken: ")
    assert "needs tapes-statsd, which is not installed" in broken[0]
    assert broken[0].endswith("pip install 'tapes-tornado[statsd]'.\n")
    assert (listed.returncode, listed.stderr) == (1, "")


def test_statsd_reports_alone(statsd_python: Path) -> None:
    """A program with nothing else installed reports to StatsD as its configuration says."""
    with socket.socket(type=socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(30)
        options = {"interval": 10, "host": "127.0.0.1", "port": statsd.getsockname()[1]}

        printed = run(str(statsd_python), "-I", "-c", PROGRAM.format(reporters={"statsd": options}))

        assert statsd.recv(1432) == b"orders.value:+3|c"
    assert printed == ""


def test_tornado_reports_alone(tornado_python: Path) -> None:
    """A program with nothing else installed reports to its standard output as its configuration says."""
    printed = run(str(tornado_python), "-I", "-c", PROGRAM.format(reporters={"tornado-stream": {"interval": 10}}))

    assert statistics(printed) == [{"orders": {"value": 3}}]
