"""The classes for programs with several processes: a registry for each worker, and the aggregator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.distributed.aggregator import RegistryAggregator
from tapes.distributed.published import PublishedRegistry
from tapes.distributed.reporter import ZmqReporter
from tapes.registry import Registry
from tapes.reporting.signatures import constructor, paragraphs, signature_of

if TYPE_CHECKING:
    import inspect


class DistributedRegistry(PublishedRegistry):
    """A registry that publishes its metrics to an aggregator, which merges those of all workers.

    Recording costs the same as in a plain `Registry`. `connect()` starts to publish to the aggregator at
    `socket_addr`, every `interval` seconds (default 1). Metrics may be created and recorded to before that.

    Call `connect()` in each worker, after the fork. If it was called before the fork, each forked process goes on
    publishing as a worker of its own. A process that exits publishes once more without being asked. All methods are
    thread-safe.
    """


_OF_REPORTER = signature_of(ZmqReporter.__init__).parameters
_OF_REGISTRY = signature_of(Registry.__init__).parameters
_PUBLISHING = [_OF_REPORTER[name] for name in ("interval", "keys", "insecure", "trust")]


def _construct(self: PublishedRegistry, bound: inspect.BoundArguments) -> None:
    publishing = dict(bound.arguments)
    own = {name: publishing.pop(name, _OF_REGISTRY[name].default) for name in ("clock", "max_tag_sets")}
    PublishedRegistry.__init__(self, lambda registry: ZmqReporter(registry=registry, **publishing), **own)


# Its options are those of the reporter that publishes it, and those of every registry.
DistributedRegistry.__init__ = constructor(  # type: ignore[method-assign]  # on purpose
    DistributedRegistry,
    [
        _OF_REPORTER["socket_addr"],
        *(each.replace(kind=each.KEYWORD_ONLY) for each in _PUBLISHING),
        *(_OF_REGISTRY[name] for name in ("clock", "max_tag_sets")),
    ],
    "\n\n".join(
        [
            "Publish to an aggregator. `clock` and `max_tag_sets` are those of every `Registry`.",
            *paragraphs(ZmqReporter.__init__)[1:],
        ]
    ),
    _construct,
    ZmqReporter.__init__,
)

__all__ = ["DistributedRegistry", "RegistryAggregator"]
