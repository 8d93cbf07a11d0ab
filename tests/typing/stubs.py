"""What type checkers are told of classes whose constructors are made of those of others.

`python3 noxfile.py -s stubs` writes it beside the modules.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import sys
import typing
from pathlib import Path
from typing import Any, Dict, List, Literal, Union

ROOT = Path(__file__).resolve().parents[2]

STUBS: Dict[str, str] = {
    "tapes.reporting.stream": "tapes-core",
    "tapes.reporting.statsd.reporter": "tapes-statsd",
    "tapes.reporting.otlp.reporter": "tapes-otlp",
    "tapes.reporting.prometheus.pushgateway": "tapes-prometheus",
    "tapes.reporting.tornado.stream": "tapes-tornado",
    "tapes.reporting.tornado.statsd": "tapes-tornado",
    "tapes.distributed.registry": "tapes-zmq",
}
"""The modules that have a stub, and the distributions that they belong to."""


def source(module: str) -> Path:
    """Return where the stub of a module stands in this repository."""
    return ROOT / STUBS[module] / "src" / f"{module.replace('.', '/')}.pyi"


def stub(module: str) -> str:
    """Write the stub of a module, from its classes as they are when it has been imported."""
    imported = importlib.import_module(module)
    modules: Dict[str, None] = {}
    classes = [
        _written(each, modules)
        for each in vars(imported).values()
        if isinstance(each, type) and each.__module__ == module
    ]
    imports = [f"import {name}" for name in sorted(modules) if name != "builtins"]
    imports += [
        f"from {each.__module__} import {each.__name__} as {each.__name__}"
        for each in (getattr(imported, name) for name in getattr(imported, "__all__", ()))
        if each.__module__ != module
    ]
    return "\n".join(
        ["# Written by `python3 noxfile.py -s stubs`, from what is beside it.", "", *imports, "", *classes, ""]
    )


def _written(cls: type, modules: Dict[str, None]) -> str:
    bases = ", ".join(_name(base, modules) for base in cls.__bases__)
    lines: List[str] = []
    star = False
    for parameter in list(inspect.signature(cls).parameters.values()):
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            star = True
            lines.append("*")
        default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
        lines.append(f"{parameter.name}: {_type(parameter.annotation, modules)}{default}")
    arguments = "".join(f"        {line},\n" for line in ["self", *lines])
    return f"class {cls.__name__}({bases}):\n    def __init__(\n{arguments}    ) -> None: ..."


def _type(annotation: Any, modules: Dict[str, None]) -> str:
    """Write a type, the same on every Python."""
    if annotation is type(None):
        return "None"
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Union:
        of_these = [_type(each, modules) for each in args if each is not type(None)]
        union = of_these[0] if len(of_these) == 1 else f"{_name(Union, modules)}[{', '.join(of_these)}]"
        return union if type(None) not in args else f"{_name(typing.Optional, modules)}[{union}]"
    if origin is Literal:
        return f"{_name(Literal, modules)}[{', '.join(map(_value, args))}]"
    if origin is not None:
        return f"{_name(origin, modules)}[{', '.join(_type(each, modules) for each in args)}]"
    return _name(annotation, modules)


def _value(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else "..."


def _name(thing: Any, modules: Dict[str, None]) -> str:
    for special in ("Union", "Optional", "Literal"):
        if thing is getattr(typing, special):
            modules["typing"] = None
            return f"typing.{special}"
    modules[thing.__module__] = None
    return (
        str(thing.__qualname__) if thing.__module__ == builtins.__name__ else f"{thing.__module__}.{thing.__qualname__}"
    )


if __name__ == "__main__":
    for each in STUBS:
        source(each).write_text(stub(each), encoding="utf-8")
        sys.stdout.write(f"{source(each)}\n")
