"""Reporters, formats, routes, kinds and tables of a config by name, and the hooks by which distributions provide them.

Plugins are found by the entry-point group `tapes` and loaded when something is first looked up by name, or pages are
served: importing `tapes` loads none, and not pluggy either.
"""

from __future__ import annotations

from tapes.plugins.catalog import Installed, Provided
from tapes.plugins.hookspecs import hookimpl
from tapes.plugins.loading import Plugin
from tapes.plugins.lookup import (
    aggregator_table,
    block,
    driven_names,
    format_named,
    installed,
    kind_named,
    origin_of,
    reporter_class,
    route_at,
    table_named,
)

__all__ = [
    "Installed",
    "Plugin",
    "Provided",
    "aggregator_table",
    "block",
    "driven_names",
    "format_named",
    "hookimpl",
    "installed",
    "kind_named",
    "origin_of",
    "reporter_class",
    "route_at",
    "table_named",
]
