"""Look-up of reporters, formats, routes, kinds and tables by name."""

from __future__ import annotations

import difflib
import functools
import importlib
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, cast

from tapes.errors import PluginError, UnknownPluginError, quoted
from tapes.plugins.catalog import Catalog, Installed, Provided
from tapes.plugins.discovery import canonical
from tapes.plugins.loading import describe

if TYPE_CHECKING:
    from tapes.config.table import AggregatorTable
    from tapes.encoding import Format
    from tapes.kinds.kind import Kind
    from tapes.pages.route import Route
    from tapes.reporting import Reporter

_CATALOG = Catalog()

_OUR_REPORTERS = {
    "pushgateway": "tapes-prometheus",
    "statsd": "tapes-statsd",
    "tornado-http": "tapes-tornado",
    "tornado-statsd": "tapes-tornado[statsd]",
    "tornado-stream": "tapes-tornado",
    "zmq": "tapes-zmq",
}
_OUR_FORMATS = {"prometheus": "tapes-prometheus"}
_OUR_TABLES = {"aggregator": "tapes-zmq"}
_OUR_DRIVERS = {"tornado": ("tapes-tornado", "tapes.reporting.tornado.driver", "on_loop")}
"""Drivers of push reporters other than a thread, by the prefix of the reporter's name: `tornado-NAME`."""


def installed() -> Installed:
    """Return all installed plugins, reporters, formats, routes, kinds and tables. The first call loads the plugins.

    It does not import the classes that plugins name. Safe to call from any thread.
    """
    return _CATALOG.installed()


def block(name: str) -> None:
    """Block the plugin whose entry point is called `name`, for the rest of the process.

    A plugin blocked before the first look-up is not even imported. One that is already loaded loses its names, and its
    hooks are no longer called. A name that no plugin has is allowed. Safe to call from any thread.
    """
    _CATALOG.block(name)


def reporter_class(name: str) -> type[Reporter]:
    """Return the class of the reporter `name`. The first call loads the plugins. Safe to call from any thread.

    With tapes-tornado, `tornado-NAME` is the push reporter `NAME`, driven by a Tornado event loop, unless a plugin
    provides a reporter with that full name.

    Raises UnknownPluginError if no plugin provides it. Raises PluginError if the class cannot be imported, for example
    because a library is not installed, or is not a reporter.
    """
    from tapes.reporting import Reporter

    provided = installed().reporters.get(name)
    if provided is None:
        driver, _, driven = name.partition("-")
        if driver in _OUR_DRIVERS and driven in installed().reporters and _is_there(_OUR_DRIVERS[driver][0]):
            return _driven(driver, driven)
        raise _unknown("reporter", name, installed().reporters, _OUR_REPORTERS)
    found = _resolve("reporter", provided, _OUR_REPORTERS)
    if not (isinstance(found, type) and issubclass(found, Reporter)):
        raise PluginError(
            f"The reporter {name!r} of {provided.plugin.origin} is {found!r} ({provided.target}) "
            f"and not a subclass of tapes.reporting.Reporter. Update {provided.plugin.distribution}."
        )
    return found


def driven_names() -> List[str]:
    """Return the names of the reporters that are others driven by an event loop, as `tornado-NAME`."""
    names: List[str] = []
    for driver, (distribution, _, _) in _OUR_DRIVERS.items():
        for name in installed().reporters if _is_there(distribution) else ():
            driven = f"{driver}-{name}"
            if driven not in installed().reporters and name.partition("-")[0] not in _OUR_DRIVERS:
                with suppress(PluginError):  # most are of no push reporter
                    reporter_class(driven)
                    names.append(driven)
    return names


def origin_of(name: str) -> str:
    """Return the distribution, with its version, that provides the reporter `name`, or the one that is driven by it.

    Raises KeyError if none does.
    """
    reporters = installed().reporters
    provided = reporters.get(name)
    return (reporters[name.partition("-")[2]] if provided is None else provided).plugin.origin


def format_named(name: str) -> Format:
    """Return the format `name`. The first call loads the plugins. Safe to call from any thread.

    Raises UnknownPluginError if no plugin provides it, and PluginError if it cannot be imported or is not a format.
    """
    provided = installed().formats.get(name)
    if provided is None:
        raise _unknown("format", name, installed().formats, _OUR_FORMATS)
    made = _made("format", provided, _OUR_FORMATS)
    if not isinstance(getattr(made, "media_type", None), str) or not callable(getattr(made, "encode", None)):
        raise PluginError(
            f"The format {name!r} of {provided.plugin.origin} is {made!r} ({provided.target}), which lacks media_type "
            f"or encode(snapshot). Update {provided.plugin.distribution}."
        )
    return cast("Format", made)


def route_at(path: str) -> Route:
    """Return the route that a plugin adds to pages at `path`. The first call loads the plugins. Safe in any thread.

    Raises UnknownPluginError if no plugin does, and PluginError if it cannot be imported or is not a route.
    """
    provided = installed().routes.get(path)
    if provided is None:
        raise _unknown("route", path, installed().routes, {})
    made = _made("route", provided, {})
    if not callable(getattr(made, "variant", None)) or not callable(getattr(made, "page", None)):
        raise PluginError(
            f"The route {path!r} of {provided.plugin.origin} is {made!r} ({provided.target}), which lacks "
            f"variant(headers) or page(snapshot, variant). Update {provided.plugin.distribution}."
        )
    return cast("Route", made)


