"""For the tests of programs that use tapes, and of reporters that others write.

`ManualClock`, `MemoryReporter` and `isolated_registry()` are for any test; `ReporterContract` checks the life of a
reporter. Nothing here needs a test framework to be imported.
"""

from __future__ import annotations

from tapes.testing.clock import ManualClock
from tapes.testing.contract import ReporterContract
from tapes.testing.isolation import isolated_registry
from tapes.testing.memory import MemoryReporter

__all__ = ["ManualClock", "MemoryReporter", "ReporterContract", "isolated_registry"]
