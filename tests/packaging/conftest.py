"""The wheels under test, and environments that they are installed into."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.packaging.building import DISTRIBUTIONS, build, distribution, environment


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the wheel of each distribution: the installed ones where noxfile.py runs the tests, else built now."""
    if "TAPES_WHEELS" in os.environ:
        built = sorted(Path(os.environ["TAPES_WHEELS"]).glob("*.whl"))
    else:
        folder = tmp_path_factory.mktemp("wheels")
        built = [build("wheel", project, folder) for project in DISTRIBUTIONS]
    return {distribution(wheel): wheel for wheel in built}


@pytest.fixture(scope="session")
def installed_python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment in which pip has installed all wheels and what they say they require."""
    return environment(tmp_path_factory.mktemp("installed") / "venv", [str(wheel) for wheel in wheels.values()])
