"""Puts the page of Prometheus at a Pushgateway."""

from __future__ import annotations

import base64
import http.client
from contextlib import suppress
from typing import TYPE_CHECKING, Mapping, Optional
from urllib.parse import SplitResult, quote, unquote, urlsplit

from tapes.errors import ReporterError
from tapes.reporting import checked
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.names import label_names
from tapes.reporting.prometheus.negotiation import TEXT
from tapes.reporting.prometheus.text import text

if TYPE_CHECKING:
    from tapes.snapshot import Snapshot

_SHOWN = 500  # characters of a refusal


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
        parts = _checked_url(url)
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        self._host, self._port, self._is_secure = parts.hostname or "", parts.port, parts.scheme == "https"
        self._path = f"{parts.path.rstrip('/')}/metrics{_group('job', _checked_job(job))}{_groups(grouping)}"
        self._headers = {"Content-Type": TEXT.media_type, "User-Agent": "tapes"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(user).decode('ascii')}"
        self._timeout = checked.seconds("timeout", timeout)

    def open(self) -> None:
        """Do nothing: each report has a connection of its own."""

    def send(self, snapshot: Snapshot) -> None:
        """Put the page. Raises ReporterError if the Pushgateway refuses it."""
        page = text(named_families(snapshot), openmetrics=False)
        kind = http.client.HTTPSConnection if self._is_secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout)
        try:
            connection.request("PUT", self._path, page, self._headers)
            answer = connection.getresponse()
            said = answer.read(_SHOWN).decode("utf-8", "replace").strip()
        except http.client.HTTPException as error:
            raise ReporterError(
                f"{self._url} does not answer as a Pushgateway does ({error!r}). Correct the url."
            ) from error
        finally:
            connection.close()
        if answer.status not in (200, 202):
            raise ReporterError(
                f"The Pushgateway at {self._url} has refused the report: {answer.status} {answer.reason} {said!r}."
            )

    def close(self) -> None:
        """Do nothing."""

    def __str__(self) -> str:
        return f"{self._url}{self._path[self._path.index('/metrics') :]}"


def _checked_job(job: object) -> str:
    if isinstance(job, str) and job:
        return job
    raise checked.refusal("job", "the name of the job, like 'nightly-import'", job)


def _checked_url(url: object) -> SplitResult:
    with suppress(ValueError):  # of a port
        parts = urlsplit(str(url))
        if (
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and not parts.query + parts.fragment
        ):
            return parts
    raise checked.refusal("url", "the URL of a Pushgateway, like 'http://localhost:9091'", url)


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
    """Return a part of a path. What holds a slash, or nothing, goes in base64."""
    if value and "/" not in value:
        return f"/{key}/{quote(value, safe='')}"
    return f"/{key}@base64/{base64.urlsafe_b64encode(value.encode()).decode('ascii') or '='}"
