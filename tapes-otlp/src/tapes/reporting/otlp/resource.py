"""The resource: the process that metrics are of, described by options and by the variables of OpenTelemetry.

Source: OpenTelemetry, Resource SDK (OTEL_RESOURCE_ATTRIBUTES) and OTLP Exporter (OTEL_EXPORTER_OTLP_*). Pure functions
of an environment.
"""

from __future__ import annotations

from typing import Dict, Mapping
from urllib.parse import unquote

_OF_METRICS, _OF_ALL = "OTEL_EXPORTER_OTLP_METRICS_", "OTEL_EXPORTER_OTLP_"

DEFAULT = "http://localhost:4318"
"""Where collectors listen."""

PATH = "/v1/metrics"
"""Where they take metrics."""


def endpoint(given: str | None, environment: Mapping[str, str]) -> str:
    """Return the URL that metrics are sent to. Only that of all signals, and the default, get the path appended."""
    if given is not None:
        return given
    of_metrics = environment.get(f"{_OF_METRICS}ENDPOINT", "").strip()
    if of_metrics:
        return of_metrics
    return (environment.get(f"{_OF_ALL}ENDPOINT", "").strip() or DEFAULT).rstrip("/") + PATH


def headers(given: Mapping[str, str], environment: Mapping[str, str]) -> Dict[str, str]:
    """Return the headers of requests. Those of options count before those of the environment."""
    of_all = pairs(environment.get(f"{_OF_ALL}HEADERS", ""))
    return {**of_all, **pairs(environment.get(f"{_OF_METRICS}HEADERS", "")), **given}


def attributes(service: str | None, given: Mapping[str, str], environment: Mapping[str, str]) -> Dict[str, str]:
    """Return what describes the process. Options count before the environment, and names before attributes there."""
    found = pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    name = service or given.get("service.name") or environment.get("OTEL_SERVICE_NAME") or found.get("service.name")
    own = {"telemetry.sdk.language": "python", "telemetry.sdk.name": "tapes"}
    return {**own, **found, **given, "service.name": name or "unknown_service:python"}


def pairs(text: str) -> Dict[str, str]:
    """Return the pairs of `key=value,key2=value2`, whose values may be percent-encoded. What is no pair is left out."""
    found: Dict[str, str] = {}
    for each in text.split(","):
        key, separator, value = each.partition("=")
        if separator and key.strip():
            found[unquote(key.strip())] = unquote(value.strip())
    return found
