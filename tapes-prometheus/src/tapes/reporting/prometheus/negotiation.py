"""What a client wants, by its headers `Accept` and `Accept-Encoding` (RFC 9110, section 12.5). Pure functions."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Tuple


class Offer(NamedTuple):
    """A format in which the page can be sent."""

    media_type: str
    """The value of the header Content-Type."""
    type: str
    """The type and the subtype alone."""
    parameters: Mapping[str, str]
    """The parameters that a range may name."""


TEXT = Offer("text/plain; version=0.0.4; charset=utf-8", "text/plain", {"version": "0.0.4"})
OPENMETRICS = Offer(
    "application/openmetrics-text; version=1.0.0; charset=utf-8", "application/openmetrics-text", {"version": "1.0.0"}
)
PROTOBUF = Offer(
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    "application/vnd.google.protobuf",
    {"proto": "io.prometheus.client.metricfamily", "encoding": "delimited"},
)

OFFERS = (TEXT, OPENMETRICS, PROTOBUF)  # of equally good ones the first
_MOST = 64  # ranges that are looked at


def wanted(accept: str) -> Offer:
    """Return the offer that a client accepts best by the header `accept`; the text of Prometheus if it accepts none.

    The most specific range that fits an offer says how good it is. Of two equally good ones it is that which is named
    more specifically: a client that names OpenMetrics and accepts anything else gets OpenMetrics.
    """
    ranges = [_range(each) for each in accept.split(",")[:_MOST]]
    best, best_rank = TEXT, (0.0, 0)
    for offer in OFFERS:
        fits = [(_specificity(offer, each), each.quality) for each in ranges]
        specificity, quality = max(fits, default=(0, 0.0))
        if specificity and (quality, specificity) > best_rank and quality:
            best, best_rank = offer, (quality, specificity)
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip, at least as much as no compression."""
    qualities: Dict[str, float] = {}
    for each in accept_encoding.split(",")[:_MOST]:
        found = _range(each)
        qualities[found.type] = found.quality
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


class _Range(NamedTuple):
    type: str
    parameters: Dict[str, str]
    quality: float


def _range(text: str) -> _Range:
    """Return one range of a header. What is not a quality counts as one."""
    name, *rest = text.split(";")
    parameters: List[Tuple[str, str]] = []
    for each in rest:
        key, _, value = each.partition("=")
        parameters.append((key.strip().lower(), value.strip().strip('"').lower()))
    found = dict(parameters)
    try:
        quality = float(found.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return _Range(name.strip().lower(), found, min(max(quality, 0.0), 1.0) if quality == quality else 1.0)


def _specificity(offer: Offer, found: _Range) -> int:
    """Return how specifically a range names an offer, 0 if not at all."""
    if found.type == "*/*":
        return 1
    if found.type == f"{offer.type.partition('/')[0]}/*":
        return 2
    named = offer.parameters.keys() & found.parameters.keys()
    if found.type != offer.type or any(found.parameters[key] != offer.parameters[key] for key in named):
        return 0
    return 3 + len(named)
