"""The routes that plugins add to pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional

if TYPE_CHECKING:
    from tapes.pages.route import Route
    from tapes.plugins import Provided


class PluginRoutes:
    """Finds `root` at `/`, and the routes of plugins at other paths. Plugins are loaded on the first such request."""

    def __init__(self, root: Route) -> None:
        """Serve `root` at `/`."""
        self._root = root
        self._made: Dict[Provided, Route] = {}

    def __call__(self, path: str) -> Optional[Route]:
        """Return the route of a path, or None if there is none. Raises PluginError for a broken one."""
        if path == "/":
            return self._root
        from tapes import plugins  # here, so that pluggy is imported only if needed

        provided = plugins.installed().routes.get(path)
        if provided is None:
            return None
        made = self._made.get(provided)
        return self._made.setdefault(provided, plugins.route_at(path)) if made is None else made
