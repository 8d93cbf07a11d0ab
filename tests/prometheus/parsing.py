"""What the parsers of prometheus_client read in a page."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Tuple

from prometheus_client import parser as of_text
from prometheus_client.openmetrics import parser as of_openmetrics

Samples = Dict[Tuple[str, FrozenSet[Tuple[str, str]]], float]
"""Values by name and labels."""


def samples(page: str, *, openmetrics: bool) -> Samples:
    """Return all samples of a page. Raises ValueError for a page that is damaged or has a sample twice."""
    parser: Any = of_openmetrics if openmetrics else of_text
    found: Samples = {}
    for family in parser.text_string_to_metric_families(page):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            if key in found:
                raise ValueError(f"{key} is there twice.")
            found[key] = sample.value
    return found
