"""The routes that plugins add to pages."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Dict, Hashable, Optional

from tapes.errors import PluginError
from tapes.pages.route import Undecided

if TYPE_CHECKING:
    from tapes.pages.message import Headers, Page
    from tapes.pages.route import Route
    from tapes.plugins import Provided
    from tapes.snapshot import Snapshot


class PluginRoutes:
    """One route of its own at `/`, and at other paths those of plugins. Thread-safe, and quick enough for loops."""

    def __init__(self, root: Route) -> None:
        """Have `root` at `/`. Loads the plugins, so that no request has to, on an event loop perhaps."""
        from tapes import plugins  # pluggy is imported by nobody who does not need it

        with suppress(PluginError):  # a plugin that is being loaded does this, and so they soon are
            plugins.installed()
        self._root = root
        self._found: Dict[Provided, Route] = {}

    def __call__(self, path: str) -> Optional[Route]:
        """Return the route of a path, or None if there is nothing at it."""
        if path == "/":
            return self._root
        from tapes import plugins

        provided = plugins.installed().routes.get(path)
        if provided is None:
            return None
        found = self._found.get(provided)
        return self._found.setdefault(provided, _PluginRoute(path)) if found is None else found


class _PluginRoute:
    """The route of a plugin. Its first page makes it, as no loop is to wait while its module is imported."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._made: Optional[Route] = None

    def variant(self, headers: Headers) -> Hashable:
        made = self._made
        return Undecided(frozenset(headers.items())) if made is None else made.variant(headers)

    def page(self, snapshot: Snapshot, variant: Any) -> Page:
        """Show `snapshot`. Raises PluginError for a route that is broken."""
        made = self._made
        if made is None:
            from tapes import plugins

            made = self._made = plugins.route_at(self._path)
        return made.page(snapshot, made.variant(dict(variant.headers)) if isinstance(variant, Undecided) else variant)
