"""What a program says of its metrics besides what it records: a description and a unit for each name."""

from __future__ import annotations

from typing import Optional

from tapes.errors import InvalidTypeError, InvalidValueError, quoted

MAX_DESCRIPTION_BYTES = 4096
"""How many bytes of UTF-8 a description may have."""

MAX_UNIT_BYTES = 64
"""How many bytes of UTF-8 a unit may have."""


class Facts:
    """The facts of a name, which all of its series share. Immutable."""

    __slots__ = ("description", "unit")  # a class of its own, since a NamedTuple costs each import a millisecond

    def __init__(self, description: str = "", unit: str = "") -> None:
        self.description = description
        """What it measures, in one line; empty if nobody has said."""
        self.unit = unit
        """What its values are measured in, as in `bytes`; empty if nobody has said."""

    def or_else(self, others: Facts) -> Facts:
        """Return these facts, with those of `others` where nothing has been said."""
        return Facts(self.description or others.description, self.unit or others.unit)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Facts):
            return NotImplemented
        return (self.description, self.unit) == (other.description, other.unit)

    def __hash__(self) -> int:
        return hash((self.description, self.unit))

    def __repr__(self) -> str:
        return f"Facts(description={self.description!r}, unit={self.unit!r})"


NO_FACTS = Facts()
"""Those of a name of which nothing has been said."""


def check_facts(name: object, description: Optional[str], unit: Optional[str]) -> Facts:
    """Return the facts that a program gives of the metric `name`. None and an empty text say nothing.

    A `str` of a subclass becomes the plain `str` of the same characters. Raises InvalidTypeError for what is no str,
    and InvalidValueError for more than one line, or for what is longer than the limits above.
    """
    if description is None and unit is None:
        return NO_FACTS
    return Facts(
        _checked(name, "description", description, MAX_DESCRIPTION_BYTES, "Orders that were placed."),
        _checked(name, "unit", unit, MAX_UNIT_BYTES, "bytes"),
    )


def _checked(name: object, what: str, text: object, most: int, example: str) -> str:
    if text is None:
        return ""
    if not isinstance(text, str):
        raise InvalidTypeError(
            f"The {what} of {quoted(name)} is a str, like {example!r}, not {quoted(text)} ({type(text).__name__}): "
            "use str(), or leave it out."
        )
    text = str.__str__(text)
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > most:
        raise InvalidValueError(
            f"The {what} of {quoted(name)}, {quoted(text)}, has {size:,} bytes, more than {most:,}: shorten it."
        )
    if text and text.splitlines() != [text]:
        raise InvalidValueError(
            f"The {what} of {quoted(name)} is one line, not {quoted(text)}: put spaces in place of the line breaks."
        )
    return text
