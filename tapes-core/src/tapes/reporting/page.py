"""The base class of reporters that serve pages. Its code is in `tapes.pages`."""

from __future__ import annotations

from tapes.pages.reporter import PageReporter

__all__ = ["PageReporter"]