def kind_named(name: str) -> Kind:
    """Return the kind of metrics `name`. The first call loads the plugins. Safe to call from any thread.

    Raises UnknownPluginError if no plugin provides it, and PluginError if it cannot be imported or is not that kind.
    """
    from tapes.kinds.kind import Kind

    provided = installed().kinds.get(name)
    if provided is None:
        raise _unknown("kind", name, installed().kinds, {})
    found = _resolve("kind", provided, {})
    if not isinstance(found, Kind) or found != name:
        raise PluginError(
            f"The kind {name!r} of {provided.plugin.origin} is {found!r} ({provided.target}), and not the "
            f"tapes.kinds.kind.Kind of this name. Update {provided.plugin.distribution}."
        )
    return found


def aggregator_table() -> Callable[[Any], AggregatorTable]:
    """Return the class behind the table `[aggregator]`, which is made with a config. Safe to call from any thread.

    Raises UnknownPluginError if no plugin provides it, and PluginError if it cannot be imported.
    """
    return cast("Callable[[Any], AggregatorTable]", table_named("aggregator"))


def table_named(name: str) -> object:
    """Return the class behind the table `name` of a config. The first call loads the plugins. Safe in any thread.

    Raises UnknownPluginError if no plugin provides it, and PluginError if it cannot be imported.
    """
    provided = installed().tables.get(name)
    if provided is None:
        raise _unknown("table", name, installed().tables, _OUR_TABLES)
    return _resolve("table", provided, _OUR_TABLES)


def _is_there(distribution: str) -> bool:
    return any(
        plugin.status == "ok" and canonical(plugin.distribution) == canonical(distribution)
        for plugin in installed().plugins
    )


def _driven(driver: str, name: str) -> type[Reporter]:
    """Return the reporter `name`, driven by `driver` instead of a thread. Raises PluginError if that is impossible."""
    from tapes.reporting.push import PushReporter

    found = reporter_class(name)
    if not issubclass(found, PushReporter):
        raise UnknownPluginError(
            f"There is no reporter {quoted(f'{driver}-{name}')}: {name!r} is no tapes.reporting.push.PushReporter, "
            f"so it cannot be driven by {driver}."
        )
    distribution, module, function = _OUR_DRIVERS[driver]
    try:
        drive = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"The reporter {quoted(f'{driver}-{name}')} cannot be used: importing {module} raised {describe(error)}. "
            f"Install it with its dependencies: {_pip_install(distribution)}."
        ) from error
    try:
        return cast("type[Reporter]", drive(found))
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"The reporter {quoted(f'{driver}-{name}')} cannot be used: {module}.{function}({found.__name__}) raised "
            f"{describe(error)}. Use {name!r}, which reports in a thread."
        ) from error


def _made(kind: str, provided: Provided, ours: Mapping[str, str]) -> object:
    """Make an object of the class that a plugin provides. Raises PluginError if that fails."""
    found = _resolve(kind, provided, ours)
    try:
        return found()  # type: ignore[operator]  # it may be anything; if it is not callable, this raises TypeError
    except Exception as error:
        raise PluginError(
            f"The {kind} {provided.name!r} of {provided.plugin.origin} cannot be made: {provided.target}() raised "
            f"{describe(error)}. Update {provided.plugin.distribution}."
        ) from error


def _resolve(kind: str, provided: Provided, ours: Mapping[str, str]) -> object:
    module, _, attribute = provided.target.partition(":")
    try:
        return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    except (Exception, SystemExit) as error:
        # For our own distributions we know the extra that installs the missing library.
        requirement = ours.get(provided.name, "")
        if canonical(requirement.partition("[")[0]) != canonical(provided.plugin.distribution):
            requirement = provided.plugin.distribution
        raise PluginError(
            f"The {kind} {provided.name!r} of {provided.plugin.origin} cannot be used: importing {provided.target} "
            f"raised {describe(error)}. Install it with its dependencies: {_pip_install(requirement)}."
        ) from error


def _unknown(kind: str, name: str, provided: Mapping[str, Provided], ours: Mapping[str, str]) -> UnknownPluginError:
    plugins = installed().plugins
    present = {canonical(plugin.distribution) for plugin in plugins}
    # Do not suggest to install what is already installed, but blocked or broken.
    missing = {
        known: requirement for known, requirement in ours.items() if requirement.partition("[")[0] not in present
    }
    sentences = [f"There is no {kind} {quoted(name)}."]
    if name in missing:
        sentences.append(f"It comes with {_pip_install(missing[name])}.")
        if getattr(sys, "frozen", False):
            sentences.append(f"A frozen program has to include the metadata of {missing[name].partition('[')[0]}.")
    elif name not in ours:
        close = difflib.get_close_matches(name, [*provided, *missing], n=1)
        if close:
            comes_with = f" (it comes with {_pip_install(missing[close[0]])})" if close[0] in missing else ""
            sentences.append(f"Did you mean {close[0]!r}{comes_with}?")
    sentences.append(f"Installed: {', '.join(sorted(provided)) or 'none'}.")
    left_out = [
        f"{plugin.name!r} of {plugin.origin} ({plugin.status}{': ' * bool(plugin.reason)}{plugin.reason})"
        for plugin in plugins
        if plugin.status != "ok"
    ]
    if left_out:
        sentences.append(f"Plugins that are left out: {', '.join(left_out)}.")
    return UnknownPluginError(" ".join(sentences))


def _pip_install(requirement: str) -> str:
    # Quoted, because shells treat brackets as a pattern.
    return f"pip install '{requirement}'" if "[" in requirement else f"pip install {requirement}"
