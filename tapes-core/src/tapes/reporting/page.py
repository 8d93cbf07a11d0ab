"""What reporters that serve pages derive from. It is in `tapes.pages`."""

from __future__ import annotations

from tapes.pages.reporter import PageReporter

__all__ = ["PageReporter"]
