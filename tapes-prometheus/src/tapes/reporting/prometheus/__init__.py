"""Metrics for Prometheus, and for whatever reads its formats."""

from __future__ import annotations

from tapes.reporting.prometheus.collector import TapesCollector
from tapes.reporting.prometheus.format import PrometheusFormat
from tapes.reporting.prometheus.pushgateway import PushgatewayReporter
from tapes.reporting.prometheus.route import MetricsRoute

__all__ = ["MetricsRoute", "PrometheusFormat", "PushgatewayReporter", "TapesCollector"]
