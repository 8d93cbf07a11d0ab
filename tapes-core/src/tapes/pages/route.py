"""Routes: they make the pages at a path, depending on the request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, FrozenSet, Hashable, NamedTuple, Optional, Protocol, Tuple

from tapes.encoding.json import JsonFormat
from tapes.pages.message import Headers, Page

if TYPE_CHECKING:
    from tapes.encoding import Format
    from tapes.snapshot import Snapshot


class Undecided(NamedTuple):
    """Stands for the variant of a request, as long as the route that could tell is not there."""

    headers: FrozenSet[Tuple[str, str]]


class Route(Protocol):
    """Makes the pages at one path. Plugins add routes with the hook `tapes_routes`.

    A route is created without arguments, has no state, and may be used by several threads. Requests for the same
    variant at the same moment share one page.
    """

    def variant(self, headers: Headers) -> Hashable:
        """Return what the page depends on in a request, for example media type and compression; None for nothing.

        It is a str, bytes, a number, or a tuple of these. There must be few variants, whatever clients send: a value of
        a header is none. It is called on the thread that reads requests, which may be that of an event loop, so it must
        be quick. As long as the route has not been made, that is left to the thread that makes it, and the page.
        """
        ...

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        """Make a page of `snapshot`. Called in a thread for pages."""
        ...


Find = Callable[[str], Optional[Route]]
"""Returns the route of a path, or None if there is none."""


def only(route: Route) -> Find:
    """Return a function that finds only `route`, at `/`."""
    return lambda path: route if path == "/" else None


class FormatRoute:
    """Encodes snapshots in one format."""

    def __init__(self, get_format: Callable[[], Format] = JsonFormat) -> None:
        """Use the format that `get_format` returns, which is called for each page. By default it is JSON."""
        self._get_format = get_format

    def variant(self, headers: Headers) -> Hashable:
        """Return None: all requests get the same format."""
        return None

    def page(self, snapshot: Snapshot, variant: Hashable) -> Page:
        """Encode `snapshot`."""
        encoding = self._get_format()
        return Page(encoding.media_type, encoding.encode(snapshot))
