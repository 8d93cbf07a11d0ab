"""Metric sets for classes: with one declaration, each class and subclass has its own metrics."""

from __future__ import annotations

import operator
from enum import EnumMeta
from typing import TYPE_CHECKING, Any, Tuple, Type

from tapes.errors import InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Callable

    # The attribute, a template of the metric's name with `{}` for the name of the class, and a factory of the metric.
    Definition = Tuple[str, str, Callable[[str], Any]]


def metered_meta(metrics: Iterable[Definition], base: Type[type] = type) -> Type[type]:
    """Return a metaclass that gives each of its classes its own metrics, as attributes.

    `metrics` are triples: the name of the attribute, a template of the metric's name, and a factory that takes the name
    and returns a metric, such as `registry.timer`. The class and every subclass get their own metric for each
    attribute, named `template.format(name of the class)`. `base` is the metaclass to derive from, for classes that
    already have one, like `abc.ABCMeta`. In an Enum the metrics are attributes, not members.

        class Handler(metaclass=metered_meta([("latency", "http.{}.latency", tapes.timer)])): ...
        class Cart(Handler): ...                # Cart.latency is http.Cart.latency

    The metrics are made before the class, so its decorators and `__init_subclass__` see them. Classes of the same name
    share them. Raises InvalidTypeError for definitions that are not such triples; creating a class raises it if the
    class already has an attribute of that name.

    Type checkers do not accept a call as a metaclass, and do not know the attributes. Declare both for them:

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

    # An ordinary assignment to the namespace of an Enum would make a member.
    put: Callable[[Any, str, Any], None] = dict.__setitem__ if issubclass(base, EnumMeta) else operator.setitem

    class Metered(base):  # type: ignore[misc, valid-type]  # any metaclass may be the base
        # Put into the namespace before the class exists, so that __init_subclass__ and class decorators see them.
        def __new__(mcs, name: str, bases: Tuple[type, ...], namespace: Any, **options: Any) -> Any:
            if type(namespace) is dict:
                namespace = namespace.copy()  # it is the caller's
            for attribute, template, factory in definitions:
                metric = factory(template.format(name))
                # A class made from the namespace of another, as by dataclass(slots=True), has the metric already.
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
