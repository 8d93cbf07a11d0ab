"""What is shown at a path of a page, and how it depends on the request."""

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
    """What is shown at a path. Plugins provide more through the hook `tapes_routes`.

    A route is made without arguments, has no state, and may be used by several threads. All who ask at the same moment
    for the same variant get the same page.
    """

    def variant(self, headers: Headers) -> Hashable:
        """Return what of a request the page depends on: its media type and compression, say. None if on nothing.

        It is a str, bytes, a number, or a tuple of these. There must be few variants, whatever clients send: a value of
        a header is none. It is called on the thread that reads requests, which may be that of an event loop, so it must
        be quick. As long as the route has not been made, that is left to the thread that makes it, and the page.
        """
        ...

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        """Show `snapshot`. Called from a thread of its own."""
        ...


Find = Callable[[str], Optional[Route]]
"""Returns the route of a path, or None if there is nothing at it."""


def only(route: Route) -> Find:
    """Have one route alone, at `/`."""
    return lambda path: route if path == "/" else None


class FormatRoute:
    """Shows snapshots in one format."""

    def __init__(self, get_format: Callable[[], Format] = JsonFormat) -> None:
        """Show snapshots in the format that `get_format` returns, which is asked each time. By default it is JSON."""
        self._get_format = get_format

    def variant(self, headers: Headers) -> Hashable:
        """Return None: the format is the same for all."""
        return None

    def page(self, snapshot: Snapshot, variant: Hashable) -> Page:
        """Encode `snapshot`."""
        encoding = self._get_format()
        return Page(encoding.media_type, encoding.encode(snapshot))
