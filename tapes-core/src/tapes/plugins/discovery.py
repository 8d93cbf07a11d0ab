"""Finding the plugins that are installed, without importing any of them."""

from __future__ import annotations

import functools
import re
from importlib import metadata
from typing import Callable, Dict, List, NamedTuple, Tuple

from tapes.plugins.hookspecs import PROJECT

_GROUP_HEADER = re.compile(rf"^\s*\[\s*{PROJECT}\s*\]", re.MULTILINE)


class Found(NamedTuple):
    """An entry point of the group `tapes`, or what stands in for one that cannot be read."""

    name: str
    value: str
    """What it refers to, `"module"` or `"module:attribute"`."""
    distribution: str
    version: str
    load: Callable[[], object]
    """Imports and returns the plugin. Raises whatever its module raises."""


def find_plugins() -> List[Found]:
    """Return the plugins of all distributions on `sys.path`, sorted by distribution and then by name.

    A distribution that is there twice (an editable install, a folder twice on the path) counts once: the first, which
    is also the one that is imported.
    """
    distributions: Dict[str, List[Found]] = {}
    for distribution in metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if text is not None and _GROUP_HEADER.search(text):
            name, version = _identity(distribution)
            if canonical(name) not in distributions:
                distributions[canonical(name)] = _plugins_of(distribution, name, version)
    return [found for _, plugins in sorted(distributions.items()) for found in plugins]


def canonical(distribution: str) -> str:
    """Write the name of a distribution as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _identity(distribution: metadata.Distribution) -> Tuple[str, str]:
    try:
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
    except Exception:  # noqa: BLE001 -- without its METADATA a distribution has no name, which must not stop the others
        name = version = ""
    return name or "an unnamed distribution", version or "of unknown version"


def _plugins_of(distribution: metadata.Distribution, name: str, version: str) -> List[Found]:
    try:
        points = {point.name: point for point in distribution.entry_points if point.group == PROJECT}
    except Exception as error:  # noqa: BLE001 -- entry_points.txt of others may be broken in any way
        return [Found(name, "entry_points.txt", name, version, functools.partial(_fail, error))]
    return [Found(point.name, point.value, name, version, point.load) for _, point in sorted(points.items())]


def _fail(error: Exception) -> object:
    raise error
