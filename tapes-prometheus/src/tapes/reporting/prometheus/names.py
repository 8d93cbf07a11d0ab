"""The names of families and labels, as Prometheus allows them. Pure functions."""

from __future__ import annotations

import re
import zlib
from itertools import chain, count
from typing import Dict, Iterable

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_:]")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")

DISTINCT = "tapes_tags"
"""The label that tells apart series whose labels would be the same. Its value is the tags as `get_stats()` has them."""

_RESERVED = ("le", "quantile", DISTINCT)
"""The labels that have a meaning: for Prometheus one tag `le` would make it refuse the whole page."""

_UNITS = {"s": "seconds"}


def family_name(dotted: str) -> str:
    """Return a dotted name with `_` for each character that is not allowed, and before a leading digit."""
    name = _NOT_IN_NAMES.sub("_", dotted)
    return f"_{name}" if name[0].isdigit() else name


def with_suffix(name: str, suffix: str) -> str:
    """Return `name` with a suffix, once."""
    return f"{without_suffix(name, suffix)}{suffix}"


def without_suffix(name: str, suffix: str) -> str:
    """Return `name` without a suffix, unless it is nothing else."""
    return name[: -len(suffix)] if name.endswith(suffix) and len(name) > len(suffix) else name


def distinguished(name: str, dotted: str, kind: str) -> str:
    """Return another name for a family whose name is taken. It depends on no other family, so it stays the same."""
    return f"{name}_{zlib.crc32(f'{kind} {dotted}'.encode('utf-8', 'surrogatepass')):08x}"


def unit_name(unit: str, name: str) -> str:
    """Return a unit as it is declared for a family; "" unless the family's name ends in it, as OpenMetrics demands."""
    unit = _UNITS.get(unit, unit)
    return unit if unit and name.endswith(f"_{unit}") else ""


def label_names(keys: Iterable[str]) -> Dict[str, str]:
    """Return the label of each key of tags, different ones for different keys."""
    wanted = {key: _label_name(key) for key in keys}
    names = {key: key for key, name in wanted.items() if key == name}
    taken = set(names)
    for key in sorted(wanted.keys() - names.keys()):
        numbered = (_allowed(f"{wanted[key]}_{number}") for number in count(2))
        names[key] = next(name for name in chain([wanted[key]], numbered) if name not in taken)
        taken.add(names[key])
    return names


def _label_name(key: str) -> str:
    name = _NOT_IN_LABELS.sub("_", key)
    return f"_{name}" if name[0].isdigit() else _allowed(name)


def _allowed(name: str) -> str:
    """Return a label with another name if Prometheus has its own use for it."""
    if name in _RESERVED:
        return f"tag_{name}"
    return f"tag{name}" if name.startswith("__") else name
