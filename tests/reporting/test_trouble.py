"""Trouble from around a program is said in one line, with a remedy. What only a bug can cause is none."""

from __future__ import annotations

import errno
import os
import socket
from typing import List, Optional

import pytest

from tapes.errors import ReporterError
from tapes.reporting import ScheduledReporter
from tapes.reporting.trouble import explained

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/log/report")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FULL, f"{FULL}. Make room on the disk."),
        (OSError(errno.ENOENT, "Gone", "/x"), "[Errno 2] Gone: '/x'. See that it is there, or correct the path."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "udp://h:1: No"), None),
        (socket.timeout("timed out"), "timed out. See why the far end takes nothing, or takes so long."),
        (socket.gaierror(socket.EAI_NONAME, "No such host"), None),
        (OSError("two\nlines."), "two lines."),
        (OSError(), "OSError."),
        (ReporterError("There is no file: give\n  a path."), "There is no file: give a path."),
    ],
)
def test_trouble_is_one_line(error: BaseException, line: Optional[str]) -> None:
    """What is wrong, and what to do about it where that is known."""
    said = explained(error)

    assert said is not None
    assert "\n" not in said
    assert line in (None, said)
    assert said.endswith(".")


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), TypeError("bug"), SystemExit(1), MemoryError()])
def test_what_only_a_bug_can_cause(error: BaseException) -> None:
    """That is left to a traceback."""
    assert explained(error) is None


class Failing(ScheduledReporter):
    """Cannot close what it has opened."""

    errors: List[BaseException] = []  # noqa: RUF012 -- replaced by each test

    def report(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Fail."""
        raise self.errors[0]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FULL, f"Failing(interval=10) could not close what it had opened. {explained(FULL)}"),
        (ZeroDivisionError("bug"), "Failing(interval=10) could not close what it had opened."),
    ],
)
def test_a_close_that_fails(caplog: pytest.LogCaptureFixture, error: BaseException, line: str) -> None:
    """It is logged like a report that fails: with a traceback for a bug alone."""
    reporter = Failing(10)
    reporter.errors = [error]

    with reporter:
        pass

    assert [record.getMessage() for record in caplog.records] == [line]
    assert bool(caplog.records[0].exc_info) is isinstance(error, ZeroDivisionError)
