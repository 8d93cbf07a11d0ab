"""Checks of values against annotations, and descriptions of annotations in words."""

from __future__ import annotations

import collections.abc
import io
import os
import pathlib
import types
import typing
from datetime import date, datetime, time, timedelta
from typing import Any, Tuple, Union

UNCHECKED = Any
"""The annotation of an option that cannot be checked: any value fits."""

_PLAIN = (str, int, float, bool, list, dict, date, datetime, time, type(None))
"""The types of TOML values, and None."""

_UNIONS = (Union, getattr(types, "UnionType", Union))
_STREAMS = (typing.IO, typing.TextIO, typing.BinaryIO, io.IOBase, io.TextIOBase, io.TextIOWrapper)
_SEQUENCES = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    timedelta: "a number of seconds",
    dict: "a table",
    list: "a list",
    tuple: "a list",
    typing.Any: "any value",
    object: "any value",
}


class MismatchError(Exception):
    """Raised for a value that does not fit its annotation."""


def fit(value: object, annotation: object) -> object:
    """Return `value`, converted to fit `annotation`: seconds to a timedelta, a string to a path, a list to a tuple.

    A bool is not a number; an integer is. For an annotation of an unknown form any value fits. Raises MismatchError.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    kind = annotation if origin is None else origin
    if kind in _UNIONS:
        return _fit_one_of(value, arguments)
    if kind is typing.Literal:
        return _require(any(value == choice and type(value) is type(choice) for choice in arguments), value)
    if kind in _STREAMS:
        return _require(callable(getattr(value, "write", None)), value)
    if kind is collections.abc.Callable:
        return _require(callable(value), value)
    if not isinstance(kind, type) or kind in (UNCHECKED, object):
        return value
    if arguments and (kind in _SEQUENCES or kind in _MAPPINGS or kind is tuple):
        return _fit_items(value, kind, arguments)
    return _fit_class(value, kind)


def accepted(annotation: object) -> str:
    """Return a description of `annotation`, like `a string or an integer`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    kind = annotation if origin is None else origin
    if kind in _UNIONS:
        # Leave out None, since TOML has no null; and numbers next to timedelta, which is "a number of seconds".
        said = [
            each
            for each in arguments
            if each is not type(None) and not (each in (int, float) and timedelta in arguments)
        ]
        return " or ".join(dict.fromkeys(accepted(each) for each in said))
    if kind is typing.Literal:
        return f"one of {', '.join(repr(choice) for choice in arguments)}"
    if kind in _STREAMS:
        return "an object with write()"
    if kind is collections.abc.Callable:
        return "a callable"
    if arguments and kind is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} ({', '.join(accepted(each) for each in arguments)})"
    if arguments and (kind in _SEQUENCES or kind is tuple):
        return f"a list, each item {accepted(arguments[0])}"
    if arguments and kind in _MAPPINGS:
        return f"a table, each value {accepted(arguments[1])}"
    if kind in _WORDS:
        return _WORDS[kind]
    if isinstance(kind, type):
        return "a path" if _is_path(kind) else f"an instance of {kind.__name__}"
    return "any value"


def _require(fits: bool, value: object) -> object:
    if not fits:
        raise MismatchError
    return value


def _fit_one_of(value: object, choices: Tuple[object, ...]) -> object:
    # A choice that fits without conversion comes first: 10 stays 10 if both a timedelta and a float are accepted.
    fitting = []
    for choice in choices:
        try:
            fitting.append(fit(value, choice))
        except MismatchError:  # noqa: PERF203 -- a union has few members
            continue
    _require(bool(fitting), value)
    return value if any(each is value for each in fitting) else fitting[0]


def _fit_class(value: object, kind: type) -> object:
    if isinstance(value, bool) and kind is not bool:
        return _require(not issubclass(kind, (int, float, timedelta)) and isinstance(value, kind), value)
    if kind is float:
        return _require(isinstance(value, (int, float)), value)
    if kind is timedelta and isinstance(value, (int, float)):
        try:
            return timedelta(seconds=value)
        except (ValueError, OverflowError):
            raise MismatchError from None
    if _is_path(kind) and isinstance(value, str):
        return value if kind is os.PathLike else pathlib.Path(value)
    if kind is tuple and isinstance(value, list):
        return tuple(value)
    try:
        fits = isinstance(value, kind)
    except TypeError:  # a Protocol without run-time checks: assume that objects fit, but TOML values do not
        fits = not isinstance(value, _PLAIN)
    return _require(fits, value)


def _fit_items(value: object, kind: type, arguments: Tuple[object, ...]) -> object:
    if kind in _MAPPINGS:
        if not isinstance(value, collections.abc.Mapping):
            raise MismatchError
        return {fit(key, arguments[0]): fit(item, arguments[1]) for key, item in value.items()}
    if not isinstance(value, (list, tuple)):
        raise MismatchError
    if kind is not tuple:
        return [fit(item, arguments[0]) for item in value]
    if arguments[-1] is Ellipsis:
        return tuple(fit(item, arguments[0]) for item in value)
    _require(len(value) == len(arguments), value)
    return tuple(fit(item, wanted) for item, wanted in zip(value, arguments))


def _is_path(kind: type) -> bool:
    return kind is os.PathLike or issubclass(kind, pathlib.PurePath)
