"""The plugin of tapes-core itself, with the same hooks as any other. It needs no entry point, so no metadata."""

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
    """Provide `/`: JSON, unless a page has another format."""
    return {"/": "tapes.pages.route:FormatRoute"}


@hookimpl
def tapes_kinds() -> Dict[str, str]:
    """Provide the five kinds."""
    from tapes.instruments import Counter, Gauge, Histogram, Meter, Timer

    kinds = [str(metric.kind) for metric in (Counter, Gauge, Histogram, Meter, Timer)]
    return {kind: f"tapes.kinds.{kind}:{kind.upper()}" for kind in kinds}
