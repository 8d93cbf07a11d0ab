"""The processes that servers run in end in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.processes import CHOSEN_BY_TESTS, LANES, ServerProcess, free_port, ports_of, until


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
