"""One log line a streak: the first failure in a row is logged, and so is the end of the row."""

from __future__ import annotations


class Streak:
    """Counts failures in a row and logs the first and the recovery.

    Not locked: two threads that fail in the same moment may both log. The logger is looked up when there is something
    to say, so that a program that never fails does not import `logging` on account of tapes.
    """

    __slots__ = ("_logger_name", "_subject", "length")

    def __init__(self, logger_name: str, subject: str) -> None:
        self._logger_name = logger_name
        self._subject = subject
        self.length = 0
        """How many failures there were in a row."""

    def failed(self, problem: str, error: BaseException | None = None) -> int:
        """Count a failure, log it if it is the first of the row, and return the length of the row.

        `problem` says what went wrong and what becomes of it. With `error` the traceback is logged too.
        """
        self.length += 1
        if self.length == 1:
            import logging

            logging.getLogger(self._logger_name).warning("%s %s", self._subject, problem, exc_info=error)
        return self.length

    def succeeded(self) -> None:
        """End the row; if there was one, log that it is over."""
        if self.length:
            import logging

            failures = "1 failure" if self.length == 1 else f"{self.length} failures"
            logging.getLogger(self._logger_name).info("%s works again after %s.", self._subject, failures)
            self.length = 0
