"""Configurations of reporters: checked as a whole, started together, stopped together."""

from __future__ import annotations

from tapes.config.configuration import Configuration, configure

__all__ = ["Configuration", "configure"]
