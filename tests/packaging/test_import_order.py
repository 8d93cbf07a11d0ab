"""Imports run one way, in the order that docs/design.md gives."""

from __future__ import annotations

import pytest

from tapes.plugins import core
from tests.docs.pages import blocks
from tests.packaging.building import DISTRIBUTIONS, ROOT
from tests.packaging.imports import Source, against, cycle, entry_of, imports, reachable, sources

MODULES = sources(DISTRIBUTIONS)
GRAPH = imports(MODULES)


@pytest.fixture(scope="module")
def order() -> list[str]:
    """Return the import order: the words of the first block below its heading."""
    page = (ROOT / "docs/design.md").read_text(encoding="utf-8")
    _, heading, below = page.partition("\n## The import order\n")
    assert heading
    return next(blocks(below)).content.split()


def test_each_module_imports_from_its_own_folder_and_from_its_left(order: list[str]) -> None:
    """For type checkers and within functions too."""
    assert against(order, GRAPH) == []


def test_modules_import_in_no_circle() -> None:
    """Not within a folder either, nor for type checkers, nor within functions."""
    assert cycle(GRAPH) == []


def test_the_order_names_all_there_is_and_each_once(order: list[str]) -> None:
    """A module that is not in the order, or a name in it without a module, is a fault of the page."""
    places = {module: entry_of(module, order) for module in MODULES}

    assert [module for module, entry in places.items() if entry is None] == []
    assert sorted(order) == sorted({entry for entry in places.values() if entry is not None})


def test_a_tool_that_follows_imports_finds_what_core_provides() -> None:
    """From the package itself: what freezes programs would leave out what is only named in a string."""
    provided = {**core.tapes_reporters(), **core.tapes_formats(), **core.tapes_routes()}

    assert {target.partition(":")[0] for target in provided.values()} <= reachable("tapes", GRAPH)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import tapes.b.c", {"tapes.b.c": 1}),
        ("import tapes.b.c as c, json", {"tapes.b.c": 1}),
        ("from tapes.b import c", {"tapes.b.c": 1}),
        ("from tapes.b import other", {"tapes.b": 1}),
        ("from tapes.b import *", {"tapes.b": 1}),
        ("from tapes import b, other", {"tapes.b": 1, "tapes": 1}),
        ("from .b import c", {"tapes.b.c": 1}),
        ("from . import b", {"tapes.b": 1}),
        ("if TYPE_CHECKING:\n    from tapes.b import other", {"tapes.b": 2}),
        ("def first():\n    def second():\n        import tapes.b", {"tapes.b": 3}),
        ("class First:\n    try:\n        import tapes.b\n    except ImportError:\n        pass", {"tapes.b": 3}),
        ("def first():\n    import tapes.b\nimport tapes.b", {"tapes.b": 2}),
        ("from tapes import a", {}),
        ("from json import tapes", {}),
    ],
)
def test_imports_are_found_wherever_they_are(code: str, found: dict[str, int]) -> None:
    """In blocks for type checkers, in functions, in classes, and relative ones; with the first line that does."""
    package = Source("", is_package=True)
    modules = {"tapes": package, "tapes.a": Source(code, False), "tapes.b": package, "tapes.b.c": Source("", False)}

    assert imports(modules)["tapes.a"] == found


def test_imports_in_a_package_are_relative_to_itself() -> None:
    """As Python has it: one dot in an `__init__.py` is the package."""
    modules = {
        "tapes.b": Source("from .c import other", is_package=True),
        "tapes.b.c": Source("from . import x", False),
    }

    assert imports(modules) == {"tapes.b": {"tapes.b.c": 1}, "tapes.b.c": {"tapes.b": 1}}
    assert cycle(imports(modules)) != []


def test_an_import_to_the_right_is_named() -> None:
    """With the line, and the entries that it is against."""
    graph = {"tapes.a.x": {"tapes.b": 7, "tapes.a.page": 8}, "tapes.b": {"tapes.a.x": 3}, "tapes.a.page": {}}

    assert against(["a", "b", "a.page"], graph) == [
        "tapes.a.x:7 imports tapes.b, and a stands to the left of b",
        "tapes.a.x:8 imports tapes.a.page, and a stands to the left of a.page",
    ]
