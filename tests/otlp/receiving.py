"""What is in requests of OTLP."""

from __future__ import annotations

import gzip
from typing import Any, Dict, List

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.servers.http_end import HTTPEnd


def requests(end: HTTPEnd) -> List[ExportMetricsServiceRequest]:
    """Return all that have come."""
    found = []
    for _, headers, body in end.taken:
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        found.append(ExportMetricsServiceRequest.FromString(plain))
    return found


def resource(request: ExportMetricsServiceRequest) -> Dict[str, str]:
    """Return the attributes of the process."""
    return attributes(request.resource_metrics[0].resource)


def attributes(of: Any) -> Dict[str, str]:
    """Return the attributes of a message."""
    return {each.key: each.value.string_value for each in of.attributes}


def metrics(request: ExportMetricsServiceRequest) -> Dict[str, Any]:
    """Return the metrics by name."""
    return {each.name: each for each in request.resource_metrics[0].scope_metrics[0].metrics}


def point(request: ExportMetricsServiceRequest, name: str) -> Any:
    """Return the only point of a metric."""
    metric = metrics(request)[name]
    (found,) = getattr(metric, metric.WhichOneof("data")).data_points
    return found
