"""Classes that have metrics, and so has each subclass."""

from __future__ import annotations

import abc
import enum
import types
import typing
from collections import UserDict
from dataclasses import dataclass
from typing import Any, ClassVar, List

import pytest

from tapes.errors import InvalidNameError, InvalidTypeError, KindMismatchError
from tapes.instruments import Timer
from tapes.meta import metered_meta
from tapes.registry import Registry


def definitions(registry: Registry) -> Any:
    """Return two definitions."""
    return [("latency", "http.{}.latency", registry.timer), ("errors", "http.{}.errors", registry.meter)]


@pytest.fixture
def meta(registry: Registry) -> Any:
    """Return a metaclass of these definitions."""
    return metered_meta(definitions(registry))


def names(registry: Registry) -> List[str]:
    """Return the names of all metrics."""
    return [metric.name for metric in registry]


def test_a_class_and_every_subclass_have_metrics(registry: Registry, meta: Any) -> None:
    """Each its own, named after it, however deep, and shared by its instances."""

    class Handler(metaclass=meta):  # type: ignore[metaclass]  # mypy has to see its definition
        pass

    class Cart(Handler):
        pass

    class BigCart(Cart):
        pass

    assert names(registry) == [
        "http.Handler.latency",
        "http.Handler.errors",
        "http.Cart.latency",
        "http.Cart.errors",
        "http.BigCart.latency",
        "http.BigCart.errors",
    ]
    classes: List[Any] = [Handler, Cart, BigCart]
    assert [cls.latency for cls in classes] == [registry.timer(f"http.{cls.__name__}.latency") for cls in classes]
    assert [cls().errors for cls in classes] == [registry.meter(f"http.{cls.__name__}.errors") for cls in classes]
    assert meta("Cart", (), {}).latency is classes[1].latency, "classes of one name share, wherever they are defined"


def test_a_base_that_is_another_metaclass(registry: Registry) -> None:
    """What the base does, the metaclass does too: here, abstract methods."""
    meta: Any = metered_meta(definitions(registry), base=abc.ABCMeta)

    class Handler(metaclass=meta):  # type: ignore[metaclass]  # mypy has to see its definition
        @abc.abstractmethod
        def get(self) -> int: ...

    class Cart(Handler):
        def get(self) -> int:
            return 3

    assert issubclass(meta, abc.ABCMeta)
    with pytest.raises(TypeError, match="abstract"):
        Handler()  # type: ignore[abstract]  # on purpose
    assert Cart().get() == 3
    assert Cart.latency is registry.timer("http.Cart.latency")  # type: ignore[attr-defined]  # made by the metaclass
    assert isinstance(Cart(), Handler)


def test_a_metaclass_that_takes_arguments(registry: Registry) -> None:
    """They reach the base, and `__init_subclass__`, as if there were no metrics."""
    seen: List[Any] = []

    class Base(type):
        def __new__(mcs, name: str, bases: Any, namespace: Any, route: str = "", **options: Any) -> Any:
            seen.append(("new", name, route))
            return super().__new__(mcs, name, bases, namespace, **options)

        def __init__(cls, name: str, bases: Any, namespace: Any, route: str = "", **options: Any) -> None:
            seen.append(("init", name, route))
            super().__init__(name, bases, namespace, **options)

        @classmethod
        def __prepare__(cls, name: str, bases: Any, /, **options: Any) -> Any:
            return {"prepared": True}

    meta: Any = metered_meta(definitions(registry), base=Base)

    class Handler(metaclass=meta, route="/"):  # type: ignore[call-arg, metaclass]  # mypy has to see its definition
        def __init_subclass__(cls, *, secure: bool = False) -> None:
            seen.append(("subclass", cls.__name__, secure))

    class Cart(Handler, route="/cart", secure=True):  # type: ignore[call-arg]  # likewise
        pass

    assert seen == [
        ("new", "Handler", "/"),
        ("init", "Handler", "/"),
        ("new", "Cart", "/cart"),
        ("subclass", "Cart", True),
        ("init", "Cart", "/cart"),
    ]
    assert Cart.prepared is True  # type: ignore[attr-defined]  # made by the metaclass
    assert Cart.errors is registry.meter("http.Cart.errors")  # type: ignore[attr-defined]  # likewise


