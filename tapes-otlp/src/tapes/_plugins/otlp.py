"""The plugin of tapes-otlp. It is imported when a name is looked up, so it imports nothing else of it."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `otlp`."""
    return {"otlp": "tapes.reporting.otlp:OtlpReporter"}
