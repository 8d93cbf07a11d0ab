"""Tools to test programs that use tapes, and third-party reporters.

`ManualClock`, `MemoryReporter` and `isolated_registry()` are for any test; `ReporterContract` checks the life cycle of
a reporter. Importing this needs no test framework.
"""

from __future__ import annotations

from tapes.testing.clock import ManualClock
from tapes.testing.contract import ReporterContract
from tapes.testing.isolation import isolated_registry
from tapes.testing.memory import MemoryReporter

__all__ = ["ManualClock", "MemoryReporter", "ReporterContract", "isolated_registry"]
