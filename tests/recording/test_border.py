"""Nothing outside of the recording core and of its tests uses more of it than it promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Iterator, List, Set

import pytest

from tapes import recording
from tapes.recording import core as protocols
from tapes.recording.core import Core

ROOT = Path(__file__).resolve().parents[2]

SOURCES = ROOT / "tapes-core/src/tapes/recording"

OF_OTHERS = {
    "tests/concurrency/test_fork.py": {"_pid"},  # of tapes.process.forking
    "tapes-prometheus/src/tapes/reporting/prometheus/families.py": {"_seconds"},  # a suffix of names
}
"""What looks like a private name of the core, and is one of another module."""

FACES = {*recording.__all__, "core", "pure"}
"""What may be imported from `tapes.recording`."""

OUTSIDE = [
    path
    for folder in (*sorted(ROOT.glob("tapes-*/src")), *map(ROOT.joinpath, ("tests", "benchmarks", "examples")))
    for path in sorted(folder.rglob("*.py"))
    if path.parent not in (SOURCES, Path(__file__).resolve().parent)
]


def private(name: object) -> bool:
    """Whether a name is private."""
    return isinstance(name, str) and name[:1] == "_" and name[1:2] not in ("", "_")


def own_names(tree: ast.AST) -> Set[str]:
    """Return the private names that a module gives to methods, attributes and functions."""
    names: List[Any] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names.append(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.append(node.attr)
        elif isinstance(node, ast.ClassDef):
            names += [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]  # slots among them
            names += [
                each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
            ]
    return {name for name in names if private(name)}


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def uses(tree: ast.AST, hidden: Set[str]) -> Iterator[str]:
    """Yield what a module uses of the recording core and must not. `hidden` are the private names of its classes.

    A class may have a name of its own that the core has too, if it is no metric.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "tapes.recording":
            for alias in node.names:
                yield from _inside(f"tapes.recording.{alias.name}")
        elif isinstance(node, ast.ImportFrom):
            yield from _inside(node.module or "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield from _inside(alias.name)
        elif isinstance(node, ast.Attribute) and node.attr in hidden:
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # The name of an attribute or a module to patch, or a script for another interpreter.
            if node.value in hidden:
                yield node.value
            yield from (name for name in re.findall(r"\.(_\w+)", node.value) if name in hidden)
            yield from _inside(node.value)


def _inside(module: str) -> Iterator[str]:
    found = re.fullmatch(r"tapes\.recording\.(\w+)(\.\w+)*", module)
    if found and found[1] not in FACES:
        yield module


def hidden() -> Set[str]:
    """Return the private names of the classes of the core in pure Python."""
    return {name for path in SOURCES.glob("*.py") for name in own_names(ast.parse(path.read_text("utf-8")))}


def test_nothing_outside_uses_private_names_of_the_core() -> None:
    """Neither by attribute, nor by name, nor by importing a module that is no face of it."""
    names = hidden()
    assert {"_pending", "_with_records", "_fold", "_timing", "_until"} <= names

    worth_a_look = re.compile(r"tapes\.recording|_(?:" + "|".join(name[1:] for name in names) + r")\b")
    found = {}
    for path in OUTSIDE:
        text = path.read_text("utf-8")
        if not worth_a_look.search(text):
            continue
        tree = ast.parse(text)
        file = path.relative_to(ROOT).as_posix()
        is_of_metrics = "/src/tapes/instruments/" in file  # whose classes derive from buffers
        faults = set(uses(tree, names))
        if faults and not is_of_metrics:
            faults -= own_names(tree) | OF_OTHERS.get(file, set())
        if faults:
            found[file] = faults

    assert len(OUTSIDE) > 300
    assert found == {}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("metric._pending.clear()", ["_pending"]),
        ("self._fold(0.0, 0.0)", ["_fold"]),
        ("monkeypatch.setattr(buffer, '_fold', None)", ["_fold"]),
        ("run('assert counter._pending == []')", ["_pending"]),
        ("from tapes.recording.buffer import CAPACITY", ["tapes.recording.buffer"]),
        ("from tapes.recording import buffer", ["tapes.recording.buffer"]),
        ("import tapes.recording.timing as inside", ["tapes.recording.timing"]),
        ("monkeypatch.setattr('tapes.recording.buffer.sleep', None)", ["tapes.recording.buffer.sleep"]),
        ("from tapes.recording import CounterBuffer, core, pure", []),
        ("from tapes.recording.core import Core", []),
        ("buffer.committed(buffer.now())", []),
        ("self._other", []),
    ],
)
def test_what_counts_as_a_use(code: str, found: List[str]) -> None:
    """The test above finds it."""
    assert list(uses(ast.parse(code), {"_pending", "_fold"})) == found


def test_a_class_may_have_a_name_of_its_own() -> None:
    """Many classes have a `_pid`, a `_now` or a `_due`."""
    tree = ast.parse("class A:\n    __slots__ = ('_pid',)\n    def _now(self):\n        self._due = self._pid")

    assert own_names(tree) == {"_pid", "_now", "_due"}


def test_no_buffer_derives_from_a_protocol(core: Core) -> None:
    """That would cost each class that is made, and each `isinstance` of it."""
    buffers = [getattr(core, name) for name in dir(core) if name.endswith("Buffer")]

    assert len(buffers) == 5
    assert not any(getattr(base, "_is_protocol", False) for buffer in buffers for base in buffer.__mro__)
    assert getattr(protocols.Buffer, "_is_protocol", False), "this is how a Protocol is told"


def test_the_face_is_the_core_that_is_used(core: Core) -> None:
    """Everything that is imported from `tapes.recording` is of an installed core.

    Apart from a type, and from the buffer of kinds that no core knows.
    """
    faces = {*recording.__all__} - {"GenericBuffer", "Numbers"}

    assert faces == {name for name in vars(protocols.Core) if name[0] != "_"} - {"name"}
    assert all(hasattr(core, name) for name in faces)


def test_the_design_says_what_each_protocol_promises() -> None:
    """Who writes another core reads that page first."""
    page = (ROOT / "docs/design.md").read_text("utf-8")
    section = page.partition("## The recording core\n")[2].partition("\n## ")[0]
    defined = [
        name
        for name, thing in vars(protocols).items()
        if isinstance(thing, type) and thing.__module__ == protocols.__name__
    ]

    assert len(defined) > 8
    assert [name for name in defined if f"`{name}`" not in section] == []
