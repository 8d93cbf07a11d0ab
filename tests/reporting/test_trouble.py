"""Trouble from around a program is said in one line, with a remedy. What only a bug can cause is none."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
from typing import List, Optional

import pytest

from tapes.errors import ReporterError
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter, trouble
from tapes.reporting.trouble import explained
from tapes.testing import ManualClock

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/var/log/report")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FULL, f"{FULL}. Make room on the disk."),
        (OSError(errno.ENOENT, "Gone", "/x"), "[Errno 2] Gone: '/x'. Check that it exists, or correct the path."),
        (ConnectionRefusedError(errno.ECONNREFUSED, "udp://h:1: No"), None),
        (socket.timeout("timed out"), "timed out. Check why the far end is slow, or accepts nothing."),
        (socket.gaierror(socket.EAI_NONAME, "No such host"), None),
        (
            ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED"),
            f"CERTIFICATE_VERIFY_FAILED. {trouble._TRUST}",
        ),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "WRONG_VERSION_NUMBER."),
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


class Own(ScheduledReporter):
    """A reporter of a user, who looks for what cannot be opened."""

    def report(self) -> None:
        """Fail."""
        self.open_what_is_not_there()

    def open_what_is_not_there(self) -> None:
        """Fail."""
        raise FULL


def test_trouble_can_be_located(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback of the first of a row is logged at the level DEBUG, after the line."""
    caplog.set_level(logging.DEBUG, "tapes.reporting")
    with Own(10, Registry(clock=ManualClock())):
        pass  # a first report and a last one

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"Own(interval=10) could not report: {explained(FULL)} It will try again."),
        ("DEBUG", "Own(interval=10) has failed here:"),
    ]
    assert [record.exc_info and record.exc_info[1] for record in caplog.records] == [None, FULL]
    assert "open_what_is_not_there" in caplog.text


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
    caplog.set_level(logging.DEBUG, "tapes.reporting")
    reporter = Failing(10)
    reporter.errors = [error]

    with reporter:
        pass

    warned = [record for record in caplog.records if record.levelno > logging.DEBUG]
    assert [record.getMessage() for record in warned] == [line]
    assert bool(warned[0].exc_info) is isinstance(error, ZeroDivisionError)
    located = [record.exc_info for record in caplog.records if record.exc_info]
    assert [info[1] for info in located] == [error]
