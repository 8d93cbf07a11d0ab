"""What every wheel must obey so that several distributions can share the import package `tapes`.

Pure functions over the names of the files in the wheels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

CORE = "tapes-core"
CORE_ALONE = ("tapes/__init__.py", "tapes/py.typed", "tapes/reporting/__init__.py")
SHARED_PACKAGES = ("tapes", "tapes/reporting")
ENTRY_POINTS = "tapes/_plugins"

Wheels = Mapping[str, Collection[str]]
"""The names of the files in each wheel, by the name of its distribution."""


def faults(wheels: Wheels) -> list[str]:
    """Return one sentence for everything that is wrong with these wheels as a set."""
    return [
        *_files_in_two_wheels(wheels),
        *_files_in_two_packages(wheels),
        *(fault for owner in sorted(wheels) for fault in _faults_of_one(owner, wheels[owner])),
    ]


def modules(names: Collection[str]) -> list[str]:
    """Return the dotted names of the modules among the files of a wheel."""
    paths = (name[: -len(".py")] for name in names if name.endswith(".py"))
    return sorted(path.replace("/", ".").replace(".__init__", "") for path in paths)


def _files_in_two_wheels(wheels: Wheels) -> Iterator[str]:
    for name in sorted({name for names in wheels.values() for name in names}):
        owners = sorted(owner for owner, names in wheels.items() if name in names)
        if len(owners) > 1:
            yield f"{name} is in {' and '.join(owners)}: installing one overwrites the other."


def _files_in_two_packages(wheels: Wheels) -> Iterator[str]:
    for owner, names in sorted(wheels.items()):
        for package in _packages(names):
            others = (other for other in sorted(wheels) if other != owner and _below(package, wheels[other]))
            for other in others if package not in SHARED_PACKAGES else ():
                yield f"{other} has files in {package}, a package of {owner}: only one of the two would be found."


def _faults_of_one(owner: str, names: Collection[str]) -> Iterator[str]:
    code = sorted(name for name in names if not _is_metadata(name))
    packages = _packages(names)
    for name in code:
        folder, _, file = name.rpartition("/")
        if not name.startswith("tapes/"):
            yield f"{owner} ships {name}, outside of tapes/: it shadows what others install under that name."
        elif folder == ENTRY_POINTS and file == "__init__.py":
            yield f"{owner} ships {name}: a folder with an __init__.py belongs to one distribution alone."
        elif name in CORE_ALONE and owner != CORE:
            yield f"{owner} ships {name}, which belongs to {CORE} alone."
        elif file.endswith((".py", ".pyi")) and folder != ENTRY_POINTS and folder not in packages:
            yield f"{owner} ships {name}, in a folder without an __init__.py: it is not found in every installation."
    if owner == CORE:
        yield from (f"{CORE} ships no {name}." for name in CORE_ALONE if name not in names)
        return
    for package in packages:
        is_leaf = package.rpartition("/")[0] not in packages and package not in SHARED_PACKAGES
        if is_leaf and f"{package}/py.typed" not in names:
            yield f"{owner} ships {package} without a py.typed: type checkers treat it as untyped."


def _packages(names: Collection[str]) -> list[str]:
    return sorted(name.rpartition("/")[0] for name in names if name.endswith("/__init__.py") and _is_in_tapes(name))


def _below(folder: str, names: Collection[str]) -> bool:
    return any(name.startswith(f"{folder}/") for name in names)


def _is_in_tapes(name: str) -> bool:
    return name.startswith("tapes/") and not name.startswith(f"{ENTRY_POINTS}/")


def _is_metadata(name: str) -> bool:
    return name.partition("/")[0].endswith(".dist-info")
