"""One log line per streak: the first failure in a row is logged, and so is the recovery. Or one line for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from typing import Dict, Set, Tuple

_MOST_PATHS = 1_000  # beyond it each failure is logged: a page has few paths
_MOST_PROBLEMS = 1_000  # beyond it none is logged any more


class Streak:
    """Counts failures in a row and logs the first and the recovery.

    It has no lock: two threads that fail at the same moment may both log. The logger is looked up only to log, so that
    tapes does not make a program without failures import `logging`.
    """

    __slots__ = ("_logger_name", "_subject", "length")

    def __init__(self, logger_name: str, subject: str) -> None:
        self._logger_name = logger_name
        self._subject = subject
        self.length = 0
        """The number of failures in a row."""

    def failed(self, problem: str, error: BaseException | None = None) -> int:
        """Count a failure, log it if it is the first in a row, and return their number.

        `problem` says what went wrong and what happens next. With `error` the traceback is logged too.
        """
        self.length += 1
        if self.length == 1:
            import logging

            logging.getLogger(self._logger_name).warning("%s %s", self._subject, problem, exc_info=error)
        return self.length

    def succeeded(self) -> None:
        """End the streak; if there was one, log the recovery."""
        if self.length:
            import logging

            failures = "1 failure" if self.length == 1 else f"{self.length} failures"
            logging.getLogger(self._logger_name).info("%s works again after %s.", self._subject, failures)
            self.length = 0


class Streaks:
    """A streak for each path of pages, so that one that works does not end that of another. As thread-safe as one."""

    __slots__ = ("_found", "_logger_name", "_subject")

    def __init__(self, logger_name: str, subject: str) -> None:
        self._logger_name = logger_name
        self._subject = subject
        self._found: Dict[str, Streak] = {}

    def of(self, path: str) -> Streak:
        """Return the streak of a path."""
        found = self._found.get(path)
        if found is None:
            subject = self._subject if path == "/" else f"{self._subject} at {path}"
            found = Streak(self._logger_name, subject)
            if len(self._found) < _MOST_PATHS:
                self._found[path] = found
        return found


def log_problems(logged: Set[Any], problems: Iterable[Tuple[str, str]], logger_name: str) -> None:
    """Log problems, each the name of a metric and what is wrong with it, once and as long as there are not too many."""
    for problem in problems:
        if len(logged) < _MOST_PROBLEMS:
            log_once(logged, problem, logger_name, "%r %s", *problem)


def log_once(logged: Set[Any], what: Hashable, logger_name: str, message: str, *arguments: object) -> None:
    """Log a warning unless `what` is in `logged`, and put it there. Imports `logging` only to log, as a streak does."""
    if what not in logged:
        logged.add(what)
        import logging

        logging.getLogger(logger_name).warning(message, *arguments)
