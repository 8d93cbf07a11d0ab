"""The options of a reporter: the parameters of its constructor that a config can set."""

from __future__ import annotations

import ast
import difflib
import inspect
import reprlib
import sys
import types
import typing
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Tuple

from tapes.config.values import UNCHECKED, MismatchError, accepted, fit

if TYPE_CHECKING:
    from tapes.registry import Registry
    from tapes.reporting import Reporter

_NOT_OPTIONS = {
    "registry": "it is the one that configure() is given",
    "clock": "it can only be given in code",
    "io_loop": "it can only be given in code",
    "reporter": "the reporters have tables of their own",
}
"""Parameters that a config does not set, and why."""


class Option(NamedTuple):
    """One parameter of a constructor."""

    name: str
    annotation: object
    required: bool


class Options:
    """The parameters of one class's constructor: of a reporter, or of another class with a table in a config."""

    def __init__(self, cls: type) -> None:
        self._cls = cls
        self._construct: Callable[..., Reporter] = cls
        self._signature = _signature(cls)
        self._open = self._signature is None
        self.options: Dict[str, Option] = {}
        """The options by name, in the order of the constructor."""
        for name, parameter in (self._signature.parameters if self._signature else {}).items():
            if parameter.kind is parameter.VAR_KEYWORD:
                self._open = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                annotation = _evaluate(parameter.annotation, cls)
                self.options[name] = Option(name, annotation, parameter.default is parameter.empty)

    def check(self, given: Mapping[str, object], key: str) -> Tuple[Dict[str, object], List[str]]:
        """Return the arguments for the constructor, and every fault in `given`, the table at `key`."""
        arguments: Dict[str, object] = {}
        faults: List[str] = []
        for name, value in given.items():
            if name in _NOT_OPTIONS and name in self.options:
                faults.append(f"{key}.{name}: this cannot be set in a config, {_NOT_OPTIONS[name]}")
            elif name in self.options:
                try:
                    arguments[name] = fit(value, self.options[name].annotation)
                except MismatchError:
                    faults.append(
                        f"{key}.{name}: {quoted_with_type(value)} is not {accepted(self.options[name].annotation)}"
                    )
            elif self._open:
                arguments[name] = value
            else:
                faults.append(f"{key}.{name}: {self._unknown(name)}")
        faults += [
            f"{key}.{option.name}: missing, {self._cls.__name__} needs {accepted(option.annotation)}"
            for option in self.options.values()
            if option.required and option.name not in given and option.name not in ("registry", "reporter")
        ]
        return arguments, faults

    def make(self, arguments: Mapping[str, object], registry: Registry) -> Reporter:
        """Call the constructor, with `registry` if it takes one. Raises the errors of the constructor."""
        if self._signature is None:
            return self._construct(**arguments)
        given = dict(arguments)
        if "registry" in self.options:
            given["registry"] = registry
        surplus = {name: given.pop(name) for name in arguments if name not in self.options}
        bound = inspect.BoundArguments(self._signature, OrderedDict(given))
        return self._construct(*bound.args, **bound.kwargs, **surplus)

    def _unknown(self, name: str) -> str:
        names = [option for option in self.options if option not in _NOT_OPTIONS]
        return f"unknown option{did_you_mean(name, names)}; {self._cls.__name__} takes {', '.join(names) or 'none'}"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question to append to an error about `name`, or "" if none of `names` is similar."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def quoted_with_type(value: object) -> str:
    """Return a value and its type as text, short enough for a line."""
    return f"{reprlib.repr(value)} ({type(value).__name__})"


def _signature(cls: type) -> inspect.Signature | None:
    """Return the signature of a constructor; None if Python cannot tell."""
    try:
        return inspect.signature(cls)
    except (ValueError, TypeError, NameError):
        return None


class _UnionsSpelledOut(ast.NodeTransformer):
    """Turns `a | b` into `Union[a, b]`, which Python 3.9 can evaluate, too."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.BitOr):
            return node
        both = ast.Tuple([node.left, node.right], ast.Load())
        return ast.Subscript(ast.Name(_UNION, ast.Load()), both, ast.Load())


_UNION = "__Union"


def _evaluate(annotation: object, cls: type) -> object:
    """Return an annotation, evaluated; UNCHECKED if that fails, as for names that only type checkers import.

    Each annotation is evaluated separately: `typing.get_type_hints` of a whole constructor fails at the first bad one.
    """
    if annotation is inspect.Parameter.empty:
        return UNCHECKED
    try:
        if isinstance(annotation, str):
            annotation = ast.unparse(_UnionsSpelledOut().visit(ast.parse(annotation, mode="eval")))
        holder = types.SimpleNamespace(__annotations__={"it": annotation})
        return typing.get_type_hints(holder, _globals(cls), {_UNION: typing.Union})["it"]
    except Exception:  # noqa: BLE001 -- an annotation may be any expression
        return UNCHECKED


def _globals(cls: type) -> dict[str, Any]:
    for constructor in ("__init__", "__new__"):
        found = getattr(inspect.unwrap(getattr(cls, constructor)), "__globals__", None)
        if isinstance(found, dict):
            return found
    return vars(sys.modules[cls.__module__])
