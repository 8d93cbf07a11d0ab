"""The life of every reporter, as a suite of tests that any reporter can be put through."""

from __future__ import annotations

from tapes.testing.contract.failing import FailureContract
from tapes.testing.contract.forked import ForkContract
from tapes.testing.contract.life import LifeContract
from tapes.testing.contract.schedule import ScheduleContract

__all__ = ["ReporterContract"]


class ReporterContract(LifeContract, ScheduleContract, FailureContract, ForkContract):
    """What every reporter promises. Derive a test class from it and say how to make one of yours:

        class TestLampReporter(ReporterContract):
            def make_reporter(self, registry):
                return LampReporter(self.interval, registry)

    pytest runs the methods whose names begin with `test_`; any other runner may, each on an instance of its own. What a
    reporter cannot show is skipped (`unittest.SkipTest`). The settings and the other methods to override, all of them
    optional, are those of `tapes.testing.contract.bench.Bench`.
    """
