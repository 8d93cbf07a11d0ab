"""The loading of one plugin: import it, register it, and call its hooks. If a step fails, the plugin is left out."""

from __future__ import annotations

import difflib
import inspect
import logging
import re
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Tuple

import pluggy

from tapes.plugins import hookspecs

if TYPE_CHECKING:
    from pluggy import HookImpl

    from tapes.plugins.discovery import Found

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")

_NAME = re.compile(r"(?s).+")
_PATH = re.compile(r"/[^\s?#]*")

_SIGNATURES = {
    name: f"{name}({', '.join(inspect.signature(spec).parameters)})"
    for name, spec in vars(hookspecs).items()
    if name.startswith("tapes_")
}


class Plugin(NamedTuple):
    """An installed plugin."""

    name: str
    """The name of its entry point, with which a config can block it."""
    distribution: str
    version: str
    status: str
    """`ok`, `blocked` (a config says so) or `broken` (left out, for `reason`)."""
    reason: str
    """Why it is broken, or which of its names are ignored; else empty."""

    @property
    def origin(self) -> str:
        """Its distribution and version, as in `shop-metrics 1.0`."""
        return f"{self.distribution} {self.version}"


class Loaded(NamedTuple):
    """A plugin and what it provides."""

    plugin: Plugin
    reporters: Dict[str, str]
    formats: Dict[str, str]
    routes: Dict[str, str]
    kinds: Dict[str, str]
    tables: Dict[str, str]
    observers: Tuple[Tuple[str, HookImpl], ...]
    """Its implementations of observing hooks, each with the name of the hook."""


class _Fault(Exception):  # noqa: N818 -- never leaves this module
    """Why a plugin cannot be used, in a sentence without a full stop."""


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager with the hooks of tapes, and without plugins."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def load_plugin(manager: pluggy.PluginManager, found: Found) -> Loaded:
    """Load one plugin into `manager`. A broken one is logged as a warning, and leaves nothing registered.

    Raises only KeyboardInterrupt, which is meant for the program.
    """
    if manager.is_blocked(found.name):
        return left_out(found, "blocked")
    try:
        return _load(manager, found)
    except _Fault as fault:
        logging.getLogger("tapes.plugins").warning(
            "The plugin %r of %s %s is left out: %s. Update or uninstall %s, or block the plugin in the config: "
            "plugins = {block = [%r]}.",
            *(found.name, found.distribution, found.version, fault, found.distribution, found.name),
            exc_info=fault.__cause__,
        )
        return left_out(found, "broken", str(fault))


def left_out(found: Found | Plugin, status: str, reason: str = "") -> Loaded:
    """Return `found` as a plugin that provides nothing."""
    return Loaded(Plugin(found.name, found.distribution, found.version, status, reason), {}, {}, {}, {}, {}, ())


def describe(error: BaseException) -> str:
    """Return an error as one line, with its type."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _load(manager: pluggy.PluginManager, found: Found) -> Loaded:
    try:
        plugin = found.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module that calls sys.exit() must not end the program
        raise _Fault(f"loading {found.value!r} raised {describe(error)}") from error

    # Two distributions may have given their entry points the same name.
    name = found.name if not manager.has_plugin(found.name) else f"{found.name} ({found.distribution})"
    try:
        _register(manager, plugin, name)
        implementations = _implementations(manager, plugin)
        return Loaded(
            Plugin(found.name, found.distribution, found.version, "ok", ""),
            _ask("tapes_reporters", implementations),
            _ask("tapes_formats", implementations),
            _ask("tapes_routes", implementations, "paths", _PATH),
            _ask("tapes_kinds", implementations),
            _ask("tapes_tables", implementations),
            tuple(sorted(implementations.items())),
        )
    except _Fault:
        # pluggy 1.6 keeps the name of a refused plugin, and its implementations before the bad one.
        if manager.get_plugin(name) is plugin:
            manager.unregister(name=name)
        raise


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    try:
        manager.register(plugin, name)
    except pluggy.PluginValidationError as error:
        takes = next((signature for hook, signature in _SIGNATURES.items() if f"{hook!r}" in str(error)), "its hook")
        raise _Fault(f"{' '.join(str(error).split())}; the arguments are those of {takes}, or fewer") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # pluggy reads all attributes of the plugin, which may run its code
        raise _Fault(f"registering {plugin!r} raised {describe(error)}") from error


def _implementations(manager: pluggy.PluginManager, plugin: object) -> Dict[str, HookImpl]:
    """Return the implementations of `plugin` by hook. Raises _Fault for one that can never be called."""
    implementations: Dict[str, HookImpl] = {}
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            if caller.has_spec():
                if implementation.wrapper or implementation.hookwrapper:
                    raise _Fault(f"{caller.name} is marked as a wrapper, but there is nothing to wrap")
                implementations[caller.name] = implementation
            elif not implementation.optionalhook:
                raise _Fault(f"there is no hook {caller.name!r}{_meant(caller.name)}")
    if not implementations:
        raise _Fault("it implements no hook; mark its functions with tapes.plugins.hookimpl")
    return implementations


def _meant(name: str) -> str:
    close = difflib.get_close_matches(name, _SIGNATURES, n=1)
    return f"; did you mean {_SIGNATURES[close[0]]}?" if close else f"; the hooks are {', '.join(_SIGNATURES)}"


def _ask(
    hook: str, implementations: Dict[str, HookImpl], names: str = "names", form: re.Pattern[str] = _NAME
) -> Dict[str, str]:
    """Remove the implementation of a providing hook from `implementations`, call it, and return its checked result.

    The result is a dict. Its keys have this `form`, and errors call them `names`.
    """
    implementation = implementations.pop(hook, None)
    if implementation is None:
        return {}
    try:
        answer = implementation.function()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin must not affect the others
        raise _Fault(f"{hook}() raised {describe(error)}") from error
    faults: List[str] = []
    if not isinstance(answer, dict):
        raise _Fault(f"{hook}() returned {answer!r} and not a dict of {names} to 'module:attribute'")
    for name, target in answer.items():
        if not isinstance(name, str) or not form.fullmatch(name):
            faults.append(f"the {names[:-1]} {name!r}")
        elif not isinstance(target, str) or not _TARGET.fullmatch(target):
            faults.append(f"{target!r} for {name!r}")
    if faults:
        raise _Fault(f"{hook}() returned {' and '.join(faults)}; it returns a dict of {names} to 'module:attribute'")
    return dict(answer)
