"""The contract of scheduled reporters: the times of reports."""

from __future__ import annotations

from typing import List

from tapes.testing.contract.bench import Bench


class ScheduleContract(Bench):
    """Tests of the schedule, for every scheduled reporter."""

    def test_the_first_report_comes_with_the_start(self) -> None:
        """The first report is made at once, not after an interval."""
        self.manual_only()
        with self.reporter() as (reporter, clock):
            reporter.start()
            self.until(lambda: reporter.reports == 1, "the first report was made at the start")
            self.settle(clock)
            assert reporter.reports == 1, f"{reporter.reports} reports were made at the start."

    def test_reports_go_on_at_every_interval(self) -> None:
        """Another report is made each time an interval has passed, and not before."""
        self.scheduled_only()
        with self.reporter() as (reporter, clock):
            reporter.start()
            if not self.manual_time:
                self.until(lambda: reporter.reports >= 4, "four reports were made")
                return
            self.settle(clock)
            for number in range(2, 5):
                clock.advance(self.interval * 0.75)
                self.settle(clock)
                assert reporter.reports == number - 1, "A report was made before the interval had passed."
                clock.advance(self.interval * 0.25)
                self.settle(clock)
                assert reporter.reports == number, "No report was made when an interval had passed."

    def test_reports_do_not_drift(self) -> None:
        """Slow reports do not delay the next ones: all come at whole intervals after the start."""
        assert self._times(taking=0.25, advances=[0.75, 0.75, 0.75]) == [0, 1, 2, 3], "The reports have drifted."

    def test_missed_reports_are_left_out(self) -> None:
        """After a report that took longer than the interval there is no burst: reports due meanwhile are skipped."""
        assert self._times(taking=2.5, advances=[0.5, 0.5]) == [0, 3, 6], (
            "Missed reports were made up for, or more lost."
        )

    def test_late_wake_ups_are_not_made_up_for(self) -> None:
        """When several intervals pass at once, as on a machine that was asleep, only one report is made."""
        assert self._times(taking=0, advances=[3.5, 0.5]) == [0, 3.5, 4], "There was a burst, or a shift."

    def test_the_last_report_is_made_at_the_stop(self) -> None:
        """stop() makes one more report."""
        self.scheduled_only()
        with self.reporter() as (reporter, _):
            reporter.start()
            self.first_report(reporter)
            seen: List[int] = []
            report = reporter.report

            def counted() -> object:
                seen.append(1)
                return report()

            reporter.report = counted
            if self.manual_time:
                reporter.stop()
                assert len(seen) == 1, f"stop() has made {len(seen)} reports, not 1."
            else:
                self.until(lambda: bool(seen), "another report was made")
                before = len(seen)
                reporter.stop()
                assert len(seen) > before, "stop() has made no report."

    def test_a_report_may_stop_its_reporter(self) -> None:
        """stop() inside report() returns at once; one last report follows, and then the reporter is stopped."""
        self.scheduled_only()
        with self.reporter() as (reporter, _):
            seen: List[str] = []

            def report() -> None:
                seen.append("begun")
                reporter.stop()
                seen.append("ended")

            reporter.report = report
            reporter.start()
            self.until(lambda: len(seen) == 4, "a report and a last one were made")
            reporter.stop()
            assert seen == ["begun", "ended"] * 2, f"The reports went {seen}."
            assert not reporter.running, "It is running although it has stopped itself."

    def _times(self, taking: float, advances: List[float]) -> List[float]:
        """Return the times at which reports began. All numbers are in intervals; each report takes `taking`."""
        self.manual_only()
        with self.reporter() as (reporter, clock):
            times: List[float] = []
            report = reporter.report

            def slow() -> object:
                times.append(clock.monotonic() / self.interval)
                result = report()
                clock.advance(taking * self.interval)
                return result

            reporter.report = slow
            reporter.start()
            self.settle(clock)
            for advance in advances:
                clock.advance(advance * self.interval)
                self.settle(clock)
            return list(times)