@pytest.mark.parametrize("kind", [enum.Enum, enum.IntEnum, enum.Flag])
def test_an_enum_has_metrics_that_are_no_members(registry: Registry, kind: Any) -> None:
    """They are attributes of the class and of its members, however the class is made."""
    meta: Any = metered_meta(definitions(registry), base=type(kind))
    base: Any = meta("Base", (kind,), meta.__prepare__("Base", (kind,)))

    class Colour(base):  # type: ignore[misc]  # mypy has to see its definition
        RED = 1
        BLUE = 2

    colour: Any = Colour
    made = base("Shape", "ROUND FLAT")

    assert [(member.name, member.value) for member in colour] == [("RED", 1), ("BLUE", 2)]
    assert list(colour.__members__) == ["RED", "BLUE"]
    assert list(made.__members__) == ["ROUND", "FLAT"]
    assert colour.latency is colour.RED.latency is registry.timer("http.Colour.latency")
    assert made.errors is registry.meter("http.Shape.errors")
    assert colour(2) is colour.BLUE


def test_a_member_of_an_enum_is_not_replaced(registry: Registry) -> None:
    """It is an attribute of the class like any other."""
    meta: Any = metered_meta(definitions(registry), base=type(enum.Enum))

    with pytest.raises(InvalidTypeError, match="'Colour' has an attribute 'latency' of its own"):

        class Colour(enum.Enum, metaclass=meta):  # type: ignore[metaclass]  # mypy has to see its definition
            latency = 1


class Special(dict):  # type: ignore[type-arg]  # of whatever a class has
    """A namespace of a class of its own."""


class Foreign(UserDict):  # type: ignore[type-arg]  # of whatever a class has
    """A namespace that is no dict."""


@pytest.mark.parametrize("kind", [Special, Foreign])
def test_a_metaclass_with_namespaces_of_its_own(registry: Registry, kind: Any) -> None:
    """It finds the metrics in them."""

    class Own(type):
        @classmethod
        def __prepare__(cls, name: str, bases: Any, /, **options: Any) -> Any:
            return kind()

        def __new__(cls, name: str, bases: Any, namespace: Any) -> Any:
            assert isinstance(namespace, kind)
            return super().__new__(cls, name, bases, dict(namespace))

    meta: Any = metered_meta(definitions(registry), base=Own)

    class Handler(metaclass=meta):  # type: ignore[metaclass]  # mypy has to see its definition
        size = 3

    made: Any = Handler
    assert made.latency is registry.timer("http.Handler.latency")
    assert made.size == 3


@pytest.mark.parametrize("base", [typing.Protocol, abc.ABC])
def test_the_metaclasses_of_typing(registry: Registry, base: Any) -> None:
    """Their classes have metrics, too."""
    meta: Any = metered_meta(definitions(registry), base=type(base))
    made: Any = types.new_class("Handler", (base,), {"metaclass": meta})

    assert made.errors is registry.meter("http.Handler.errors")


def test_two_metered_metaclasses(registry: Registry) -> None:
    """Side by side or one of the other, a class has the metrics of both."""
    first: Any = metered_meta([("a", "{}.a", registry.counter)])
    second: Any = metered_meta([("b", "{}.b", registry.counter)])
    beside = type("Both", (first, second), {})
    above: Any = metered_meta([("b", "{}.b", registry.counter)], base=first)

    beside("Beside", (), {})
    above("Above", (), {})

    assert sorted(names(registry)) == ["Above.a", "Above.b", "Beside.a", "Beside.b"]


def test_metrics_are_there_when_the_class_is_made(meta: Any) -> None:
    """`__init_subclass__` and `__set_name__` see those of the class itself, and not its parent's."""
    seen: List[str] = []

    class Named:
        def __set_name__(self, owner: Any, name: str) -> None:
            seen.append(f"{name}: {owner.latency.name}")

    class Handler(metaclass=meta):  # type: ignore[metaclass]  # mypy has to see its definition
        def __init_subclass__(cls) -> None:
            seen.append(cls.latency.name)

    class Cart(Handler):
        named = Named()

    assert seen == ["named: http.Cart.latency", "http.Cart.latency"]


