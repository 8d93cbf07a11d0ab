"""The plugin of tapes-statsd. It is imported when a name is looked up, so it imports nothing else of tapes-statsd."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `statsd`."""
    return {"statsd": "tapes.reporting.statsd:StatsdReporter"}
