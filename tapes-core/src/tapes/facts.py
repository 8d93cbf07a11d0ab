"""The facts of a metric's name: its description and its unit."""

from __future__ import annotations

from typing import Optional

from tapes.errors import InvalidTypeError, InvalidValueError, quoted

MAX_DESCRIPTION_BYTES = 4096
"""The most bytes of a description, in UTF-8."""

MAX_UNIT_BYTES = 64
"""The most bytes of a unit, in UTF-8."""


class Facts:
    """The facts of a name, which all of its series share. Immutable."""

    __slots__ = ("description", "unit")  # not a NamedTuple, which would make each import a millisecond slower

    def __init__(self, description: str = "", unit: str = "") -> None:
        self.description = description
        """What it measures, in one line; "" if not given."""
        self.unit = unit
        """The unit of its values, for example `bytes`; "" if not given."""

    def or_else(self, others: Facts) -> Facts:
        """Return these facts, with missing ones taken from `others`."""
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
"""The facts of a name without any."""


def check_facts(name: object, description: Optional[str], unit: Optional[str]) -> Facts:
    """Return the facts for the metric `name`, checked. None and "" mean that a fact is not given.

    An instance of a subclass of `str` becomes a plain `str`. Raises InvalidTypeError unless both are str or None, and
    InvalidValueError for more than one line, or more bytes than the limits above.
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
