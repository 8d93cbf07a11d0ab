"""Names and tags: what they may look like, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Dict

from tapes.errors import InvalidNameError, InvalidTagsError, quoted

Tags = tuple[tuple[str, str], ...]
"""Tags in their canonical form: pairs of key and value, sorted by key."""

OVERFLOW: Tags = (("overflow", "true"),)
"""The tags of the series that takes what is recorded under too many different tags."""

MAX_SEGMENTS = 64
"""How many segments a name may have."""

MAX_NAME_BYTES = 1024
"""How many bytes of UTF-8 a name may have."""

MAX_TAGS = 64
"""How many tags a series may have."""

MAX_KEY_BYTES = 256
"""How many bytes of UTF-8 the key of a tag may have."""

MAX_VALUE_BYTES = 4096
"""How many bytes of UTF-8 the value of a tag may have."""


def check_name(name: object) -> str:
    """Return `name` if it is a metric name: non-empty segments with '.' between them, within the limits above.

    A `str` of a subclass is returned as the plain `str` of the same characters. Raises InvalidNameError.
    """
    if not isinstance(name, str):
        raise InvalidNameError(
            f"A metric name is a str, like 'shop.orders', not {quoted(name)} ({type(name).__name__})."
        )
    name = str.__str__(name)
    if not name:
        raise InvalidNameError("A metric name is not empty: name it after what it measures, like 'shop.orders'.")
    if name[0] == "." or name[-1] == "." or ".." in name:
        raise InvalidNameError(
            f"The metric name {quoted(name)} has an empty segment: put one '.' between words, and none around."
        )
    segments = name.count(".") + 1
    if segments > MAX_SEGMENTS:
        raise InvalidNameError(
            f"The metric name {quoted(name)} has {segments:,} segments, more than {MAX_SEGMENTS}: "
            "use fewer, or put what varies into tags."
        )
    size = _size(name)
    if size > MAX_NAME_BYTES:
        raise InvalidNameError(
            f"The metric name {quoted(name)} has {size:,} bytes, more than {MAX_NAME_BYTES:,}: "
            "shorten it, or put what varies into tags."
        )
    return name


def check_tags(name: str, tags: object) -> Dict[str, str]:
    """Return `tags`, in their order, as a dict of plain `str`; an empty one for None. `name` is the metric's.

    Raises InvalidTagsError for anything but a mapping of non-empty str to str, and for tags beyond the limits above.
    """
    checked: Dict[str, str] = {}
    if tags is None:
        return checked
    if not isinstance(tags, Mapping):
        raise InvalidTagsError(
            f"The tags of {quoted(name)} are a mapping of str to str, like {{'queue': 'mail'}}, not {quoted(tags)} "
            f"({type(tags).__name__})."
        )
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidTagsError(
                f"The tags of {quoted(name)} are a mapping of str to str, but {quoted(key)} ({type(key).__name__}) "
                f"is mapped to {quoted(value)} ({type(value).__name__}): use str()."
            )
        # An Enum that is a str, for one, has another str() than the characters that it is equal to.
        _check_tag(name, str.__str__(key), str.__str__(value), checked)
    _check_number(name, checked)
    return checked


def canonical_tags(checked: Dict[str, str]) -> Tags:
    """Return tags that have been checked in their canonical form."""
    return tuple(sorted(checked.items()))


def check_series(name: str, tags: Tags) -> None:
    """Check a name and canonical tags that come from elsewhere, from another process for instance.

    Raises InvalidNameError or InvalidTagsError for what no registry can have made.
    """
    check_name(name)
    checked: Dict[str, str] = {}
    for key, value in tags:
        _check_tag(name, key, value, checked)
    _check_number(name, checked)
    if canonical_tags(checked) != tags:
        raise InvalidTagsError(
            f"The tags of {quoted(name)} are not sorted: sort them by their keys, not {quoted(tags)}."
        )


def _check_tag(name: str, key: str, value: str, others: Dict[str, str]) -> None:
    """Put a tag into `others` if it is within the limits."""
    if not key:
        raise InvalidTagsError(
            f"The tags of {quoted(name)} have an empty key, with the value {quoted(value)}: "
            "name the key, or leave it out."
        )
    if key in others:
        raise InvalidTagsError(f"The tags of {quoted(name)} have the key {quoted(key)} twice: leave one out.")
    if _size(key) > MAX_KEY_BYTES:
        raise _too_long(name, "key", key, MAX_KEY_BYTES)
    if _size(value) > MAX_VALUE_BYTES:
        raise _too_long(name, "value", value, MAX_VALUE_BYTES)
    others[key] = value


def _check_number(name: str, tags: Dict[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidTagsError(f"{quoted(name)} has {len(tags):,} tags, more than {MAX_TAGS}: leave some out.")


def _too_long(name: str, what: str, text: str, most: int) -> InvalidTagsError:
    return InvalidTagsError(
        f"The tags of {quoted(name)} have the {what} {quoted(text)} of {_size(text):,} bytes, more than {most:,}: "
        "shorten it. Tags are for few short values each."
    )


def _size(text: str) -> int:
    """Return how many bytes `text` has in UTF-8. A lone surrogate, as in the name of a file, has three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def tag_label(tags: Tags) -> str:
    r"""Write canonical tags as `k=v,k2=v2`.

    Different tags have different labels: a backslash stands before each ',' and backslash, and before a '=' in a key.
    """
    return ",".join(f"{_escape(key).replace('=', chr(92) + '=')}={_escape(value)}" for key, value in tags)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,") if "\\" in text or "," in text else text
