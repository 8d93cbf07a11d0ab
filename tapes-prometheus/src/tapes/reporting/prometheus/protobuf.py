"""Families as messages of Protocol Buffers, with native histograms. Pure functions.

Specifications: Prometheus, client_model, io.prometheus.client (metrics.proto); Protocol Buffers, Encoding. Messages are
length-delimited, one a family. Histograms have both classic and native buckets: a server that wants no native ones
takes the others.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Tuple

from tapes.reporting.prometheus.families import COUNTER, GAUGE, HISTOGRAM
from tapes.state.exponential import SMALLEST, exponential

if TYPE_CHECKING:
    from tapes.reporting.prometheus.families import Family, Labels

_TYPES = {COUNTER: 0, GAUGE: 1, HISTOGRAM: 4}  # of the enumeration MetricType
_FIELDS = {COUNTER: 3, GAUGE: 2, HISTOGRAM: 7}  # of the message Metric

_VARINT, _DOUBLE, _BYTES = 0, 1, 2  # wire types
_double = struct.Struct("<d")

_GAP = 2  # empty buckets between two that are written rather than begin a new span


def protobuf(families: Iterable[Family]) -> bytes:
    """Return families as length-delimited messages."""
    return b"".join([_delimited(_family(family)) for family in families])


def _family(family: Family) -> bytes:
    name = f"{family.name}_total" if family.type == COUNTER else family.name
    parts = [_text(1, name), _text(2, family.description), _number(3, _TYPES[family.type])]
    for labels, value in zip(family.labels, family.values):
        content = _double_field(1, value) if family.bounds is None else _histogram(family, value)
        parts.append(_message(4, _labels(labels) + _message(_FIELDS[family.type], content)))
    return b"".join(parts)


def _labels(labels: Labels) -> bytes:
    return b"".join([_message(1, _text(1, name) + _text(2, value)) for name, value in labels])


def _histogram(family: Family, distribution: Any) -> bytes:
    parts = [_number(1, distribution.count), _double_field(2, distribution.sum)]
    assert family.bounds is not None
    for bound, count in zip(family.bounds.texts, family.bounds.counts(distribution)):
        parts.append(_message(3, _number(1, count) + _double_field(2, float(bound))))
    native = exponential(distribution)
    parts += [_number(5, _zigzag(native.scale)), _double_field(6, SMALLEST), _number(7, native.zero)]
    for counts, spans_field, deltas_field in ((native.negative, 9, 10), (native.positive, 12, 13)):
        spans, deltas = _spans(counts)
        for offset, length in spans:
            parts.append(_message(spans_field, _number(1, _zigzag(offset)) + _number(2, length)))
        parts += [_number(deltas_field, _zigzag(delta)) for delta in deltas]
    return b"".join(parts)


def _spans(counts: Dict[int, int]) -> Tuple[List[Tuple[int, int]], List[int]]:
    """Return runs of buckets, each with the number of buckets before it, and the counts as differences.

    The first run begins at an index, as Prometheus counts them.
    """
    spans: List[Tuple[int, int]] = []
    deltas: List[int] = []
    end = last = 0
    for index in sorted(counts):
        begin = index + 1
        gap = begin - end
        if spans and gap <= _GAP:
            for _ in range(gap):
                deltas.append(-last)
                last = 0
            spans[-1] = spans[-1][0], spans[-1][1] + gap + 1
        else:
            spans.append((gap, 1))
        deltas.append(counts[index] - last)
        last, end = counts[index], begin + 1
    return spans, deltas


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8", "backslashreplace"))


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _delimited(content)


def _delimited(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(number)


def _double_field(field: int, number: float) -> bytes:
    return _varint(field << 3 | _DOUBLE) + _double.pack(number)


def _zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
