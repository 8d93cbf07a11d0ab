"""A collector: the metrics of tapes on a page that prometheus_client makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

from tapes.registry import DEFAULT_REGISTRY
from tapes.reporting import checked
from tapes.reporting.prometheus.families import COUNTER
from tapes.reporting.prometheus.format import named_families

if TYPE_CHECKING:
    from prometheus_client import Metric

    from tapes.registry import Registry
    from tapes.reporting.prometheus.families import Family


class TapesCollector:
    """Gives the metrics of a registry to prometheus_client, for programs that have metrics of both.

        prometheus_client.REGISTRY.register(TapesCollector())

    It shows what `/metrics` shows, and may be used by several threads. Metrics of both libraries with the same name are
    not told apart: give those of tapes other names. prometheus_client must be installed.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        """Show `registry`, by default the process-wide one. Raises ReporterOptionError for what is none."""
        self._registry = DEFAULT_REGISTRY if registry is None else checked.registry("registry", registry)

    def describe(self) -> Iterator[Metric]:
        """Return nothing: which metrics there will be is not known when the collector is registered."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield all families as they are now."""
        for family in named_families(self._registry.snapshot()):
            yield _metric(family)


def _metric(family: Family) -> Metric:
    from prometheus_client import Metric

    metric = Metric(family.name, family.description, family.type.lower(), family.unit)
    for labels, value in zip(family.labels, family.values):
        names = dict(labels)
        if family.bounds is None:
            metric.add_sample(f"{family.name}_total" if family.type == COUNTER else family.name, names, value)
            continue
        for bound, count in zip(family.bounds.texts, family.bounds.counts(value)):
            metric.add_sample(f"{family.name}_bucket", {**names, "le": bound}, count)
        if value.minimum < 0:
            continue  # a sum that may fall is none for OpenMetrics
        metric.add_sample(f"{family.name}_sum", names, value.sum)
        metric.add_sample(f"{family.name}_count", names, value.count)
    return metric
