"""Constructors whose signatures are made of those of others, so that no option is written twice."""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, Callable, Dict, List

if TYPE_CHECKING:
    from collections.abc import Iterable

Construct = Callable[[Any, inspect.BoundArguments], None]
"""Sets up an object with the arguments of its constructor, of which `self` is none."""


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a constructor, with `self`, and with annotations that are types.

    They would mean nothing in another module as strings. Those that cannot be evaluated stay strings.
    """
    signature = inspect.signature(function)
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return signature.replace(
        parameters=[
            parameter.replace(annotation=_evaluated(parameter.annotation, names))
            for parameter in signature.parameters.values()
        ]
    )


def constructor(
    cls: type,
    parameters: Iterable[inspect.Parameter],
    doc: str,
    construct: Construct,
    wrapped: Callable[..., Any],
) -> Callable[..., None]:
    """Return an `__init__` for `cls` that takes `self` and these parameters, and calls `construct(self, arguments)`.

    What it is called with is checked as Python checks it: TypeError for an argument too many, or one that is missing.
    Annotations that are strings are to be evaluated where `wrapped` was written.
    """
    here = inspect.Signature(list(parameters))

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807 -- it is one
        try:
            bound = here.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        construct(self, bound)

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([itself, *here.parameters.values()], return_annotation=None)
    __init__.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks at
    __init__.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in here.parameters.values()
        if parameter.annotation is not parameter.empty
    }
    __init__.__annotations__["return"] = None
    __init__.__doc__ = doc
    __init__.__wrapped__ = wrapped  # type: ignore[attr-defined]  # what inspect.unwrap() looks at
    __init__.__module__ = cls.__module__
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    return __init__


def _evaluated(annotation: Any, names: Dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), names)["it"]
    except Exception:  # noqa: BLE001 -- annotations may be any expression at all
        return annotation


def paragraphs(function: Callable[..., Any]) -> List[str]:
    """Return the paragraphs of the docstring of this very function, of which there is none with `python -OO`."""
    return [each for each in inspect.cleandoc(function.__doc__ or "").split("\n\n") if each]
