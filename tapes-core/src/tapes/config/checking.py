"""The check of a whole configuration, before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Mapping, NamedTuple, Sequence, Tuple

from tapes import plugins
from tapes.config.options import Options, did_you_mean, quoted_with_type
from tapes.config.source import ConfigSource, Source, read
from tapes.config.table import CheckedReporter
from tapes.errors import ConfigError, PluginError, TapesError
from tapes.plugins.loading import describe
from tapes.registry import DEFAULT_REGISTRY, Registry

if TYPE_CHECKING:
    # For tools that freeze programs: they follow imports, and would miss what core provides by name (plugins/core.py).
    import tapes.encoding.json
    import tapes.reporting.http
    import tapes.reporting.stream  # noqa: F401

_KEYS = {
    "reporters": "a table of tables",
    "aggregator": "a table",
    "plugins": "a table",
    "max_tag_sets": "a positive integer",
    "sigterm": "true or false",
}


class Checked(NamedTuple):
    """A configuration without faults. Nothing of it was started."""

    source: str
    """The name of the configuration in messages."""
    registry: Registry
    max_tag_sets: int | None
    sigterm: bool
    """Whether SIGTERM makes the last reports, unless the program handles it."""
    blocked: Tuple[str, ...]
    """The plugins that it blocks."""
    reporters: Tuple[CheckedReporter, ...]
    """The reporters of this process, in the order of the configuration. With a table `[aggregator]` it is the one that
    publishes to the aggregator, which has all others."""
    obstacles: Tuple[str, ...] = ()
    """What would keep reporters from starting here and now, each with the key of the reporter."""


def check(config: ConfigSource = None, *, registry: Registry | None = None, tolerant: bool = False) -> Checked:
    """Check a configuration like `tapes.configure`, but start nothing.

    It calls the constructors of the reporters, because these check their options best. The plugins listed in
    `plugins.block` are blocked from then on. Safe to call from any thread.

    Raises ConfigError, which lists every fault. With `tolerant` these are the faults of the configuration in itself;
    whatever else would keep reporters from starting, like a folder that is missing, is in `obstacles`.
    """
    source = read(config)
    faults: List[str] = []
    obstacles: List[str] = [] if tolerant else faults
    for key in source.table:
        if key not in _KEYS:
            known = ", ".join(f"{name} ({what})" for name, what in _KEYS.items())
            faults.append(f"{key}: unknown key{did_you_mean(str(key), _KEYS)}; known are {known}")
    blocked = block_plugins(source, faults)
    max_tag_sets = _max_tag_sets(source.table, faults)
    sigterm = source.table.get("sigterm", True)
    if not isinstance(sigterm, bool):
        faults.append(f"sigterm: {quoted_with_type(sigterm)} is not {_KEYS['sigterm']}")
    target = DEFAULT_REGISTRY if registry is None else registry
    if "aggregator" in source.table:
        reporters = _member(config, target, faults)
    else:
        reporters = _reporters(source.table, target, faults, obstacles)
    if faults:
        raise ConfigError(source.name, faults)
    return Checked(source.name, target, max_tag_sets, bool(sigterm), blocked, reporters, tuple(obstacles))


def _member(config: ConfigSource, registry: Registry, faults: List[str]) -> Tuple[CheckedReporter, ...]:
    """Return the reporter that publishes to the aggregator of a configuration. It checks the tables of all others."""
    try:
        member = plugins.aggregator_table()(config).member(registry)
    except PluginError as error:
        faults.append(f"aggregator: {error}")
    except ConfigError as error:
        faults += [fault for fault in error.faults if fault not in faults]
    else:
        return (CheckedReporter("aggregator", "aggregator", {}, member),)
    return ()


def block_plugins(source: Source, faults: List[str]) -> Tuple[str, ...]:
    """Block the plugins that `source` lists, and return their names. Faults are added to `faults`."""
    section = source.table.get("plugins", {})
    if not isinstance(section, Mapping):
        faults.append(f"plugins: {quoted_with_type(section)} is not a table")
        return ()
    for key in section:
        if key != "block":
            known = "known is block (a list of strings)"
            faults.append(f"plugins.{key}: unknown key{did_you_mean(str(key), ['block'])}; {known}")
    names = section.get("block", [])
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        faults.append(f"plugins.block: {quoted_with_type(names)} is not a list of strings, the names of plugins")
        return ()
    for name in names:
        plugins.block(name)
    return tuple(names)


def _max_tag_sets(table: Mapping[str, object], faults: List[str]) -> int | None:
    value = table.get("max_tag_sets")
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    faults.append(f"max_tag_sets: {quoted_with_type(value)} is not {_KEYS['max_tag_sets']}")
    return None


def _reporters(
    table: Mapping[str, object], registry: Registry, faults: List[str], obstacles: List[str]
) -> Tuple[CheckedReporter, ...]:
    """Return the reporters of a configuration. Its faults are added to `faults`, those of this host to `obstacles`."""
    if "reporters" not in table:
        faults.append("reporters: missing; leave the table empty to start none on purpose")
        return ()
    section = table["reporters"]
    if not isinstance(section, Mapping):
        faults.append(f"reporters: {quoted_with_type(section)} is not a table of tables, one for each reporter")
        return ()
    checked: List[CheckedReporter] = []
    for key, options in section.items():
        path = f"reporters.{key}"
        if not isinstance(key, str):
            faults.append(f"{path}: the name of a reporter is a string, not {quoted_with_type(key)}")
        elif not isinstance(options, Mapping):
            faults.append(f"{path}: {quoted_with_type(options)} is not a table of options")
        else:
            reporter = _reporter(path, key, options, registry, faults)
            if reporter is not None:
                alone = _obstacles(reporter, [])  # those that have nothing to do with other reporters
                for obstacle in _obstacles(reporter, checked):
                    (obstacles if obstacle in alone else faults).append(f"{path}: {obstacle}")
                checked.append(reporter)
    return tuple(checked)


def _obstacles(reporter: CheckedReporter, earlier: Sequence[CheckedReporter]) -> Sequence[str]:
    try:
        return reporter.reporter.obstacles({f"reporters.{each.key}": each.reporter for each in earlier})
    except Exception as error:  # noqa: BLE001 -- a foreign reporter may raise anything, which is listed as a fault
        return [f"{type(reporter.reporter).__name__}.obstacles() raised {describe(error)}"]


def _reporter(
    path: str, key: str, table: Mapping[str, object], registry: Registry, faults: List[str]
) -> CheckedReporter | None:
    name = table.get("type", key)
    if not isinstance(name, str):
        faults.append(f"{path}.type: {quoted_with_type(name)} is not a string, the name of a reporter")
        return None
    try:
        cls = plugins.reporter_class(name)
    except PluginError as error:
        faults.append(f"{path}{'.type' if 'type' in table else ''}: {error}")
        return None
    given = {option: value for option, value in table.items() if option != "type"}
    options = Options(cls)
    arguments, found = options.check(given, path)
    faults += found
    if found:
        return None
    try:
        reporter = options.make(arguments, registry)
    except Exception as error:  # noqa: BLE001 -- a foreign reporter may raise anything, which is listed as a fault
        reason = str(error) if isinstance(error, TapesError) else describe(error)
        faults.append(f"{path}: {cls.__name__} refuses its options: {reason}")
        return None
    return CheckedReporter(key, name, given, reporter)
