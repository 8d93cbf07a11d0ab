"""Pickled metrics: in another process, each is the metric of the same name and tags in the default registry there.

A copy of a metric's content would record where no reporter looks. So within a process a copy is the same metric, and
only its name and tags are pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Container, Dict, Optional, Tuple

from tapes.errors import NotPortableError

if TYPE_CHECKING:
    from typing import Protocol

    from tapes.naming import Tags

    class Series(Protocol):
        """The part of a metric that is pickled: a `tapes.instruments.Instrument`."""

        name: str
        tags: Tags

        @property
        def kind(self) -> str:
            """Return the name of the registry method that makes such metrics."""


default_registry: Any = None
"""The registry of the process. `tapes.registry` sets it, because modules below may not import that one."""


def reduced(metric: Series) -> Tuple[Callable[..., Any], Tuple[Any, ...]]:
    """Return a metric for `pickle`: a function and the arguments to call it with on loading.

    Raises NotPortableError for a metric that is not in the default registry.
    """
    registry: Container[Any] = default_registry
    if metric not in registry or not hasattr(registry, metric.kind):
        raise NotPortableError(
            f"{metric!r} cannot be pickled: it is not in the default registry, the only one that other processes have "
            "too. Create it with the functions of tapes, or look it up where it is needed."
        )
    return found, (metric.kind, metric.name, dict(metric.tags))


def found(kind: str, name: str, tags: Dict[str, str]) -> Series:
    """Return the metric of the default registry for one that was pickled in this or another process."""
    metric: Series = getattr(default_registry, kind)(name, tags=tags or None)
    return metric


def found_gauge(name: str, tags: Dict[str, str], merge: str, producer: Optional[Callable[[], Any]]) -> Series:
    """Return the gauge of the default registry. One that is set, or has a producer, keeps that."""
    gauge = default_registry.gauge(name, tags=tags or None, merge=merge)
    if gauge.is_at_zero(default_registry.clock.monotonic()):  # new, or not in use yet
        gauge.producer = producer
    made: Series = gauge
    return made


def importable(function: Any) -> bool:
    """Return whether another process can import this function by its module and qualified name."""
    import sys

    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in getattr(function, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found is function
