"""Programs that are archives: wheels on the path, zip files with and without entries for folders, and no metadata."""

from __future__ import annotations

import importlib.util
import os
import sys
import zipfile
from pathlib import Path
from typing import Callable

import pytest

from tests.packaging.building import run

LIBRARIES = ("addict", "pluggy", *(() if sys.version_info >= (3, 11) else ("tomli",)))

SHOW = """
from tapes import plugins
print([f"{plugin.name} {plugin.status}" for plugin in plugins.installed().plugins])
print([plugins.reporter_class(name).__name__ for name in sorted(plugins.installed().reporters)])
"""

FROZEN = """
import sys, tapes
sys.frozen = True
with tapes.configure({"reporters": {"stream": {"interval": 60, "path": "/dev/null"}, "http": {"port": 0}}}) as running:
    print(*running.reporters)
try:
    tapes.configure({"reporters": {"statsd": {"interval": 1}}})
except ValueError as error:
    print(*error.faults)
"""

Run = Callable[..., str]


@pytest.fixture
def show(tmp_path: Path) -> Run:
    """Run a program that sees these archives and what they depend on, and return what it prints."""
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for library in LIBRARIES:
        spec = importlib.util.find_spec(library)
        assert spec is not None
        assert spec.origin is not None
        (libraries / library).symlink_to(Path(spec.origin).parent)

    def show(*archives: Path, program: str = SHOW) -> str:
        path = os.pathsep.join(map(str, [*archives, libraries]))
        return run(sys.executable, "-S", "-c", program, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})

    return show


def merge(archive: Path, *wheels: Path, folders: bool, metadata: bool = True) -> Path:
    """Put wheels into one archive, with entries for folders or without."""
    with zipfile.ZipFile(archive, "w") as merged:
        for wheel in map(zipfile.ZipFile, wheels):
            with wheel:
                for name in wheel.namelist():
                    if metadata or ".dist-info/" not in name:
                        merged.writestr(name, wheel.read(name))
        for folder in sorted({str(parent) for name in merged.namelist() for parent in Path(name).parents}):
            if folders and folder != ".":
                merged.writestr(f"{folder}/", b"")
    return archive


def test_core_as_a_wheel_on_the_path(wheels: dict[str, Path], show: Run) -> None:
    """A wheel has no entries for folders, and what core provides is found in it."""
    assert show(wheels["tapes-core"]) == "['core ok']\n['HTTPReporter', 'ThreadedStreamReporter']\n"


@pytest.mark.parametrize("first", ["tapes-core", "tapes-statsd"])
def test_plugins_as_wheels_on_the_path(wheels: dict[str, Path], show: Run, first: str) -> None:
    """Wheels on the path are found as if they were installed, by name and by import."""
    both = sorted((wheels["tapes-core"], wheels["tapes-statsd"]), key=lambda wheel: wheel != wheels[first])

    printed = show(*both)

    assert printed == "['core ok', 'statsd ok']\n['HTTPReporter', 'StatsdReporter', 'ThreadedStreamReporter']\n"
    assert show(*both, program="import tapes.reporting.statsd as statsd; print(statsd.__name__)").split() == [
        "tapes.reporting.statsd"
    ]


@pytest.mark.parametrize("folders", [True, False])
def test_one_archive(wheels: dict[str, Path], show: Run, tmp_path: Path, folders: bool) -> None:
    """An archive of everything has all that its metadata tell of, whether it has entries for folders or not."""
    archive = merge(tmp_path / "all.zip", wheels["tapes-core"], wheels["tapes-statsd"], folders=folders)

    printed = show(archive)

    assert printed == "['core ok', 'statsd ok']\n['HTTPReporter', 'StatsdReporter', 'ThreadedStreamReporter']\n"


def test_archive_beside_a_folder(wheels: dict[str, Path], show: Run, tmp_path: Path) -> None:
    """A plugin in an archive and one in a folder are both found."""
    site = tmp_path / "site"
    for name in ("tapes-core", "tapes-zmq"):
        with zipfile.ZipFile(wheels[name]) as wheel:
            wheel.extractall(site)

    printed = show(
        site, wheels["tapes-statsd"], program="from tapes import plugins; print(*plugins.installed().reporters)"
    )

    assert printed.split() == ["http", "stream", "statsd", "zmq"]


@pytest.mark.parametrize("folders", [True, False])
def test_program_without_metadata(wheels: dict[str, Path], show: Run, tmp_path: Path, folders: bool) -> None:
    """Where nothing has metadata, as in a frozen program, core's reporters are there and the error says what is not."""
    archive = merge(tmp_path / "all.zip", wheels["tapes-core"], wheels["tapes-statsd"], folders=folders, metadata=False)

    printed = show(archive, program=FROZEN)

    assert printed.splitlines() == [
        "stream http",
        (
            "reporters.statsd: There is no reporter 'statsd'. It comes with pip install tapes-statsd. A frozen "
            "program has to include the metadata of tapes-statsd. Installed: http, stream."
        ),
    ]
