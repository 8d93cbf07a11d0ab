"""Metric sets for classes: one declaration, and each class and subclass has metrics of its own."""

from __future__ import annotations

import operator
from enum import EnumMeta
from typing import TYPE_CHECKING, Any, Tuple, Type

from tapes.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable

    # The attribute, a template of the metric's name with `{}` for the name of the class, and what makes the metric.
    Definition = Tuple[str, str, Callable[[str], Any]]


def metered_meta(metrics: Iterable[Definition], base: Type[type] = type) -> Type[type]:
    """Return a metaclass that gives each of its classes a set of metrics as attributes.

    `metrics` are triples: the name of the attribute, a template of the metric's name, and a factory that takes the name
    and returns a metric, such as `registry.timer`. The class and every subclass get each attribute anew, named
    `template.format(name of the class)`. `base` is the metaclass to derive from, for classes that have one already,
    like `abc.ABCMeta`. The metrics of an Enum are attributes of it, and no members.

        class Handler(metaclass=metered_meta([("latency", "http.{}.latency", tapes.timer)])): ...
        class Cart(Handler): ...                # Cart.latency is http.Cart.latency

    The metrics are made before the class is, so its decorators and `__init_subclass__` see them. Classes of the same
    name share them. Raises InvalidTypeError for definitions that are not such triples, and where a class has an
    attribute of its own of that name.

    Type checkers take no call for a metaclass, and do not know the attributes. Tell them what they need:

        if TYPE_CHECKING:
            Metered = type
        else:
            Metered = metered_meta([("latency", "http.{}.latency", tapes.timer)])

        class Handler(metaclass=Metered):
            latency: ClassVar[Timer]
    """
    definitions = [_checked(definition) for definition in metrics]
    candidate: Any = base
    if not (isinstance(candidate, type) and issubclass(candidate, type)):
        raise InvalidTypeError(f"The base of metered_meta is a metaclass like abc.ABCMeta, not {base!r}.")

    # What is assigned to the namespace of an Enum becomes a member of it.
    put: Callable[[Any, str, Any], None] = dict.__setitem__ if issubclass(base, EnumMeta) else operator.setitem

    class Metered(base):  # type: ignore[misc, valid-type]  # any metaclass may be the base
        # In the namespace before there is a class: __init_subclass__ is to see them, as do the decorators of the class.
        def __new__(mcs, name: str, bases: Tuple[type, ...], namespace: Any, **options: Any) -> Any:
            if type(namespace) is dict:
                namespace = namespace.copy()  # it is the caller's
            for attribute, template, factory in definitions:
                metric = factory(template.format(name))
                # Who makes a class anew from the content of another, as dataclass(slots=True) does, has it already.
                if namespace.get(attribute, metric) is not metric:
                    raise InvalidTypeError(
                        f"The class {name!r} has an attribute {attribute!r} of its own, which its metaclass would "
                        f"replace by {metric!r}: rename one of the two."
                    )
                put(namespace, attribute, metric)
            return super().__new__(mcs, name, bases, namespace, **options)

    Metered.__name__ = Metered.__qualname__ = f"Metered{base.__name__.capitalize()}"
    return Metered


def _checked(definition: Any) -> Definition:
    try:
        attribute, template, factory = definition
        template.format("Name")
    except (TypeError, ValueError, AttributeError, LookupError):
        attribute = template = factory = None
    if not (
        isinstance(attribute, str) and attribute.isidentifier() and isinstance(template, str) and callable(factory)
    ):
        raise InvalidTypeError(
            "metered_meta takes triples of an attribute name, a template for the metric's name and a factory, "
            f"like ('latency', 'http.{{}}.latency', registry.timer), not {definition!r}."
        )
    return attribute, template, factory
