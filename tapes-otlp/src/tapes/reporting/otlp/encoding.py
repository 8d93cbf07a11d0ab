"""Snapshots as requests of OTLP. Pure functions.

Specification: OpenTelemetry, Metrics Data Model and OTLP (opentelemetry.proto.collector.metrics.v1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as proto
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tapes.foreign import has_to_pass
from tapes.kinds.kind import TOTAL, VALUE, kind_named
from tapes.state.exponential import SMALLEST, exponential
from tapes.version import VERSION

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind
    from tapes.naming import Tags
    from tapes.snapshot import Reading, Snapshot
    from tapes.state.distribution import Distribution

Started = Callable[["Reading"], int]
"""Returns when a series started, in nanoseconds since the epoch."""

_CUMULATIVE = proto.AGGREGATION_TEMPORALITY_CUMULATIVE
_LARGEST_INTEGER = 2**63 - 1


class Problem(NamedTuple):
    """Why a metric is left out."""

    metric: str
    """The dotted name of the metric."""
    text: str


def request(snapshot: Snapshot, resource: Mapping[str, str], started: Started) -> Tuple[bytes, List[Problem]]:
    """Return a request with all series of a snapshot, and which metrics are left out because their kinds fail."""
    problems: List[Problem] = []
    at = round(snapshot.taken_at * 1e9)
    metrics = list(_metrics(snapshot, at, started, problems))
    scope = InstrumentationScope(name="tapes", version=VERSION)
    of_process = proto.ResourceMetrics(
        resource=Resource(attributes=_attributes(resource.items())),
        scope_metrics=[proto.ScopeMetrics(scope=scope, metrics=metrics)],
    )
    return ExportMetricsServiceRequest(resource_metrics=[of_process]).SerializeToString(), problems


def _metrics(snapshot: Snapshot, at: int, started: Started, problems: List[Problem]) -> Iterator[proto.Metric]:
    groups: Dict[Tuple[str, Kind], List[Reading]] = {}
    for reading in snapshot.readings:
        kind = kind_named(reading.kind)
        if kind is not None:  # of others nobody here knows what they mean
            groups.setdefault((reading.name, kind), []).append(reading)
    for (name, kind), readings in groups.items():
        try:
            yield from list(_of_kind(name, kind, readings, at, started))
        except BaseException as error:  # noqa: PERF203 -- a kind may be that of others
            if has_to_pass(error):
                raise
            problems.append(Problem(name, f"cannot be sent by its kind, {kind}: {error!r}. It is left out."))


def _of_kind(name: str, kind: Kind, readings: Sequence[Reading], at: int, started: Started) -> Iterator[proto.Metric]:
    """Yield what the readings of one kind become."""
    facts = readings[0].facts
    about: Dict[str, Any] = {
        "name": _text(name),
        "description": _text(facts.description),
        "unit": _text(facts.unit or kind.unit),
    }
    times = [{"start_time_unix_nano": started(reading), "time_unix_nano": at} for reading in readings]
    tags = [_attributes(reading.tags) for reading in readings]
    if kind.is_distribution:
        points = [
            _exponential_point(kind.distribution(reading.state), attributes=each, **time)
            for reading, each, time in zip(readings, tags, times)
        ]
        histogram = proto.ExponentialHistogram(data_points=points, aggregation_temporality=_CUMULATIVE)
        yield proto.Metric(**about, exponential_histogram=histogram)
        return
    for suffix, is_monotonic, values in _numbers(kind, readings):
        about["name"] = _text(f"{name}{suffix}")
        points = [
            _point(value, attributes=each, **(time if is_monotonic is not None else {"time_unix_nano": at}))
            for value, each, time in zip(values, tags, times)
            if value is not None
        ]
        if is_monotonic is None:
            yield proto.Metric(**about, gauge=proto.Gauge(data_points=points))
        else:
            total = proto.Sum(data_points=points, aggregation_temporality=_CUMULATIVE, is_monotonic=is_monotonic)
            yield proto.Metric(**about, sum=total)


def _numbers(kind: Kind, readings: Sequence[Reading]) -> Iterator[Tuple[str, bool | None, List[Any]]]:
    """Yield suffixes of the name, with whether it is a sum that only grows (None for no sum), and all values."""
    if kind.adds_up:
        counts = [kind.counts(reading.state) for reading in readings]
        yield "", True, [added for added, _ in counts]
        if any(taken for _, taken in counts):
            yield ".value", False, [reading.statistics["value"] for reading in readings]
        return
    for key, role in kind.statistics:
        if role == TOTAL:
            yield "", True, [reading.statistics[key] for reading in readings]
        elif role == VALUE:
            yield "" if key == "value" else f".{key}", None, [reading.statistics[key] for reading in readings]


def _point(value: Any, **about: Any) -> proto.NumberDataPoint:
    if isinstance(value, int) and abs(value) <= _LARGEST_INTEGER:
        return proto.NumberDataPoint(as_int=value, **about)
    return proto.NumberDataPoint(as_double=value, **about)


def _exponential_point(distribution: Distribution, **about: Any) -> proto.ExponentialHistogramDataPoint:
    found = exponential(distribution)
    if distribution.count:
        about.update(min=distribution.minimum, max=distribution.maximum)
    if distribution.minimum >= 0:
        about["sum"] = distribution.sum  # one that may fall is none for a cumulative histogram
    return proto.ExponentialHistogramDataPoint(
        count=distribution.count,
        scale=found.scale,
        zero_count=found.zero,
        zero_threshold=SMALLEST,
        positive=_buckets(found.positive),
        negative=_buckets(found.negative),
        **about,
    )


def _buckets(counts: Mapping[int, int]) -> proto.ExponentialHistogramDataPoint.Buckets:
    if not counts:
        return proto.ExponentialHistogramDataPoint.Buckets()
    first = min(counts)
    return proto.ExponentialHistogramDataPoint.Buckets(
        offset=first, bucket_counts=[counts.get(index, 0) for index in range(first, max(counts) + 1)]
    )


def _attributes(pairs: Iterable[Tuple[str, str]] | Tags) -> List[KeyValue]:
    return [KeyValue(key=_text(key), value=AnyValue(string_value=_text(value))) for key, value in pairs]


def _text(text: str) -> str:
    """Return a text as UTF-8 can hold it: lone surrogates, as in file names, become their codes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
