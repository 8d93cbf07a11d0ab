"""Text for terminals: aligned columns, numbers and durations. Pure."""

from __future__ import annotations

from typing import List, Sequence, Tuple


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines of aligned columns, the last of which is as wide as it is."""
    widths = [max(map(len, column)) for column in zip(*rows)][:-1]
    return "\n".join("".join(f"{cell:{width}}  " for cell, width in zip(row, widths)) + row[-1] for row in rows)


def series_table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> List[str]:
    """Return lines of at most `width` characters, if that is possible: the first column to the left, numbers right.

    What is too long for the first column gets a line of its own, above its numbers.
    """
    numbers = [max(map(len, column)) for column in zip(*(row[1:] for row in (head, *rows)))]
    room = max(width - sum(numbers) - 2 * len(numbers), len(head[0]))
    first = min(max(len(row[0]) for row in (head, *rows)), room)
    lines = []
    for row in (head, *rows):
        cells = "".join(f"  {cell:>{size}}" for cell, size in zip(row[1:], numbers))
        if len(row[0]) > first:
            lines.append(row[0])
            lines.append(" " * first + cells)
        else:
            lines.append(f"{row[0]:{first}}{cells}")
    return lines


def number(value: object) -> str:
    """Return a statistic in a few characters: four digits of a fraction, and all of an integer."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return printable(str(value))
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.1f}" if 1_000 <= abs(value) < 1e9 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, like `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    left = int(seconds)
    parts: List[Tuple[int, str]] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def printable(text: str) -> str:
    """Return text in which what could steer a terminal is a question mark."""
    return "".join([character if character.isprintable() else "?" for character in text])
