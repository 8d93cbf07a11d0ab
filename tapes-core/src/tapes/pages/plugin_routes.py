"""The routes that plugins add to pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional

if TYPE_CHECKING:
    from tapes.pages.route import Route
    from tapes.plugins import Provided


class PluginRoutes:
    """One route of its own at `/`, and at other paths those of plugins, loaded when another path is asked for."""

    def __init__(self, root: Route) -> None:
        """Have `root` at `/`."""
        self._root = root
        self._made: Dict[Provided, Route] = {}

    def __call__(self, path: str) -> Optional[Route]:
        """Return the route of a path, or None if there is nothing at it. Raises PluginError for one that is broken."""
        if path == "/":
            return self._root
        from tapes import plugins  # pluggy is imported by nobody who does not need it

        provided = plugins.installed().routes.get(path)
        if provided is None:
            return None
        made = self._made.get(provided)
        return self._made.setdefault(provided, plugins.route_at(path)) if made is None else made
