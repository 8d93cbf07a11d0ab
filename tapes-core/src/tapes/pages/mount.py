"""The application for pages that are mounted in a foreign server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

from tapes.pages.application import Application
from tapes.pages.formats import checked_format
from tapes.pages.hosts import checked_hosts, is_allowed
from tapes.pages.plugin_routes import PluginRoutes
from tapes.pages.route import FormatRoute, only
from tapes.registry import DEFAULT_REGISTRY
from tapes.reporting import checked

if TYPE_CHECKING:
    from tapes.pages.route import Find
    from tapes.registry import Registry


def mounted(
    registry: Optional[Registry], format_name: Optional[str], allowed_hosts: Sequence[str], name: str
) -> Application:
    """Return the application that shows `registry`, in one format or at all routes.

    `name` is used in log lines and in the names of threads that make pages.
    """
    shown = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)
    hosts = checked_hosts(allowed_hosts)
    if format_name is None:
        find: Find = PluginRoutes(FormatRoute())
    else:
        encoding = checked_format(format_name)
        find = only(FormatRoute(lambda: encoding))
    return Application.with_log(
        *(shown.snapshot, find, name),
        name if format_name is None else f"{name}(format={format_name!r})",
        allows_host=(lambda host: is_allowed(host, hosts)) if hosts else None,
    )
