"""Which module imports which, read from their code. Pure functions, but for the one that reads the files."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT_PACKAGE = "tapes"

Graph = Mapping[str, Mapping[str, int]]
"""Of each module the modules that it imports, each with the first line that does."""


class Source(NamedTuple):
    """The code of a module."""

    code: str
    is_package: bool


def sources(projects: Sequence[Path]) -> dict[str, Source]:
    """Return the code of all modules that these distributions add to `tapes`, by the names of the modules."""
    found = {}
    for project in projects:
        for path in sorted((project / "src").rglob("*.py")):
            parts = path.relative_to(project / "src").with_suffix("").parts
            is_package = parts[-1] == "__init__"
            found[".".join(parts[:-1] if is_package else parts)] = Source(path.read_text(encoding="utf-8"), is_package)
    return found


def imports(modules: Mapping[str, Source]) -> Graph:
    """Return which of the modules each imports: anywhere, so in functions and for type checkers too.

    `from tapes import errors` imports the module `tapes.errors`, and `from tapes import counter` the module `tapes`.
    """
    return {name: dict(reversed(list(_imported(name, modules)))) for name in modules}


def cycle(graph: Graph) -> list[str]:
    """Return modules that import one another in a circle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def entry_of(module: str, order: Sequence[str]) -> str | None:
    """Return the entry of an import order that a module belongs to: itself, or else the innermost folder."""
    path = module if module == ROOT_PACKAGE else module[len(ROOT_PACKAGE) + 1 :]
    entries = [entry for entry in order if path == entry or path.startswith(f"{entry}.")]
    return max(entries, key=len, default=None)


def against(order: Sequence[str], graph: Graph) -> list[str]:
    """Return a line for each import of what is neither in the same entry nor in one to its left."""
    place = {entry: number for number, entry in enumerate(order)}
    return [
        f"{module}:{line} imports {imported}, and {mine} stands to the left of {other}"
        for module in graph
        for imported, line in graph[module].items()
        for mine, other in [(entry_of(module, order), entry_of(imported, order))]
        if mine is not None and other is not None and place[other] > place[mine]
    ]


def reachable(start: str, graph: Graph) -> set[str]:
    """Return all modules that a tool finds which follows imports from `start`."""
    found: set[str] = set()
    ahead = [start]
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            # Who imports a module imports the packages that it is in.
            parents = module.split(".")[:-1]
            ahead += [*graph.get(module, {}), *(".".join(parents[:end]) for end in range(1, len(parents) + 1))]
    return found


def _imported(name: str, modules: Mapping[str, Source]) -> Iterator[tuple[str, int]]:
    source = modules[name]
    package = name.split(".") if source.is_package else name.split(".")[:-1]
    lines = sorted(
        (node.lineno, target)
        for node in ast.walk(ast.parse(source.code))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for target in _targets(node, package, modules)
    )
    return ((target, line) for line, target in lines if target in modules and target != name)


def _targets(node: ast.Import | ast.ImportFrom, package: list[str], modules: Mapping[str, Source]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    above = package[: len(package) - node.level + 1] if node.level else []
    origin = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        inside = f"{origin}.{alias.name}"
        yield inside if inside in modules else origin
