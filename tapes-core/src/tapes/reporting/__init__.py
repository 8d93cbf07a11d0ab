"""Reporters: what sends the statistics of a registry somewhere, and the life that they all lead.

Each reporter of core is a module of its own, imported by nobody but those who use it: `tapes.reporting.stream` and
`tapes.reporting.http`. Distributions of plugins add more modules to this package.
"""

from __future__ import annotations

import pkgutil

__path__ = __import__("pkgutil").extend_path(__path__, __name__)

from tapes.archives import add_archives
from tapes.reporting.reporter import Reporter
from tapes.reporting.scheduled import ScheduledReporter

add_archives(__path__, __name__)

__all__ = ["Reporter", "ScheduledReporter"]
