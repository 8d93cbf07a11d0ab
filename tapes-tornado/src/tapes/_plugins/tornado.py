"""The plugin of tapes-tornado. It is imported when a name is looked up, so it imports nothing else of tapes-tornado."""

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
