"""Sends snapshots by OTLP over HTTP, with protobuf."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Set

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from tapes.clock import SYSTEM_CLOCK
from tapes.errors import ReporterError
from tapes.reporting import checked
from tapes.reporting.endpoint import Endpoint, check_headers
from tapes.reporting.otlp import resource as resources
from tapes.reporting.otlp.encoding import Problem, request
from tapes.reporting.otlp.instance import of_process
from tapes.reporting.push import Context
from tapes.streak import log_problems

if TYPE_CHECKING:
    from tapes.reporting.endpoint import Answer
    from tapes.reporting.otlp.instance import Instance
    from tapes.snapshot import Snapshot

_LEVEL = 1  # of compression: half the size for a tenth of the time that the highest takes

_logged: Set[Problem] = set()


class OtlpSender:
    """Posts snapshots to a collector."""

    def __init__(
        self,
        endpoint: Optional[str] = None,
        *,
        service: Optional[str] = None,
        resource: Optional[Mapping[str, str]] = None,
        headers: Optional[Mapping[str, str]] = None,
        compression: bool = True,
        timeout: float = 4.0,
    ) -> None:
        """Send to `endpoint`, the whole URL, like `http://localhost:4318/v1/metrics`.

        Without one it is what `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` says, else port
        4318 of this host. `service` is `service.name`, and `resource` are further attributes of the process, beside
        those in `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`. Without a `service.instance.id` each process makes
        one. `headers` are sent with each request, beside those in `OTEL_EXPORTER_OTLP_HEADERS`. With `compression`
        requests are compressed by gzip. `timeout` is how many seconds each step of a report may take.

        Raises ReporterOptionError for invalid options.
        """
        url = resources.endpoint(endpoint, os.environ)
        self._endpoint = Endpoint("endpoint", url, "a URL, like 'http://localhost:4318/v1/metrics'")
        self._headers = resources.headers(_checked("headers", headers), os.environ)
        check_headers("headers", self._headers)
        self._headers["Content-Type"] = "application/x-protobuf"
        self._compresses = checked.flag("compression", compression)
        if self._compresses:
            self._headers["Content-Encoding"] = "gzip"
        self._timeout = checked.seconds("timeout", timeout)
        if service is not None and not isinstance(service, str):
            raise checked.refusal("service", "the name of the service, like 'shop'", service)
        self._described = resources.attributes(service, _checked("resource", resource), os.environ)
        self._resource: Dict[str, str] = {}
        self._instance: Optional[Instance] = None
        self.context = Context("", SYSTEM_CLOCK, {}, 0)

    def open(self) -> None:
        """Send as this process."""
        instance = self._instance = of_process(self.context.clock.time())
        self._resource = {"service.instance.id": instance.id, **self._described}

    def send(self, snapshot: Snapshot) -> None:
        """Post a snapshot. Raises ReporterError if the collector refuses it, or a part of it."""
        instance = self._instance or of_process(snapshot.taken_at)
        instance.see(snapshot.taken_at)
        body, problems = request(snapshot, self._resource, instance.start_of)
        log_problems(_logged, problems, "tapes.reporting.otlp")
        if self._compresses:
            body = gzip.compress(body, _LEVEL, mtime=0)
        answer = self._endpoint.send("POST", self._endpoint.path, body, self._headers, self._timeout)
        if answer.status != 200:
            raise ReporterError(f"The collector at {self} has refused the report: {_explained(answer)}.")
        refused = _refused(answer)
        if refused is not None:
            raise ReporterError(f"The collector at {self} has refused a part of the report: {refused}.")

    def close(self) -> None:
        """Do nothing: each report has a connection of its own."""

    def __str__(self) -> str:
        return f"{self._endpoint}{self._endpoint.path}"


def _explained(answer: Answer) -> str:
    """Return the status of a refusal, and a remedy where there is one."""
    remedies = {
        401: ": give the headers that it wants",
        403: ": give the headers that it wants",
        404: ": the endpoint is the whole URL, mostly with /v1/metrics",
        413: ": let it take larger requests",
    }
    return f"{answer}{remedies.get(answer.status, '')}"


def _refused(answer: Answer) -> str | None:
    """Return what a collector says that it has not taken of what it has accepted otherwise."""
    try:
        partial = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    except DecodeError:
        return None
    number = partial.rejected_data_points
    return f"{number} points, {partial.error_message!r}" if number else None


def _checked(option: str, given: object) -> Mapping[str, str]:
    if given is None:
        return {}
    if isinstance(given, Mapping) and all(isinstance(part, str) for pair in given.items() for part in pair):
        return dict(given)
    shown = dict.fromkeys(given, "...") if isinstance(given, Mapping) else given  # values may be secrets
    raise checked.refusal(option, "a mapping of str to str, like {'deployment.environment': 'test'}", shown)
