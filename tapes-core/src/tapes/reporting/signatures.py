"""Constructors with signatures composed from others, so that no option is written twice."""

from __future__ import annotations

import inspect
import types
import typing
from typing import TYPE_CHECKING, Any, Callable, Dict, List

if TYPE_CHECKING:
    from collections.abc import Iterable

Construct = Callable[[Any, inspect.BoundArguments], None]
"""Sets up an object with the arguments of its constructor, without `self`."""


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a constructor, `self` included, with its annotations evaluated.

    As strings they would mean nothing in another module. Those that cannot be evaluated stay strings.
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

    Like any Python function it raises TypeError for extra or missing arguments. Annotations that are strings refer to
    names in the module of `wrapped`.
    """
    here = inspect.Signature(list(parameters))

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807 -- it becomes a class's __init__
        try:
            bound = here.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        construct(self, bound)

    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([itself, *here.parameters.values()], return_annotation=None)
    __init__.__signature__ = signature  # type: ignore[attr-defined]  # for inspect.signature()
    __init__.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in here.parameters.values()
        if parameter.annotation is not parameter.empty
    }
    __init__.__annotations__["return"] = None
    __init__.__doc__ = doc
    __init__.__wrapped__ = wrapped  # type: ignore[attr-defined]  # for inspect.unwrap()
    __init__.__module__ = cls.__module__
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    return __init__


def _evaluated(annotation: Any, names: Dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__={"it": annotation}), names)["it"]
    except Exception:  # noqa: BLE001 -- an annotation may be any expression
        return annotation


def paragraphs(function: Callable[..., Any]) -> List[str]:
    """Return the paragraphs of the function's own docstring; none with `python -OO`."""
    return [each for each in inspect.cleandoc(function.__doc__ or "").split("\n\n") if each]
