"""Names and tags: what they may look like, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Tuple

from tapes.errors import InvalidNameError, InvalidTagsError

Tags = Tuple[Tuple[str, str], ...]
"""Tags in their canonical form: pairs of key and value, sorted by key."""


def check_name(name: object) -> str:
    """Return `name` if it is a metric name: non-empty segments with '.' between them.

    Raises InvalidNameError.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"A metric name is a str, not {name!r} ({type(name).__name__}).")
    if not name:
        raise InvalidNameError("A metric name is not empty: name it after what it measures, like 'shop.orders'.")
    if "" in name.split("."):
        raise InvalidNameError(
            f"The metric name {name!r} has an empty segment: put one '.' between words, and none around."
        )
    return name


def canonical_tags(name: str, tags: object) -> Tags:
    """Return `tags` as sorted pairs. `name` is the metric's, for the error.

    Raises InvalidTagsError for anything but a mapping of non-empty str to str.
    """
    if tags is None:
        return ()
    if not isinstance(tags, Mapping):
        raise InvalidTagsError(f"The tags of {name!r} are a mapping of str to str, not {tags!r}.")
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidTagsError(
                f"The tags of {name!r} are a mapping of str to str, "
                f"but {key!r} ({type(key).__name__}) is mapped to {value!r} ({type(value).__name__}): use str()."
            )
        if not key:
            raise InvalidTagsError(f"The tags of {name!r} have an empty key, with the value {value!r}.")
    return tuple(sorted((str(key), str(value)) for key, value in tags.items()))


def tag_label(tags: Tags) -> str:
    r"""Write canonical tags as `k=v,k2=v2`.

    Different tags have different labels: a backslash stands before each ',' and backslash, and before a '=' in a key.
    """
    return ",".join(f"{_escape(key).replace('=', chr(92) + '=')}={_escape(value)}" for key, value in tags)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,") if "\\" in text or "," in text else text
