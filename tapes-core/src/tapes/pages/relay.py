"""Pages that another process makes: a worker answers for all by asking the aggregator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Hashable, Mapping, Optional

from tapes.pages.application import Application
from tapes.pages.formats import checked_format
from tapes.pages.route import only
from tapes.snapshot import Snapshot

if TYPE_CHECKING:
    from tapes.pages.message import Headers, Page
    from tapes.pages.route import Find

    Ask = Callable[[str, Mapping[str, str]], Page]

PASSED_ON = ("accept", "accept-encoding")
"""The headers that a page may depend on, and that are passed on."""

FORMATS = "/format/"
"""The path below which the other process has each format by its name."""

NOTHING = Snapshot(0.0, ())
"""The snapshot given to routes that take their own."""


class RelayRoute:
    """Asks for the page at one path. It is asked for in a thread for pages, and once for all who ask at one moment."""

    def __init__(self, ask: Ask, path: str) -> None:
        self._ask = ask
        self._path = path

    def variant(self, headers: Headers) -> Hashable:
        """Return the headers that are passed on."""
        return tuple([headers.get(name, "") for name in PASSED_ON])

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        """Return the answer of the other process."""
        return self._ask(self._path, {name: value for name, value in zip(PASSED_ON, variant) if value})


def relayed(ask: Ask, format_name: Optional[str], name: str) -> Application:
    """Return the application that passes requests on to `ask`, for one format or for all routes.

    `name` is used in log lines and in the names of threads.
    """
    if format_name is None:
        find: Find = lambda path: RelayRoute(ask, path)  # noqa: E731 -- a type for both
    else:
        checked_format(format_name)
        find = only(RelayRoute(ask, f"{FORMATS}{format_name}"))
    return Application.with_log(lambda: NOTHING, find, name, name)
