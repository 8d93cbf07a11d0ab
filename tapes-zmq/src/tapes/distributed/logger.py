"""Where an aggregator and its workers say what is wrong."""

from __future__ import annotations

LOGGER_NAME = "tapes.distributed"
"""The logger of everything here."""
