"""The format `prometheus`: snapshots as the text of Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Set

from tapes.reporting.prometheus.families import families
from tapes.reporting.prometheus.negotiation import TEXT
from tapes.reporting.prometheus.text import text
from tapes.streak import log_problems

if TYPE_CHECKING:
    from tapes.reporting.prometheus.families import Family, Problem
    from tapes.snapshot import Snapshot

_logged: Set[Problem] = set()


class PrometheusFormat:
    """Encodes snapshots in the text format 0.0.4 of Prometheus."""

    media_type = TEXT.media_type

    def encode(self, snapshot: Snapshot) -> bytes:
        """Encode `snapshot`: cumulative totals and classic buckets, without windows, rates and quantiles."""
        return text(named_families(snapshot), openmetrics=False)


def named_families(snapshot: Snapshot) -> List[Family]:
    """Return the families of a snapshot. Logs what is wrong with a metric once."""
    found, problems = families(snapshot)
    log_problems(_logged, problems, "tapes.reporting.prometheus")
    return found
