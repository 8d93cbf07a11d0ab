"""The route `/metrics`, which Prometheus scrapes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Hashable

from tapes.pages.message import Page
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.negotiation import OPENMETRICS, TEXT, accepts_gzip, wanted
from tapes.reporting.prometheus.text import text

if TYPE_CHECKING:
    from tapes.pages.message import Fields, Headers
    from tapes.snapshot import Snapshot

_LEVEL = 1  # of compression: half the size for a tenth of the time that the highest takes


class MetricsRoute:
    """Serves the text of Prometheus or OpenMetrics, compressed or not, as a client accepts it."""

    def variant(self, headers: Headers) -> Hashable:
        """Return whether a client wants OpenMetrics, and whether it accepts gzip."""
        return wanted(headers.get("accept", "")) is OPENMETRICS, accepts_gzip(headers.get("accept-encoding", ""))

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        """Make the page."""
        openmetrics, compressed = variant
        body = text(named_families(snapshot), openmetrics=openmetrics)
        fields: Fields = (("Vary", "Accept, Accept-Encoding"),)
        if compressed:
            body = gzip.compress(body, _LEVEL, mtime=0)
            fields = (*fields, ("Content-Encoding", "gzip"))
        return Page((OPENMETRICS if openmetrics else TEXT).media_type, body, fields)
