"""Checks for options of reporters. Each error names the option, its value and the valid values."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Sequence, TypeVar

from tapes.clock import Clock, is_clock
from tapes.errors import ReporterOptionError, quoted
from tapes.registry import Registry
from tapes.state.numbers import LARGEST

if TYPE_CHECKING:
    Choice = TypeVar("Choice", bound=str)

_SHORTEST = 1e-6  # seconds, the resolution of a timedelta
_LONGEST_PATH = 4096  # bytes
_LONGEST_HOST = 255  # characters


def refusal(option: str, meaning: str, value: object) -> ReporterOptionError:
    """Return the error for an invalid option: `meaning` says what the option is, after its name and "is"."""
    return ReporterOptionError(f"{option} is {meaning}, not {quoted(value)} ({type(value).__name__}).")


def seconds(option: str, value: object) -> float:
    """Return a duration in seconds: `value` is a timedelta or a finite number of seconds, at least a microsecond."""
    number: Any = value
    if isinstance(value, timedelta):
        number = value.total_seconds()
    elif not isinstance(value, (int, float)) or isinstance(value, bool):
        raise refusal(option, "a timedelta or a number of seconds", value)
    if not _SHORTEST <= number <= LARGEST:
        raise refusal(option, "a microsecond or more, and finite", value)
    return float(number)


def integer(option: str, value: object, least: int, most: int, meaning: str) -> int:
    """Return an int from `least` to `most`. `meaning` describes the option for the error, limits included."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise refusal(option, meaning, value)


def flag(option: str, value: object) -> bool:
    """Return a bool. Other types are refused, because the text `false` would count as true."""
    if isinstance(value, bool):
        return value
    raise refusal(option, "True or False", value)


def choice(option: str, value: object, choices: Sequence[Choice]) -> Choice:
    """Return the one of `choices` that equals `value`."""
    for each in choices:
        if isinstance(value, str) and value == each:
            return each
    said = " or ".join([", ".join(map(repr, choices[:-1])), repr(choices[-1])])
    raise refusal(option, said, value)


def path(option: str, value: object) -> str:
    """Return the path of a file or folder as a str, otherwise unchanged."""
    name = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise refusal(option, "a str or a path object", value)
    if not name or "\0" in name or len(os.fsencode(name)) > _LONGEST_PATH:
        raise refusal(option, f"a path that is not empty, of at most {_LONGEST_PATH:,} bytes and without NUL", value)
    return name


def host(option: str, value: object, meaning: str, *, least: int = 1) -> str:
    """Return a possible host name or address of at least `least` characters. It is not looked up."""
    if isinstance(value, str) and least <= len(value) <= _LONGEST_HOST and value.isprintable() and " " not in value:
        return value
    raise refusal(option, meaning, value)


def registry(option: str, value: object) -> Registry:
    """Return a registry."""
    if isinstance(value, Registry):
        return value
    raise refusal(option, "a tapes.Registry", value)


def clock(option: str, value: Clock) -> Clock:
    """Return a clock."""
    if is_clock(value):
        return value
    raise refusal(option, "an object with monotonic(), time() and wait(), like tapes.clock.SYSTEM_CLOCK", value)
