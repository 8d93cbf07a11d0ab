"""All plugins of this process: loaded once, when something is first looked up by name or pages are served."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, ContextManager, Dict, List, Mapping, NamedTuple, Set, Tuple

from tapes.errors import PluginError
from tapes.plugins import core
from tapes.plugins.discovery import Found, find_plugins
from tapes.plugins.loading import Loaded, Plugin, left_out, load_plugin, new_manager
from tapes.plugins.observing import Observer, Observers
from tapes.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

CORE = "tapes-core"
"""The distribution whose plugin is always there, even without installed metadata."""


class Provided(NamedTuple):
    """A reporter, a format, a route, a kind or a table of a config that a plugin provides."""

    name: str
    """The name to look it up by; for a route its path."""
    target: str
    """`"module:attribute"` of its class; for a kind of the kind itself."""
    plugin: Plugin


class Installed(NamedTuple):
    """What the plugins of this process provide. Immutable."""

    plugins: Tuple[Plugin, ...]
    """All plugins, also blocked and broken ones: core's first, the others by distribution and name."""
    reporters: Mapping[str, Provided]
    formats: Mapping[str, Provided]
    routes: Mapping[str, Provided]
    kinds: Mapping[str, Provided]
    tables: Mapping[str, Provided]


class Catalog:
    """Loads plugins once, caches them, and leaves out blocked ones. Safe to use from any thread and after a fork."""

    def __init__(self) -> None:
        # A lock that another thread holds during a fork is never released in the child, so each process makes its own.
        # `setdefault` is atomic.
        self._locks: Dict[int, ContextManager[bool]] = {}
        self._loading_in: int | None = None
        self._blocked: Set[str] = set()
        self._loaded: Tuple[Loaded, ...] = ()
        self._installed: Installed | None = None
        self._observers = Observers()

    def installed(self) -> Installed:
        """Return what the plugins provide. The first call loads them.

        Raises PluginError if a plugin calls it while plugins are being loaded.
        """
        installed = self._installed
        if installed is not None:
            return installed
        with self._lock():
            installed = self._installed
            if installed is not None:
                return installed
            if self._loading_in == os.getpid():
                raise PluginError("A plugin cannot look up reporters and formats while plugins are being loaded.")
            self._loading_in = os.getpid()
            try:
                self._loaded = self._load()
            finally:
                self._loading_in = None
            installed = _claims(self._loaded, warn=True)
            self._observers.use(
                Observer(loaded.plugin, hook, implementation)
                for loaded in self._loaded
                for hook, implementation in loaded.observers
            )
            self._installed = installed
        # Outside the lock: an observer may look up names, and may wait for threads that do.
        self._observers.catch_up()
        return installed

    def block(self, name: str) -> None:
        """Block plugins whose entry point is called `name`, loaded or not, for the rest of the process."""
        with self._lock():
            self._blocked.add(name)
            if self._installed is None:
                return
            self._loaded = tuple(
                left_out(loaded.plugin, "blocked") if loaded.plugin.name == name else loaded for loaded in self._loaded
            )
            self._installed = _claims(self._loaded, warn=False)
        self._observers.remove_plugin(name)

    def _load(self) -> Tuple[Loaded, ...]:
        manager = new_manager()
        for name in self._blocked:
            manager.set_blocked(name)
        return tuple(load_plugin(manager, each) for each in (core_plugin(), *find_plugins()))

    def _lock(self) -> ContextManager[bool]:
        return self._locks.setdefault(os.getpid(), threading.RLock())


def core_plugin() -> Found:
    """Return the plugin of core. It is a plain import, so a frozen program has it too."""
    return Found("core", core.__name__, CORE, VERSION, lambda: core)


def _claims(loaded: Tuple[Loaded, ...], *, warn: bool) -> Installed:
    """Give every name to the first plugin that claims it."""
    reporters: Dict[str, Provided] = {}
    formats: Dict[str, Provided] = {}
    routes: Dict[str, Provided] = {}
    kinds: Dict[str, Provided] = {}
    tables: Dict[str, Provided] = {}
    plugins: List[Plugin] = []
    for each in loaded:
        ignored = [*_claim("reporter", each.plugin, each.reporters, reporters)]
        ignored += _claim("format", each.plugin, each.formats, formats)
        ignored += _claim("route", each.plugin, each.routes, routes)
        ignored += _claim("kind", each.plugin, each.kinds, kinds)
        ignored += _claim("table", each.plugin, each.tables, tables)
        if warn:
            for refusal in ignored:
                logging.getLogger("tapes.plugins").warning(
                    "%s in %s is ignored: %s. Uninstall one of the two, or block its plugin in the config.", *refusal
                )
        reasons = [each.plugin.reason] if each.plugin.reason else []
        reasons += [f"{what} is ignored: {why}" for what, _, why in ignored]
        plugins.append(each.plugin._replace(reason="; ".join(reasons)))
    return Installed(tuple(plugins), reporters, formats, routes, kinds, tables)


def _claim(
    what: str, plugin: Plugin, targets: Mapping[str, str], claimed: Dict[str, Provided]
) -> Iterator[Tuple[str, str, str]]:
    for name, target in targets.items():
        owner = claimed.setdefault(name, Provided(name, target, plugin)).plugin
        if owner is not plugin:
            yield f"The {what} {name!r}", plugin.origin, f"the name belongs to {owner.origin}"
