"""Rollups: the series of one name, merged into one for each combination of some tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List

from tapes.errors import InvalidTagsError, InvalidTypeError, quoted
from tapes.kinds.kind import Kind, kind_named
from tapes.naming import OVERFLOW
from tapes.snapshot.snapshot import Reading, viewed
from tapes.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Sequence, Tuple

    from tapes.naming import Tags


def rolled_up(readings: Iterable[Reading], by: Tuple[str, ...], now: float) -> List[Reading]:
    """Merge readings of one name, into one for each combination of values of the tags `by`, first seen first.

    A series without a tag of `by` belongs to a combination without that tag. The overflow series, whose values belong
    to unknown combinations, stays separate unless `by` is empty. `now` is the time of their clock for the statistics.
    The results have no `origin`.
    """
    groups: Dict[Tags, List[Reading]] = {}
    turns = Turns()
    for reading in readings:
        groups.setdefault(_combination(reading.tags, by), []).append(reading)
    found = []
    for tags, group in groups.items():
        turns.yield_if_due()
        found.append(_together(tags, group, now))
    return found


def checked_tags(name: str, by: object) -> Tuple[str, ...]:
    """Return `by` as a tuple of tag keys. Raises InvalidTypeError unless it is an iterable of str."""
    keys = None if isinstance(by, (str, bytes)) else _items(by)
    if keys is None or not all(isinstance(key, str) for key in keys):
        raise InvalidTypeError(
            f"The series of {quoted(name)} are rolled up by keys of tags, like ('route', 'method'), not by "
            f"{quoted(by)} ({type(by).__name__}): put them into a tuple, () for one of all series."
        )
    return tuple([str.__str__(key) for key in keys])


def check_present(name: str, by: Tuple[str, ...], tag_sets: Sequence[Tags]) -> None:
    """Raise InvalidTagsError for a tag of `by` that no series of `name` has.

    Without series nothing is known of the tags, nor with the overflow series alone.
    """
    known = [tags for tags in tag_sets if tags != OVERFLOW]
    there = sorted({key for tags in known for key, _ in tags})
    missing = [key for key in by if key not in there]
    if known and missing:
        tags = f"the tags {', '.join(map(quoted, there[:_MOST_NAMED]))}" if there else "no tags"
        raise InvalidTagsError(
            f"{quoted(name)} cannot be rolled up by {', '.join(map(quoted, missing))}: none of its series has it. "
            f"They have {tags}."
        )


_MOST_NAMED = 20  # the most tags that an error lists


def _items(by: object) -> List[object] | None:
    try:
        return list(by)  # type: ignore[call-overload, no-any-return]  # a TypeError shows whether it is iterable
    except TypeError:
        return None


def _combination(tags: Tags, by: Tuple[str, ...]) -> Tags:
    if by and tags == OVERFLOW:
        return tags
    return tuple([tag for tag in tags if tag[0] in by])


def _together(tags: Tags, group: List[Reading], now: float) -> Reading:
    first = group[0]
    kind = first.kind if isinstance(first.kind, Kind) else kind_named(first.kind)
    if kind is None:
        raise InvalidTypeError(
            f"{quoted(first.name)} is a {first.kind}, an unknown kind: import the module that defines it."
        )
    state = kind.merge([reading.state for reading in group])
    merge = "sum" if first.origin is None else first.origin.merge
    of = f"the rollup of the {kind} {first.name!r}"
    return Reading(first.name, tags, kind, viewed(of, kind, lambda: state, now, merge), state, facts=first.facts)
