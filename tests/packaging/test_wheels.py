"""What is inside the wheels and sdists, and that it works where it is installed."""

from __future__ import annotations

import os
import tarfile
import zipfile
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

import pytest

import tapes
from tests.packaging.building import DISTRIBUTIONS, ROOT, build, names, run
from tests.packaging.wheel_gate import CORE, SHARED_PACKAGES, modules


@pytest.mark.skipif("TAPES_WHEELS" not in os.environ, reason="Only noxfile.py installs the wheels.")
def test_the_tests_run_against_the_installed_wheels() -> None:
    """The package under test is what pip installed from the wheel, and not the source folder."""
    package = Path(tapes.__file__).resolve()
    recorded = {Path(str(file.locate())).resolve() for file in metadata.files(CORE) or ()}

    assert package in recorded
    assert not package.is_relative_to(ROOT / CORE)


def test_all_modules_can_be_imported(wheels: dict[str, Path], installed_python: Path) -> None:
    """Every module of every wheel can be imported with nothing installed but what the wheels require."""
    found = [module for wheel in wheels.values() for module in modules(names(wheel))]
    importable = [module for module in found if not module.endswith("__main__")]

    printed = run(str(installed_python), "-I", "-c", "; ".join(f"import {name}" for name in importable))

    assert "tapes.registry" in importable
    assert printed == ""


@pytest.mark.parametrize("project", DISTRIBUTIONS, ids=lambda project: project.name)
def test_each_wheel_has_all_of_its_source_folder(project: Path, wheels: dict[str, Path]) -> None:
    """No file is left behind: hatchling says nothing of a path in `only-include` that does not exist."""
    source = project / "src"
    files = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)

    shipped = [name for name in names(wheels[project.name]) if name.startswith("tapes/")]

    assert sorted(shipped) == sorted(path.relative_to(source).as_posix() for path in files)


def test_no_plugin_is_broken_where_all_is_installed(installed_python: Path) -> None:
    """`python -m tapes plugins` finds the entry point of every distribution, and nothing is wrong with any."""
    run(str(installed_python), "-I", "-m", "tapes", "plugins")


def test_the_shared_packages_extend_their_path(wheels: dict[str, Path]) -> None:
    """Both shared packages begin with the two lines that let other distributions add to them, in this very form."""
    with zipfile.ZipFile(wheels[CORE]) as archive:
        sources = [archive.read(f"{package}/__init__.py").decode() for package in SHARED_PACKAGES]

    for source in sources:
        lines = source.splitlines()
        extension = lines.index('__path__ = __import__("pkgutil").extend_path(__path__, __name__)')
        assert "import pkgutil" in lines[:extension]


def test_the_metadata_say_what_is_shipped(wheels: dict[str, Path]) -> None:
    """Each wheel has the licence of the repository, and core's version is the one that it says it has at run time."""
    for wheel in wheels.values():
        with zipfile.ZipFile(wheel) as archive:
            about = wheel.name.rpartition("-py3")[0] + ".dist-info"
            headers = HeaderParser().parsestr(archive.read(f"{about}/METADATA").decode())
            licence = archive.read(f"{about}/licenses/LICENSE").decode()
        assert licence == (ROOT / "LICENSE").read_text()
        assert headers["License-Expression"] == "Apache-2.0"
        assert headers["Requires-Python"] == ">=3.9"
        assert headers["Name"] != CORE or headers["Version"] == tapes.__version__


@pytest.mark.parametrize("project", DISTRIBUTIONS, ids=lambda project: project.name)
def test_the_wheel_that_is_built_from_the_sdist_is_the_same(
    project: Path, wheels: dict[str, Path], tmp_path: Path
) -> None:
    """Whoever builds from the sdist gets the files that the wheel from the repository has."""
    sdist = build("sdist", project, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        # Python 3.12 warns where no filter is chosen; older ones that were not updated have none.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(tmp_path / "unpacked")

    wheel = build("wheel", next((tmp_path / "unpacked").iterdir()), tmp_path / "wheel")

    assert sorted(names(wheel)) == sorted(names(wheels[project.name]))
