"""The logger of aggregators and workers."""

from __future__ import annotations

LOGGER_NAME = "tapes.distributed"
"""The name of the logger of everything in `tapes.distributed`."""
