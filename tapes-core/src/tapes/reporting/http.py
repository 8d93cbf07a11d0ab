"""The reporter `http`. What it is made of is in `tapes.pages`."""

from __future__ import annotations

from tapes.pages.http import HTTPReporter

__all__ = ["HTTPReporter"]
