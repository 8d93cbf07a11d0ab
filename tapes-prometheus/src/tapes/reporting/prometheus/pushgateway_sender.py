"""Puts the page of Prometheus at a Pushgateway."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Mapping, Optional
from urllib.parse import quote

from tapes.errors import ReporterError
from tapes.reporting import checked
from tapes.reporting.endpoint import Endpoint
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.names import label_names
from tapes.reporting.prometheus.negotiation import TEXT
from tapes.reporting.prometheus.text import text

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot


class PushgatewaySender:
    """Replaces one group of a Pushgateway by a snapshot."""

    def __init__(
        self,
        job: str,
        url: str = "http://localhost:9091",
        *,
        grouping: Optional[Mapping[str, str]] = None,
        timeout: float = 4.0,
    ) -> None:
        """Put the metrics at the Pushgateway at `url`, as those of `job`.

        `url` is `http://` or `https://`, with a path if the Pushgateway has one, and `user:password@` if it wants them.
        `grouping` are further labels of the group, such as `{"instance": "host1"}`. Whoever pushes with the same job
        and grouping replaces what was there: several processes that push need different ones, or one aggregator.
        `timeout` is how many seconds each step of a report may take.

        Raises ReporterOptionError for invalid options.
        """
        self._endpoint = Endpoint("url", url, "the URL of a Pushgateway, like 'http://localhost:9091'")
        self._path = f"{self._endpoint.path}/metrics{_group('job', _checked_job(job))}{_groups(grouping)}"
        self._timeout = checked.seconds("timeout", timeout)

    def open(self) -> None:
        """Do nothing: each report has a connection of its own."""

    def send(self, snapshot: Snapshot) -> None:
        """Put the page. Raises ReporterError if the Pushgateway refuses it."""
        page = text(named_families(snapshot), openmetrics=False)
        answer = self._endpoint.send("PUT", self._path, page, {"Content-Type": TEXT.media_type}, self._timeout)
        if answer.status not in (200, 202):
            raise ReporterError(f"The Pushgateway at {self._endpoint} has refused the report: {answer}.")

    def close(self) -> None:
        """Do nothing."""

    def __str__(self) -> str:
        return f"{self._endpoint}{self._path}"


def _checked_job(job: object) -> str:
    if isinstance(job, str) and job:
        return job
    raise checked.refusal("job", "the name of the job, like 'nightly-import'", job)


def _groups(grouping: object) -> str:
    if grouping is None:
        return ""
    if isinstance(grouping, Mapping):
        pairs = {key: value for key, value in grouping.items() if isinstance(key, str) and isinstance(value, str)}
        is_complete = pairs and len(pairs) == len(grouping)
        if is_complete and "job" not in pairs and all(key == label for key, label in label_names(pairs).items()):
            return "".join(_group(key, value) for key, value in pairs.items())
    meaning = "a mapping of names of labels, without 'job', to str, like {'instance': 'host1'}"
    raise checked.refusal("grouping", meaning, grouping)


def _group(key: str, value: str) -> str:
    """Return a part of a path. A slash, nothing and dots have a meaning in a path: these go in base64."""
    if value.strip(".") and "/" not in value:
        return f"/{key}/{quote(value, safe='')}"
    return f"/{key}@base64/{base64.urlsafe_b64encode(value.encode()).decode('ascii') or '='}"
