"""The hooks of tapes: everything that a plugin can implement.

An implementation is marked with `tapes.plugins.hookimpl`. It may leave out arguments that it does not need, but must
not add any. Each implementation is called separately: its errors do not affect others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict

import pluggy

if TYPE_CHECKING:
    from tapes.instruments import Instrument
    from tapes.registry import Registry
    from tapes.reporting import Reporter

PROJECT = "tapes"
"""The entry-point group of plugins, and the name of the project for pluggy."""

_hookspec = pluggy.HookspecMarker(PROJECT)

hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function as the implementation of the hook of the same name."""


@_hookspec
def tapes_reporters() -> Dict[str, str]:
    """Return the reporters that the plugin provides: name in a config -> `"module:attribute"` of its class.

    Called once, when plugins are loaded. The module is imported only when the reporter is looked up.
    """
    raise NotImplementedError


@_hookspec
def tapes_formats() -> Dict[str, str]:
    """Return the formats that the plugin provides: name -> `"module:attribute"` of a `tapes.encoding.Format` class.

    Called once, when plugins are loaded. The module is imported only when the format is looked up.
    """
    raise NotImplementedError


@_hookspec
def tapes_routes() -> Dict[str, str]:
    """Return the routes that the plugin adds to pages: path -> `"module:attribute"` of a `tapes.pages.Route` class.

    Called once, when plugins are loaded. The module is imported only when the path is requested.
    """
    raise NotImplementedError


@_hookspec
def tapes_kinds() -> Dict[str, str]:
    """Return the kinds of metrics that the plugin provides: name -> `"module:attribute"` of a `tapes.kinds.kind.Kind`.

    Called once, when plugins are loaded. The module is imported only when the kind is looked up, as by an aggregator
    that is sent a series of the kind.
    """
    raise NotImplementedError


@_hookspec
def tapes_tables() -> Dict[str, str]:
    """Return the tables of a config that the plugin stands behind: name -> `"module:attribute"` of a class.

    There is one so far, `aggregator`, whose class is a `tapes.config.table.AggregatorTable`. Called once, when plugins
    are loaded. The module is imported only when a config has the table.
    """
    raise NotImplementedError


@_hookspec
def tapes_metric_created(registry: Registry, metric: Instrument) -> None:
    """Observe each metric exactly once: those that exist when plugins are loaded, and each new one.

    Called in the thread that makes the metric, which waits. Not called for a metric that the implementation itself
    makes during a call.
    """
    raise NotImplementedError


@_hookspec
def tapes_report_failed(reporter: Reporter, error: BaseException, streak: int) -> None:
    """Observe each failed report. `streak` is the number of failed reports in a row, 1 for the first.

    Called in the thread that reports, which waits.
    """
    raise NotImplementedError
