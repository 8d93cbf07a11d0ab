"""The contract of all reporters, as a suite of tests for any reporter."""

from __future__ import annotations

from tapes.testing.contract.failing import FailureContract
from tapes.testing.contract.forked import ForkContract
from tapes.testing.contract.life import LifeContract
from tapes.testing.contract.schedule import ScheduleContract

__all__ = ["ReporterContract"]


class ReporterContract(LifeContract, ScheduleContract, FailureContract, ForkContract):
    """Tests of what every reporter promises. Derive a test class from it, and make your reporter there:

        class TestLampReporter(ReporterContract):
            def make_reporter(self, registry):
                return LampReporter(self.interval, registry)

    pytest runs the methods whose names begin with `test_`. Any other runner may do the same, each on a new instance.
    Tests that do not apply to a reporter are skipped (`unittest.SkipTest`). `tapes.testing.contract.bench.Bench` has
    the settings and the other methods to override, all optional.
    """
