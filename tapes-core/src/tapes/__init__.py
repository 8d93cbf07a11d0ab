"""Metrics for Python applications.

    latency = tapes.timer("shop.checkout.latency")

    def checkout():
        with latency.time():
            ...

The functions of this module work on the registry of the process; `tapes.Registry` makes further ones.
"""

from __future__ import annotations

import pkgutil

__path__ = __import__("pkgutil").extend_path(__path__, __name__)

from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

from tapes.archives import add_archives
from tapes.meta import metered_meta
from tapes.registry import DEFAULT_REGISTRY, Registry

if TYPE_CHECKING:
    from os import PathLike

    from tapes.config import Configuration

add_archives(__path__, __name__)

__version__ = "1.0.0"

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
    # Plugins and reporters are not loaded before they are asked for.
    from tapes.config import configure

    return configure(config, registry=registry)


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
