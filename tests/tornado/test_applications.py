"""Real applications of Tornado: requests are served and counted while reports go out, and SIGTERM ends them well."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from tests.servers.processes import PATIENCE, free_port, until
from tests.servers.statsd import StatsD

APPLICATION = Path(__file__).with_name("application.py")
CLIENTS = 4


class Application:
    """The application in a process of its own, with what it forks."""

    def __init__(self, port: int, config: Dict[str, Any], way: str, folder: Path) -> None:
        self.port = port
        self.said = folder / "said"
        with open(self.said, "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(APPLICATION), str(port), json.dumps(config), way],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
                start_new_session=True,  # all of its processes are one group
            )
        processes = 1 if way == "asyncio" else 2
        until(lambda: self.said.read_text().count("listening") == processes or self._process.poll(), "it listens")

    def terminate(self) -> None:
        """Ask all of its processes to end, and wait until they have."""
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(PATIENCE)
        until(lambda: not self._is_alive(), "its processes have ended")

    def kill(self) -> None:
        """End what is left of it."""
        if self._is_alive():
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    @property
    def returncode(self) -> int:
        """How it ended; below zero by a signal."""
        return self._process.wait(PATIENCE)

    def _is_alive(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class Client(threading.Thread):
    """Asks one thing after the other, each over a connection of its own, so that every process gets its share."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self.answered = 0
        self.stopping = False
        self.processes: set[str] = set()

    def run(self) -> None:
        """Ask until it is told to stop."""
        while not self.stopping:
            status, body = fetch(self._port, "/")
            assert status == 200
            self.answered += 1
            self.processes.add(body.decode())


def fetch(port: int, path: str) -> tuple[int, bytes]:
    """Ask for a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def statsd() -> Iterator[StatsD]:
    """Run the original StatsD."""
    with StatsD() as running:
        yield running


@pytest.mark.parametrize("way", ["asyncio", "classic", "modern"])
def test_every_request_is_counted_at_statsd(statsd: StatsD, tmp_path: Path, way: str) -> None:
    """The total at StatsD grows while requests are served, and is in the end what clients have got answered.

    The configuration was started before the loop and before the fork. Both processes report, over TCP, and SIGTERM
    ends each of them with a last report.
    """
    reporters: Dict[str, Any] = {
        "tornado-statsd": {"interval": 0.2, "host": statsd.host, "port": statsd.port, "protocol": "tcp"},
        "tornado-stream": {"interval": 0.2, "path": str(tmp_path / "metrics.jsonl")},
    }
    application = Application(free_port(), {"reporters": reporters}, way, tmp_path)
    try:
        clients = [Client(application.port) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        until(lambda: statsd.totals().get("app.served.value", 0) > 20, "StatsD was told of requests")
        early = statsd.totals()["app.served.value"]
        until(lambda: statsd.totals()["app.served.value"] > early, "it was told of more")
        page = json.loads(fetch(application.port, "/metrics")[1])
        for client in clients:
            client.stopping = True
        for client in clients:
            client.join(PATIENCE)
        application.terminate()
        statsd.settle()
        answered = sum(client.answered for client in clients)
        processes = set().union(*(client.processes for client in clients))

        assert statsd.totals()["app.served.value"] == answered
        assert 0 < page["app"]["served"]["value"] <= answered
        assert page["app"]["latency"]["count"] in range(page["app"]["served"]["value"] + 1)
        assert len(processes) == (1 if way == "asyncio" else 2)
        assert statsd.bad_lines() == 0
        assert "Traceback" not in application.said.read_text()
        if way == "asyncio":
            last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
            assert last["app"]["served"]["value"] == last["app"]["latency"]["count"] == answered
            assert statsd.gauges()["app.latency.total"] == answered
            assert application.returncode == 0
    finally:
        application.kill()
