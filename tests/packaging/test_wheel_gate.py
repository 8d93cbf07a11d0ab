"""The wheels of all distributions fit together, and a wheel that does not is found out."""

from __future__ import annotations

import configparser
import zipfile
from pathlib import Path

import pytest

from tests.packaging.building import build, distribution, make_plugin, names
from tests.packaging.wheel_gate import Wheels, faults

GOOD: dict[str, list[str]] = {
    "tapes-core": [
        "tapes/__init__.py",
        "tapes/py.typed",
        "tapes/_plugins/core.py",
        "tapes/registry.py",
        "tapes/reporting/__init__.py",
        "tapes/state/__init__.py",
        "tapes_core-1.0.0.dist-info/METADATA",
    ],
    "tapes-statsd": [
        "tapes/_plugins/statsd.py",
        "tapes/reporting/statsd/__init__.py",
        "tapes/reporting/statsd/encoding/__init__.py",
        "tapes/reporting/statsd/py.typed",
        "tapes_statsd-1.0.0.dist-info/METADATA",
    ],
    "tapes-zmq": ["tapes/distributed/__init__.py", "tapes/distributed/__main__.py", "tapes/distributed/py.typed"],
}


def with_files(owner: str, *added: str) -> Wheels:
    """Return the good wheels with more files in one of them."""
    return {**GOOD, owner: [*GOOD[owner], *added]}


def without_files(owner: str, *removed: str) -> Wheels:
    """Return the good wheels with files missing from one of them."""
    return {**GOOD, owner: [name for name in GOOD[owner] if name not in removed]}


def test_the_wheels_of_this_repository_pass(wheels: dict[str, Path]) -> None:
    """The wheels that are built from the distributions have no fault."""
    found = faults({owner: names(wheel) for owner, wheel in wheels.items()})

    assert "tapes-core" in wheels
    assert found == []


def test_each_wheel_has_the_modules_of_its_entry_points(wheels: dict[str, Path]) -> None:
    """What a wheel says that it plugs in is in it: otherwise the plugin is broken once it is installed."""
    listed: set[str] = set()
    shipped: set[str] = set()
    for wheel in wheels.values():
        with zipfile.ZipFile(wheel) as archive:
            shipped.update(archive.namelist())
            for name in archive.namelist():
                if name.endswith(".dist-info/entry_points.txt"):
                    points = configparser.ConfigParser()
                    points.read_string(archive.read(name).decode())
                    listed.update(f"{module.replace('.', '/')}.py" for _, module in points.items("tapes"))

    assert "tapes/_plugins/statsd.py" in listed
    assert listed - shipped == set()


def test_a_good_set_of_wheels_passes() -> None:
    """The gate lets through what the design asks for."""
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("wheels", "expected"),
    [
        pytest.param(
            with_files("tapes-statsd", "tapes/registry.py"),
            [
                "tapes/registry.py is in tapes-core and tapes-statsd: installing one overwrites the other.",
                (
                    "tapes-statsd ships tapes/registry.py, in a folder without an __init__.py: "
                    "it is not found in every installation."
                ),
            ],
            id="a file in two wheels",
        ),
        pytest.param(
            with_files("tapes-statsd", "statsd/__init__.py"),
            [
                (
                    "tapes-statsd ships statsd/__init__.py, outside of tapes/: "
                    "it shadows what others install under that name."
                )
            ],
            id="a file outside of tapes",
        ),
        pytest.param(
            without_files("tapes-core", "tapes/py.typed"),
            ["tapes-core ships no tapes/py.typed."],
            id="a file missing from core",
        ),
        pytest.param(
            {"tapes-statsd": [*GOOD["tapes-statsd"], "tapes/reporting/__init__.py"]},
            ["tapes-statsd ships tapes/reporting/__init__.py, which belongs to tapes-core alone."],
            id="a parent package in a plugin",
        ),
        pytest.param(
            {"tapes-statsd": [*GOOD["tapes-statsd"], "tapes/py.typed"]},
            ["tapes-statsd ships tapes/py.typed, which belongs to tapes-core alone."],
            id="the type marker of core in a plugin",
        ),
        pytest.param(
            with_files("tapes-core", "tapes/_plugins/__init__.py"),
            [
                (
                    "tapes-core ships tapes/_plugins/__init__.py: "
                    "a folder with an __init__.py belongs to one distribution alone."
                )
            ],
            id="a package of entry points",
        ),
        pytest.param(
            without_files("tapes-statsd", "tapes/reporting/statsd/py.typed"),
            ["tapes-statsd ships tapes/reporting/statsd without a py.typed: type checkers treat it as untyped."],
            id="an untyped package",
        ),
        pytest.param(
            with_files("tapes-statsd", "tapes/reporting/graphite.py"),
            [
                (
                    "tapes-statsd ships tapes/reporting/graphite.py, in a folder without an __init__.py: "
                    "it is not found in every installation."
                )
            ],
            id="a bare module",
        ),
        pytest.param(
            with_files("tapes-statsd", "tapes/state/fast/__init__.py", "tapes/state/fast/py.typed"),
            ["tapes-statsd has files in tapes/state, a package of tapes-core: only one of the two would be found."],
            id="a package inside a package of core",
        ),
    ],
)
def test_a_bad_set_of_wheels_is_refused(wheels: Wheels, expected: list[str]) -> None:
    """Each way to break the sharing of `tapes` is named with the wheel and the file."""
    assert faults(wheels) == expected


def test_a_wheel_that_shadows_the_library_it_wraps_is_refused(tmp_path: Path) -> None:
    """The build option that looks right and ships a top-level package is caught in the wheel that it makes."""
    plugin = make_plugin(tmp_path / "tapes-carrier", "carrier", 'packages = ["src/tapes/reporting/carrier"]')

    wheel = build("wheel", plugin, tmp_path / "wheels")

    found = faults({distribution(wheel): names(wheel)})
    assert found[0].startswith("tapes-carrier ships carrier/__init__.py, outside of tapes/")
