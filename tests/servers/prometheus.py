"""Prometheus, its checker promtool, and a Pushgateway."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Dict, Iterator, List

from tests.distributed.servers.serving import accepts
from tests.servers.installed import tool
from tests.servers.processes import PATIENCE, ServerProcess, free_port, until

CONFIG = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: tapes
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def complaints(page: bytes) -> str:
    """Return what promtool has to say of a page of text."""
    command = [tool("promtool", "prometheus"), "check", "metrics"]
    checked = subprocess.run(command, input=page, capture_output=True, timeout=PATIENCE, check=False)
    return (checked.stdout + checked.stderr).decode()


class Prometheus:
    """A Prometheus that scrapes one port."""

    def __init__(self, port: int) -> None:
        """Let it listen at `port`."""
        self._url = f"http://127.0.0.1:{port}"

    def query(self, text: str) -> Dict[str, float]:
        """Return the values of a query by their labels, as JSON, without those that a scrape adds."""
        asked = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': text})}"
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            found = json.loads(answer.read())["data"]["result"]
        return {
            json.dumps({key: value for key, value in each["metric"].items() if key not in ("instance", "job")}): float(
                each["value"][1]
            )
            for each in found
        }


@contextlib.contextmanager
def running_prometheus(scraped: int, folder: Path, *options: str) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes the page `/metrics` at a port of this host."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(port=scraped))
    files = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with _running("prometheus", port, [*files, *options], folder):
        until(lambda: _is_ready(port), "Prometheus is ready")
        yield Prometheus(port)


@contextlib.contextmanager
def running_pushgateway(folder: Path) -> Iterator[str]:
    """Run a Pushgateway that keeps nothing, and give its URL."""
    port = free_port()
    # Debian's keeps everything in one file of the system by default, from one run of the tests to the next.
    with _running("prometheus-pushgateway", port, ["--persistence.file="], folder):
        yield f"http://127.0.0.1:{port}"


def _is_ready(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=PATIENCE):
        return True
    return False


@contextlib.contextmanager
def _running(name: str, port: int, options: List[str], folder: Path) -> Iterator[None]:
    command = [tool(name, name), f"--web.listen-address=127.0.0.1:{port}", *options]
    server = ServerProcess(command, folder / f"{name}.log")
    try:
        until(lambda: accepts(port) or not server.running, f"{name} accepts")
        assert server.running, f"{name} does not start:\n{server.said()}"
        yield
    finally:
        server.stop()
