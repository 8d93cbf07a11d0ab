"""What a metric becomes in another process: the metric of the same name and tags in the default registry there.

A metric is what a registry holds under its name. A copy of its content would count where nobody looks. So within a
process a copy is the very same metric, and what is pickled is its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Container, Dict, Optional, Tuple

from tapes.errors import NotPortableError

if TYPE_CHECKING:
    from typing import Protocol

    from tapes.naming import Tags

    class Series(Protocol):
        """A metric, as far as it is pickled: a `tapes.instruments.Instrument`."""

        name: str
        tags: Tags

        @property
        def kind(self) -> str:
            """Return the method of a registry that makes such metrics."""


default_registry: Any = None
"""The registry of the process. `tapes.registry` puts it here, since nothing below it may import it."""


def reduced(metric: Series) -> Tuple[Callable[..., Any], Tuple[Any, ...]]:
    """Return what `pickle` makes of a metric: a function, and the arguments to call it with where it arrives.

    Raises NotPortableError for a metric that is not in the default registry.
    """
    registry: Container[Any] = default_registry
    if metric not in registry or not hasattr(registry, metric.kind):
        raise NotPortableError(
            f"{metric!r} cannot be pickled, because it is not in the default registry of this process, which is the "
            "only one that other processes have too: make it with the functions of tapes, or ask for it where it is "
            "needed."
        )
    return found, (metric.kind, metric.name, dict(metric.tags))


def found(kind: str, name: str, tags: Dict[str, str]) -> Series:
    """Return the metric of the default registry that was pickled in this or in another process."""
    metric: Series = getattr(default_registry, kind)(name, tags=tags or None)
    return metric


def found_gauge(name: str, tags: Dict[str, str], merge: str, producer: Optional[Callable[[], Any]]) -> Series:
    """Return the gauge of the default registry. If it is there already, it is what this process has made it."""
    gauge = default_registry.gauge(name, tags=tags or None, merge=merge)
    if gauge.is_at_zero(default_registry.clock.monotonic()):  # it has just been made, or does nothing yet
        gauge.producer = producer
    made: Series = gauge
    return made


def importable(function: Any) -> bool:
    """Whether another process can import a function by its name, and has it then as this one does."""
    import sys

    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in getattr(function, "__qualname__", "<none>").split("."):
        found = getattr(found, part, None)
    return found is function
