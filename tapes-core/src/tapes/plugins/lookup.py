"""Reporters, formats and routes by name."""

from __future__ import annotations

import difflib
import functools
import importlib
import sys
from typing import TYPE_CHECKING, Mapping, cast

from tapes.errors import PluginError, UnknownPluginError, quoted
from tapes.plugins.catalog import Catalog, Installed, Provided
from tapes.plugins.discovery import canonical
from tapes.plugins.loading import describe

if TYPE_CHECKING:
    from tapes.encoding import Format
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
_OUR_DRIVERS = {"tornado": ("tapes-tornado", "tapes.reporting.tornado.driver", "on_loop")}
"""What drives a reporter that pushes instead of a thread, by what its name begins with: `tornado-NAME`."""


def installed() -> Installed:
    """Return all plugins, reporters, formats and routes that are installed. Loads the plugins the first time.

    Nothing that a plugin merely names is imported. Safe to call from any thread.
    """
    return _CATALOG.installed()


def block(name: str) -> None:
    """Keep the plugin whose entry point is called `name` out of this process, for as long as it lives.

    A plugin that is blocked before the first lookup is not even imported; one that is loaded already loses its names,
    and is told nothing more. A name that no plugin has is allowed. Safe to call from any thread.
    """
    _CATALOG.block(name)


def reporter_class(name: str) -> type[Reporter]:
    """Return the class of the reporter `name`. Loads the plugins the first time. Safe to call from any thread.

    With tapes-tornado `tornado-NAME` is the reporter `NAME`, if that pushes, driven by an event loop of Tornado, unless
    a plugin provides another reporter of that name.

    Raises UnknownPluginError if no plugin provides it, and PluginError if the plugin that does cannot be imported (the
    library that it needs is not installed) or has something else in that place.
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


def origin_of(name: str) -> str:
    """Return the distribution, with its version, that provides the reporter `name`, or the one that is driven by it.

    Raises KeyError if none does.
    """
    reporters = installed().reporters
    provided = reporters.get(name)
    return (reporters[name.partition("-")[2]] if provided is None else provided).plugin.origin


def format_named(name: str) -> Format:
    """Return the format `name`. Loads the plugins the first time. Safe to call from any thread.

    Raises UnknownPluginError if no plugin provides it, and PluginError if the plugin that does cannot be imported or
    has something else in that place.
    """
    provided = installed().formats.get(name)
    if provided is None:
        raise _unknown("format", name, installed().formats, _OUR_FORMATS)
    made = _made("format", provided, _OUR_FORMATS)
    if not isinstance(getattr(made, "media_type", None), str) or not callable(getattr(made, "encode", None)):
        raise PluginError(
            f"The format {name!r} of {provided.plugin.origin} is {made!r} ({provided.target}), which has not both "
            f"media_type and encode(snapshot). Update {provided.plugin.distribution}."
        )
    return cast("Format", made)


def route_at(path: str) -> Route:
    """Return the route that a plugin adds to pages at `path`. Loads the plugins the first time. Safe in any thread.

    Raises UnknownPluginError if no plugin does, and PluginError if the plugin that does cannot be imported or has
    something else in that place.
    """
    provided = installed().routes.get(path)
    if provided is None:
        raise _unknown("route", path, installed().routes, {})
    made = _made("route", provided, {})
    if not callable(getattr(made, "variant", None)) or not callable(getattr(made, "page", None)):
        raise PluginError(
            f"The route {path!r} of {provided.plugin.origin} is {made!r} ({provided.target}), which has not both "
            f"variant(headers) and page(snapshot, variant). Update {provided.plugin.distribution}."
        )
    return cast("Route", made)


def _is_there(distribution: str) -> bool:
    return any(
        plugin.status == "ok" and canonical(plugin.distribution) == canonical(distribution)
        for plugin in installed().plugins
    )


def _driven(driver: str, name: str) -> type[Reporter]:
    """Return the reporter `name`, driven by something else than a thread. Raises PluginError if that cannot be."""
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
            f"Install it with all that it needs: {_pip_install(distribution)}."
        ) from error
    try:
        return cast("type[Reporter]", drive(found))
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"The reporter {quoted(f'{driver}-{name}')} cannot be used: {module}.{function}({found.__name__}) raised "
            f"{describe(error)}. Use {name!r}, which reports in a thread."
        ) from error


def _made(kind: str, provided: Provided, ours: Mapping[str, str]) -> object:
    """Make what a plugin provides a class of. Raises PluginError if that cannot be."""
    found = _resolve(kind, provided, ours)
    try:
        return found()  # type: ignore[operator]  # anything may be there; what cannot be called raises TypeError
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
        # Of a distribution of ours it is known which extra brings the missing library.
        requirement = ours.get(provided.name, "")
        if canonical(requirement.partition("[")[0]) != canonical(provided.plugin.distribution):
            requirement = provided.plugin.distribution
        raise PluginError(
            f"The {kind} {provided.name!r} of {provided.plugin.origin} cannot be used: importing {provided.target} "
            f"raised {describe(error)}. Install it with all that it needs: {_pip_install(requirement)}."
        ) from error


def _unknown(kind: str, name: str, provided: Mapping[str, Provided], ours: Mapping[str, str]) -> UnknownPluginError:
    plugins = installed().plugins
    present = {canonical(plugin.distribution) for plugin in plugins}
    # What is installed, but blocked or broken, is not to be installed again.
    missing = {
        known: requirement for known, requirement in ours.items() if requirement.partition("[")[0] not in present
    }
    sentences = [f"There is no {kind} {quoted(name)}."]
    if name in missing:
        sentences.append(f"It comes with {_pip_install(missing[name])}.")
        if getattr(sys, "frozen", False):
            sentences.append(f"A frozen program has to bring the metadata of {missing[name].partition('[')[0]} along.")
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
    # Shells read brackets as a pattern.
    return f"pip install '{requirement}'" if "[" in requirement else f"pip install {requirement}"
