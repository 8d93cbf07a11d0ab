"""Rotel, a collector of OpenTelemetry that prints every point."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Iterator, Tuple

import pytest

from tests.distributed.servers.serving import accepts
from tests.servers.installed import missing
from tests.servers.processes import PATIENCE, ServerProcess, free_port, until


@contextlib.contextmanager
def running_rotel(folder: Path) -> Iterator[Tuple[str, ServerProcess]]:
    """Run a collector, and give its URL for metrics and what says what it has taken."""
    if sys.version_info < (3, 10):
        pytest.skip("rotel is for Python 3.10 and newer.")
    found = util.find_spec("rotel")
    if found is None or found.origin is None:
        missing("rotel is not installed: pip install rotel")
    agent = str(Path(found.origin).with_name("rotel-agent"))
    tried = subprocess.run([agent, "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    if "shared libraries" in tried.stderr:
        pytest.skip(f"rotel needs a Python with a shared library: {tried.stderr.strip()}")
    ports = free_port(), free_port()
    http, grpc = (f"127.0.0.1:{port}" for port in ports)
    listening = ["--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
    printing = ["--debug-log", "metrics", "--debug-log-verbosity", "detailed", "--exporter", "blackhole"]
    command = [agent, "start", *listening, *printing]
    server = ServerProcess(command, folder / "rotel.log")
    try:
        until(lambda: accepts(ports[0]) or not server.running, "rotel accepts")
        assert server.running, f"rotel does not start:\n{server.said()}"
        yield f"http://{http}/v1/metrics", server
    finally:
        server.stop()
