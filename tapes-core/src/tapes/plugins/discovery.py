"""The search for installed plugins, without importing any of them."""

from __future__ import annotations

import functools
import importlib
import logging
import re
import sys
import types
from contextlib import suppress
from importlib import metadata
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Tuple

from tapes.archives import add_archives
from tapes.plugins.hookspecs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = "tapes._plugins"
_ENTRY_POINTS = "entry_points.txt"
_GROUP_HEADER = re.compile(rf"^\s*\[\s*{PROJECT}\s*\]", re.MULTILINE)


class Found(NamedTuple):
    """An entry point of the group `tapes`, or a placeholder for one that cannot be read."""

    name: str
    value: str
    """The object that it refers to: `"module"` or `"module:attribute"`."""
    distribution: str
    version: str
    load: Callable[[], object]
    """Imports and returns the plugin. Raises the errors of its module."""


def find_plugins() -> List[Found]:
    """Return the plugins of all distributions on `sys.path`, sorted by distribution and then by name.

    A distribution that is found twice (an editable install, a folder twice on the path) counts once: the first on the
    path, which is also the one that is imported, or the newer of two versions in one folder. Unreadable metadata count
    as a plugin that cannot be loaded, with the reason.
    """
    _open_package()
    distributions: Dict[str, metadata.Distribution] = {}
    for distribution in _distributions():
        key = _key(distribution)
        if _supersedes(distribution, distributions.setdefault(key, distribution)):
            distributions[key] = distribution
    found = [plugin for distribution in distributions.values() for plugin in _plugins_of(distribution)]
    return sorted(found, key=lambda plugin: (canonical(plugin.distribution), plugin.name))


def canonical(distribution: str) -> str:
    """Return the name of a distribution, normalised as in PEP 503."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _open_package() -> None:
    """Extend the package of the entry points, which has no `__init__.py`, by its parts in archives."""
    package = types.ModuleType(_PACKAGE)
    package.__path__ = []
    add_archives(package.__path__, _PACKAGE)
    if not package.__path__:
        return
    with suppress(ModuleNotFoundError):
        package.__path__[:0] = importlib.import_module(_PACKAGE).__path__
    sys.modules[_PACKAGE] = package


def _distributions() -> Iterator[metadata.Distribution]:
    """Yield all distributions. A finder that raises is skipped, with a warning."""
    # Entries that are not str make finders raise, and the import system ignores them too.
    entries: List[object] = [*sys.path]
    context = metadata.DistributionFinder.Context(path=[entry for entry in entries if isinstance(entry, str)])
    for finder in sys.meta_path:
        find: Any = getattr(finder, "find_distributions", None)
        if find is None:
            continue
        try:
            yield from find(context)
        except Exception as error:  # noqa: BLE001 -- a foreign finder may raise anything, and must not hide the rest
            logging.getLogger("tapes.plugins").warning(
                "Plugins that only %r can find are left out: its find_distributions() raised %r.", finder, error
            )


def _folder(distribution: metadata.Distribution) -> PurePath:
    """Return the folder of the metadata, which may be in an archive."""
    return PurePath(str(getattr(distribution, "_path", "")))


def _label(distribution: metadata.Distribution) -> Tuple[str, str]:
    """Return name and version from the name of the metadata folder, without reading a file."""
    path = _folder(distribution)
    # In an egg the folder is called EGG-INFO.
    stem = (path.parent.name if path.name == "EGG-INFO" else path.name).rpartition(".")[0]
    name, _, rest = stem.partition("-")
    return name, rest.partition("-")[0]


def _key(distribution: metadata.Distribution) -> str:
    """Return a key that is the same for all installations of one distribution, and only for these."""
    label = _label(distribution)[0]
    # pip renames a folder to "~hop" before it removes it.
    return canonical(label if label and not label.startswith("~") else _identity(distribution)[0])


def _supersedes(distribution: metadata.Distribution, other: metadata.Distribution) -> bool:
    return _folder(distribution).parent == _folder(other).parent and _release(distribution) > _release(other)


def _release(distribution: metadata.Distribution) -> List[int]:
    return [int(number) for number in re.findall(r"\d+", _label(distribution)[1])]


def _identity(distribution: metadata.Distribution) -> Tuple[str, str]:
    try:
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
    except Exception:  # noqa: BLE001 -- METADATA may be missing or broken in any way: the folder's name will do
        name = version = ""
    label = _label(distribution)
    return name or label[0] or "an unnamed distribution", version or label[1] or "of unknown version"


def _plugins_of(distribution: metadata.Distribution) -> List[Found]:
    try:
        text = distribution.read_text(_ENTRY_POINTS)
    except Exception as error:  # noqa: BLE001 -- foreign files may be broken in any way
        where = str(_folder(distribution) / _ENTRY_POINTS)
        return [Found(_ENTRY_POINTS, where, *_identity(distribution), functools.partial(_fail, error))]
    if text is None or not _GROUP_HEADER.search(text):
        return []
    name, version = _identity(distribution)
    return [Found(point.name, point.value, name, version, functools.partial(_load, point)) for point in _points(text)]


def _points(text: str) -> List[metadata.EntryPoint]:
    """Return the entry points of the group `tapes`. Lines of other groups may be malformed."""
    values: Dict[str, str] = {}
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line.strip("[] \t") == PROJECT
        elif inside and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            values[name.strip()] = value.strip()
    return [metadata.EntryPoint(name, value, PROJECT) for name, value in values.items()]


def _load(point: metadata.EntryPoint) -> object:
    if not point.pattern.match(point.value):
        raise ValueError(f"{_ENTRY_POINTS} gives {point.name!r} neither 'module' nor 'module:attribute'")
    return point.load()


def _fail(error: Exception) -> object:
    raise error
