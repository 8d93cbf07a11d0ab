"""The plugin of tapes-prometheus. It is imported when a name is looked up, so it imports nothing else of it."""

from __future__ import annotations

from typing import Dict

from tapes.plugins import hookimpl


@hookimpl
def tapes_reporters() -> Dict[str, str]:
    """Provide `pushgateway`."""
    return {"pushgateway": "tapes.reporting.prometheus:PushgatewayReporter"}


@hookimpl
def tapes_formats() -> Dict[str, str]:
    """Provide `prometheus`."""
    return {"prometheus": "tapes.reporting.prometheus:PrometheusFormat"}


@hookimpl
def tapes_routes() -> Dict[str, str]:
    """Provide `/metrics`."""
    return {"/metrics": "tapes.reporting.prometheus:MetricsRoute"}
