"""What a client wants, by its headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.reporting.prometheus.negotiation import OFFERS, OPENMETRICS, PROTOBUF, TEXT, Offer, accepts_gzip, wanted

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 2.42 sends."""

NATIVE = f"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,{PROMETHEUS}"
"""What it sends if it wants native histograms."""

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        (PROMETHEUS, OPENMETRICS),
        (NATIVE, PROTOBUF),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", TEXT),
        (BROWSER, TEXT),
        ("text/plain", TEXT),
        ("text/*;q=0.5, application/*", OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0", TEXT),
        ("application/openmetrics-text, */*", OPENMETRICS),
        ("application/openmetrics-text, text/plain", TEXT),
        ("application/openmetrics-text; q=0.4, text/plain; q=0.5", TEXT),
        ("application/openmetrics-text; q=0, */*", TEXT),
        ("text/plain; q=0, application/*; q=0.1", OPENMETRICS),
        ("text/html", TEXT),
        ("application/openmetrics-text; q=nan", OPENMETRICS),
        (";;;q=x,,=", TEXT),
    ],
)
def test_the_best_offer(accept: str, expected: Offer) -> None:
    """The quality decides, then how specifically an offer is named; who accepts nothing gets text."""
    assert wanted(accept) is expected


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("GZip;Q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("gzip;q=0.4, identity;q=0.5", False),
        ("deflate", False),
        ("x-gzip", True),
    ],
)
def test_compression(accept_encoding: str, expected: bool) -> None:
    """Only for those who accept it, at least as much as none."""
    assert accepts_gzip(accept_encoding) is expected


@given(st.text(st.sampled_from('text/plain*;,q=0.9 version1\u00e4\t"'), max_size=40))
def test_any_header_has_an_answer(header: str) -> None:
    """Whatever clients send."""
    assert wanted(header) in OFFERS
    assert accepts_gzip(header) in (True, False)
