"""The reporter `http`. Its code is in `tapes.pages`."""

from __future__ import annotations

from tapes.pages.http import HTTPReporter

__all__ = ["HTTPReporter"]
