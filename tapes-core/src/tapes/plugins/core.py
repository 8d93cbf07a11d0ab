"""What tapes-core itself provides, by the hooks that everyone uses. It needs no entry point, and so no metadata."""

from __future__ import annotations

from typing import Dict

from tapes.plugins.hookspecs import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `stream` and `http`."""
    return {
        "http": "tapes.reporting.http:HTTPReporter",
        "stream": "tapes.reporting.stream:ThreadedStreamReporter",
    }


@hookimpl
def tapes_formats() -> Dict[str, str]:
    """Provide `json`."""
    return {"json": "tapes.encoding.json:JsonFormat"}


@hookimpl
def tapes_routes() -> Dict[str, str]:
    """Provide `/`: JSON, unless a page is asked to have another format there."""
    return {"/": "tapes.pages.route:FormatRoute"}
