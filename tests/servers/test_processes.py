"""The processes that servers run in end in time."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.processes import CHOSEN_BY_TESTS, LANES, ServerProcess, free_port, is_there, ports_of, until

STARTER = """
import os, signal, sys
from pathlib import Path
from tests.servers.processes import ServerProcess, until
server = ServerProcess(["sh", "-c", "echo ready; exec sleep 600"], Path(sys.argv[1]))
until(server.said, "it is ready")
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed: apt-get install util-linux")
def test_a_server_ends_with_the_tests_that_are_killed(tmp_path: Path) -> None:
    """A server does not outlive tests that were given no chance to stop it."""
    tests = subprocess.run(
        [sys.executable, "-c", STARTER, str(tmp_path / "log")],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )

    assert tests.returncode == -signal.SIGKILL
    until(lambda: not is_there(int(tests.stdout)), "the server has ended")


def test_a_server_that_does_not_listen_to_reason_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """stop() ends also a process that ignores SIGTERM."""
    monkeypatch.setattr("tests.servers.processes.PATIENCE", 0.1)
    server = ServerProcess(["sh", "-c", "trap '' TERM; echo ready; exec sleep 600"], tmp_path / "log")
    until(lambda: server.said() == "ready\n", "it ignores SIGTERM")

    server.stop()

    assert not server.running


def test_tests_that_run_at_a_time_choose_other_ports() -> None:
    """No two processes of pytest-xdist share a port, and none chooses one twice: both might be about to use it."""
    chosen = [free_port() for _ in range(50)]
    shares = [ports_of(f"gw{number}") for number in range(LANES)]

    assert len(set(chosen)) == 50
    assert sorted(port for share in shares for port in share) == list(CHOSEN_BY_TESTS)
