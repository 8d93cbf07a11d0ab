"""The series in a tree of statistics, and the tables that show them. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Tuple

from tapes.commands.layout import number, printable, series_table

if TYPE_CHECKING:
    from tapes.kinds.kind import Kind


class Series(NamedTuple):
    """One series of a tree."""

    name: str
    tags: str
    """Its tags as the tree has them, like `k=v,k2=v2`; empty without any."""
    statistics: Mapping[str, object]

    @property
    def label(self) -> str:
        """The name, and the tags in braces."""
        return f"{self.name}{{{self.tags}}}" if self.tags else self.name


def series_in(tree: Mapping[str, Any], pattern: str = "*") -> Iterator[Series]:
    """Yield the series of a tree, sorted, whose name, or name with tags, matches a pattern with `*` and `?`."""
    ahead: List[Tuple[str, Mapping[str, Any]]] = [("", tree)]
    while ahead:
        path, node = ahead.pop()
        below = sorted([(key, child) for key, child in node.items() if isinstance(child, dict)], reverse=True)
        ahead += [(_joined(path, key), child) for key, child in below]
        statistics = {key: value for key, value in node.items() if not isinstance(value, dict)}
        if statistics:
            name, _, tags = path.partition("{")
            series = Series(name, tags[:-1], statistics)
            if fnmatchcase(name, pattern) or fnmatchcase(series.label, pattern):
                yield series


def _joined(path: str, key: str) -> str:
    """Return the path of a child. Its key is a tag set if it has a `=`, which segments of names rarely have."""
    if "=" in key:
        return f"{path}{{{key}}}"
    return f"{path}.{key}" if path else key


def tree_of(found: Iterable[Series]) -> Dict[str, Any]:
    """Return the tree of some series."""
    root: Dict[str, Any] = {}
    for series in found:
        node = root
        for key in (*series.name.split("."), *([series.tags] if series.tags else [])):
            if not isinstance(node.get(key), dict):  # one name may be a statistic, too, in a tree that is not of tapes
                node[key] = {}
            node = node[key]
        node.update(series.statistics)
    return root


def tables(found: Iterable[Series], kinds: Iterable[Kind], width: int) -> List[str]:
    """Return the lines of a table for each kind, at most `width` wide if that is possible."""
    by_keys: Dict[Tuple[str, ...], List[Series]] = {}
    for series in found:
        by_keys.setdefault(tuple(series.statistics), []).append(series)
    known: Dict[Tuple[str, ...], List[Kind]] = {}
    for kind in kinds:
        known.setdefault(kind.keys, []).append(kind)
    ordered = sorted(by_keys, key=lambda keys: list(known).index(keys) if keys in known else len(known))
    lines: List[str] = []
    for keys in ordered:
        of = known.get(keys, [])
        shown = (of[0].brief or keys) if of else keys
        head = [" OR ".join(of).upper() or "SERIES", *(printable(key) for key in shown)]
        rows = [[printable(each.label), *(number(each.statistics[key]) for key in shown)] for each in by_keys[keys]]
        lines += [""] * bool(lines) + series_table(head, rows, width)
    return lines
