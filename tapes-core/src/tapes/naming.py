"""Names and tags: which are valid, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Dict

from tapes.errors import InvalidNameError, InvalidTagsError, quoted

Tags = tuple[tuple[str, str], ...]
"""Tags in their canonical form: pairs of key and value, sorted by key."""

OVERFLOW: Tags = (("overflow", "true"),)
"""The tags of the overflow series, which takes the records of a name's tag sets beyond the limit."""

MAX_SEGMENTS = 64
"""The most segments of a name."""

MAX_NAME_BYTES = 1024
"""The most bytes of a name, in UTF-8."""

MAX_TAGS = 64
"""The most tags of a series."""

MAX_KEY_BYTES = 256
"""The most bytes of a tag's key, in UTF-8."""

MAX_VALUE_BYTES = 4096
"""The most bytes of a tag's value, in UTF-8."""


def check_name(name: object) -> str:
    """Return `name` if it is a valid metric name: non-empty segments with '.' between them, within the limits above.

    An instance of a subclass of `str` becomes a plain `str`. Raises InvalidNameError.
    """
    if not isinstance(name, str):
        raise InvalidNameError(
            f"A metric name is a str, like 'shop.orders', not {quoted(name)} ({type(name).__name__})."
        )
    name = str.__str__(name)
    if not name:
        raise InvalidNameError("The metric name is empty: name the metric after what it measures, like 'shop.orders'.")
    if name[0] == "." or name[-1] == "." or ".." in name:
        raise InvalidNameError(
            f"The metric name {quoted(name)} has an empty segment: put one '.' between words, and none at the ends."
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
    """Return `tags`, in their order, as a dict of plain `str`; an empty one for None. `name` is for errors.

    Raises InvalidTagsError unless they are a mapping of str to str with non-empty keys, within the limits above.
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
        # Not str(): for an Enum that is a str, for example, it differs from the characters that it equals.
        _check_tag(name, str.__str__(key), str.__str__(value), checked)
    _check_number(name, checked)
    return checked


def canonical_tags(checked: Dict[str, str]) -> Tags:
    """Return checked tags in their canonical form."""
    return tuple(sorted(checked.items()))


def check_series(name: str, tags: Tags) -> None:
    """Check a name and canonical tags from elsewhere, for example from another process.

    Raises InvalidNameError or InvalidTagsError if no registry can have made them.
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
    """Check a tag, and add it to `others`. Raises InvalidTagsError."""
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
    """Return the number of bytes of `text` in UTF-8. A lone surrogate, as in file names, counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def tag_label(tags: Tags) -> str:
    r"""Return canonical tags as `k=v,k2=v2`.

    Different tags have different labels: a backslash precedes each ',' and backslash, and each '=' in a key.
    """
    return ",".join(f"{_escape(key).replace('=', chr(92) + '=')}={_escape(value)}" for key, value in tags)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,") if "\\" in text or "," in text else text
