"""The route `/metrics`, which Prometheus scrapes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Hashable

from tapes.pages.message import Page
from tapes.reporting.prometheus.format import named_families
from tapes.reporting.prometheus.negotiation import OFFERS, OPENMETRICS, PROTOBUF, accepts_gzip, wanted
from tapes.reporting.prometheus.protobuf import protobuf
from tapes.reporting.prometheus.text import text

if TYPE_CHECKING:
    from tapes.pages.message import Fields, Headers
    from tapes.snapshot import Snapshot

_LEVEL = 1  # of compression: half the size for a tenth of the time that the highest takes


class MetricsRoute:
    """Serves text, OpenMetrics or protobuf with native histograms, compressed or not, as a client accepts it."""

    def variant(self, headers: Headers) -> Hashable:
        """Return the place of the offer that a client accepts best, and whether it accepts gzip."""
        offer = wanted(headers.get("accept", ""))
        return OFFERS.index(offer), accepts_gzip(headers.get("accept-encoding", ""))

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        """Make the page."""
        place, compressed = variant
        offer, families = OFFERS[place], named_families(snapshot)
        body = protobuf(families) if offer is PROTOBUF else text(families, openmetrics=offer is OPENMETRICS)
        fields: Fields = (("Vary", "Accept, Accept-Encoding"),)
        if compressed:
            body = gzip.compress(body, _LEVEL, mtime=0)
            fields = (*fields, ("Content-Encoding", "gzip"))
        return Page(offer.media_type, body, fields)
