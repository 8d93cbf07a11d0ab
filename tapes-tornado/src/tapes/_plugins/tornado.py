"""What tapes-tornado provides. It is imported when something is looked up by name, and imports nothing of it."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `tornado-http`, `tornado-statsd` and `tornado-stream`."""
    return {
        "tornado-http": "tapes.reporting.tornado.http:TornadoHTTPReporter",
        "tornado-statsd": "tapes.reporting.tornado.statsd:TornadoStatsdReporter",
        "tornado-stream": "tapes.reporting.tornado.stream:TornadoStreamReporter",
    }
