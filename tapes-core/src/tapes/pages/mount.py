"""What applications that are mounted in somebody else's server have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional, Protocol, Sequence

from tapes.pages.application import CANNOT_MAKE, Application
from tapes.pages.connections import MAX_CONNECTIONS
from tapes.pages.formats import checked_format
from tapes.pages.hosts import checked_hosts, is_ours
from tapes.pages.processes import PerProcess
from tapes.pages.route import FormatRoute, only
from tapes.registry import DEFAULT_REGISTRY
from tapes.reporting import checked
from tapes.reporting.reporter import LOGGER_NAME
from tapes.streak import Streak

if TYPE_CHECKING:
    from tapes.registry import Registry


class Answered(Protocol):
    """Who waits for a page, or is being sent one."""

    def drop(self) -> None:
        """Give up."""


class Places:
    """The places of those who are answered with a page, so that they are few, whatever the server lets in.

    A newcomer takes the place of the one that came first: that one's page hangs, or it is taken slowly. Thread-safe.
    """

    def __init__(self) -> None:
        self._taken = PerProcess[Dict[Answered, None]](dict)

    def enter(self, one: Answered) -> None:
        """Have a place; `leave()` in the end."""
        taken = self._taken()
        for first in list(taken)[: max(0, len(taken) - MAX_CONNECTIONS + 1)]:
            if taken.pop(first, one) is None:
                first.drop()
        taken[one] = None

    def leave(self, one: Answered) -> None:
        """Give up the place, if it is still had."""
        self._taken().pop(one, None)


def mounted(
    registry: Optional[Registry], format_name: Optional[str], allowed_hosts: Sequence[str], name: str
) -> Application:
    """Return the application that shows `registry`: in a format alone, or at all routes.

    `name` is who serves it: what the log and the threads that make pages are named after.
    """
    shown = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
    hosts = checked_hosts(allowed_hosts)
    if format_name is None:
        find = only(FormatRoute())
    else:
        encoding = checked_format(format_name)
        find = only(FormatRoute(lambda: encoding))
    streak = Streak(LOGGER_NAME, name if format_name is None else f"{name}(format={format_name!r})")
    return Application(
        shown.snapshot,
        find,
        name,
        made=streak.succeeded,
        failed=lambda error: streak.failed(CANNOT_MAKE, error),
        admits=(lambda host: host in hosts or is_ours(host)) if hosts else None,
    )
