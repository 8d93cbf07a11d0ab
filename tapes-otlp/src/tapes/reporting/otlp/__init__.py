"""Metrics for OpenTelemetry, over its protocol OTLP."""

from __future__ import annotations

from tapes.reporting.otlp.reporter import OtlpReporter

__all__ = ["OtlpReporter"]