@pytest.mark.parametrize("own", [None, 3, property(lambda self: 3), Registry().timer("http.Cart.latency")])
def test_an_attribute_of_the_class_is_not_replaced(meta: Any, own: Any) -> None:
    """Two things under one name are a mistake, which is said where it is made."""
    with pytest.raises(InvalidTypeError) as caught:
        meta("Cart", (), {"latency": own})

    assert str(caught.value) == (
        "The class 'Cart' has an attribute 'latency' of its own, which its metaclass would replace by "
        "<Timer 'http.Cart.latency'>: rename one of the two."
    )


def test_an_attribute_of_a_parent_is_replaced(registry: Registry, meta: Any) -> None:
    """As the parent's metrics are."""
    parent = type("Parent", (), {"latency": 3})

    assert meta("Cart", (parent,), {}).latency is registry.timer("http.Cart.latency")


def test_a_class_with_slots(meta: Any) -> None:
    """Metrics are attributes of the class; a slot of the same name is refused by Python itself."""
    assert meta("Cart", (), {"__slots__": ("items",)})().latency.name == "http.Cart.latency"
    with pytest.raises(ValueError, match="'latency' in __slots__ conflicts with class variable"):
        meta("Cart", (), {"__slots__": ("latency",)})


def test_a_class_that_is_made_anew_by_its_decorator(meta: Any) -> None:
    """As dataclasses with slots are, from the content of the first."""
    first = meta("Cart", (), {"__annotations__": {"latency": ClassVar[Timer], "size": int}, "size": 3})
    content = {name: value for name, value in vars(first).items() if name not in ("__dict__", "__weakref__")}
    again = type(first)(first.__name__, first.__bases__, content)

    assert again.latency is first.latency
    assert dataclass(first)(5).size == 5


def test_the_namespace_is_the_callers(registry: Registry) -> None:
    """Two classes may be made of one, and definitions may be an iterator, which is read once for all classes."""
    meta: Any = metered_meta(iter(definitions(registry)))
    namespace: Any = {"size": 3}
    made = [meta(name, (), namespace) for name in ("One", "Two")]

    assert [cls.latency.name for cls in made] == ["http.One.latency", "http.Two.latency"]
    assert namespace == {"size": 3}


def test_the_metaclass_has_a_name(registry: Registry) -> None:
    """It says what it is made of."""
    assert metered_meta(definitions(registry)).__name__ == "MeteredType"
    assert issubclass(metered_meta([], base=abc.ABCMeta), abc.ABCMeta)


@pytest.mark.parametrize(
    "definition",
    [
        None,
        "abc",
        ("latency", "http.{}.latency"),
        ("latency", "http.{}.latency", len, 3),
        (3, "http.{}.latency", len),
        ("late ncy", "http.{}.latency", len),
        ("", "http.{}.latency", len),
        ("latency", 3, len),
        ("latency", "http.{}.latency", "timer"),
        ("latency", "http.{}.{}", len),
        ("latency", "http.{name}", len),
        ("latency", "http.{", len),
    ],
)
def test_definitions_that_are_none(definition: Any) -> None:
    """They are refused when the metaclass is made, not when it is first used."""
    with pytest.raises(InvalidTypeError) as caught:
        metered_meta([definition])

    assert str(caught.value) == (
        "metered_meta takes triples of an attribute name, a template for the metric's name and a factory, "
        f"like ('latency', 'http.{{}}.latency', registry.timer), not {definition!r}."
    )


@pytest.mark.parametrize("base", [object, int, 3, None, "type"])
def test_a_base_that_is_no_metaclass(base: Any) -> None:
    """Only a metaclass can be derived from to make one."""
    with pytest.raises(InvalidTypeError) as caught:
        metered_meta([], base=base)

    assert str(caught.value) == f"The base of metered_meta is a metaclass like abc.ABCMeta, not {base!r}."


def test_names_that_the_registry_refuses(registry: Registry) -> None:
    """The registry's errors are raised by the class statement."""
    meta: Any = metered_meta([("latency", "http..{}", registry.timer)])
    other: Any = metered_meta([("latency", "taken", registry.timer)])
    registry.counter("taken")

    with pytest.raises(InvalidNameError):
        meta("Cart", (), {})
    with pytest.raises(KindMismatchError):
        other("Cart", (), {})
