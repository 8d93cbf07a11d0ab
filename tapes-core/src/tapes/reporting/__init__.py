"""Reporters: they show or send what a registry holds, and share one life cycle.

Each reporter of core has its own module, which is imported only for use: `tapes.reporting.stream` and
`tapes.reporting.http`. Plugin distributions add more modules to this package.
"""

from __future__ import annotations

import pkgutil

__path__ = __import__("pkgutil").extend_path(__path__, __name__)

from tapes.archives import add_archives
from tapes.reporting.reporter import Reporter
from tapes.reporting.scheduled import ScheduledReporter

add_archives(__path__, __name__)

__all__ = ["Reporter", "ScheduledReporter"]
