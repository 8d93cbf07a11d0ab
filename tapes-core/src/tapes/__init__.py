"""Metrics for Python applications.

    latency = tapes.timer("shop.checkout.latency")

    def checkout():
        with latency.time():
            ...

The functions of this module use the registry of the process; `tapes.Registry()` makes another one.
"""

from __future__ import annotations

import pkgutil
import sys

__path__ = __import__("pkgutil").extend_path(__path__, __name__)

from typing import TYPE_CHECKING, Any, Iterable, Mapping, Optional, Type, Union

from tapes.registry import DEFAULT_REGISTRY, Registry
from tapes.version import VERSION

if TYPE_CHECKING:
    from os import PathLike

    from tapes.config import Configuration
    from tapes.meta import Definition

# By now, sys.path_importer_cache has a finder for each entry of sys.path.
if any(hasattr(finder, "archive") for finder in list(sys.path_importer_cache.values())):
    from tapes.archives import add_archives

    add_archives(__path__, __name__)

__version__ = VERSION

counter = DEFAULT_REGISTRY.counter
gauge = DEFAULT_REGISTRY.gauge
histogram = DEFAULT_REGISTRY.histogram
meter = DEFAULT_REGISTRY.meter
timer = DEFAULT_REGISTRY.timer
get_stats = DEFAULT_REGISTRY.get_stats


def configure(
    config: Optional[Union[Mapping[str, Any], str, PathLike[str]]] = None, *, registry: Optional[Registry] = None
) -> Configuration:
    """Start the reporters that `config` names. See `tapes.config.configure`."""
    # Imported here, so that plugins and reporters are loaded only if needed.
    from tapes.config import configure

    return configure(config, registry=registry)


def metered_meta(metrics: Iterable[Definition], base: Type[type] = type) -> Type[type]:
    """Return a metaclass that gives each of its classes its own metrics. See `tapes.meta.metered_meta`."""
    from tapes.meta import metered_meta

    return metered_meta(metrics, base)


__all__ = [
    "Registry",
    "configure",
    "counter",
    "gauge",
    "get_stats",
    "histogram",
    "meter",
    "metered_meta",
    "timer",
]
