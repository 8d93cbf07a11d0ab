"""Wheels, sdists and environments, made as pip makes them but without its download of the build tool."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = sorted(pyproject.parent for pyproject in ROOT.glob("tapes-*/pyproject.toml"))


def build(kind: str, project: Path, folder: Path) -> Path:
    """Build the `wheel`, `editable` or `sdist` of a project into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    hook = f"import hatchling.build, sys; print(hatchling.build.build_{kind}(sys.argv[1]))"
    return folder / run(sys.executable, "-c", hook, str(folder), cwd=project).split()[-1]


def names(wheel: Path) -> list[str]:
    """Return the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


def distribution(wheel: Path) -> str:
    """Return the name of the distribution that a wheel is of."""
    return re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()


def environment(folder: Path, packages: Sequence[str]) -> Path:
    """Make an environment with nothing but `packages` and what they require. Return its Python."""
    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, *packages)
    return python


def run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed. An AssertionError with all of its output if it fails."""
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def make_plugin(folder: Path, name: str, build_options: str | None = None) -> Path:
    """Write a distribution `tapes-NAME` that provides `tapes.reporting.NAME`, as a real one does. Return its folder."""
    package = folder / "src" / "tapes" / "reporting" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f'"""The reporter {name}."""\nNAME = "{name}"\n')
    (package / "py.typed").touch()
    entry_points = folder / "src" / "tapes" / "_plugins"
    entry_points.mkdir()
    (entry_points / f"{name}.py").write_text(f'"""The entry point of {name}."""\n')
    options = build_options or (
        f'only-include = ["src/tapes/reporting/{name}", "src/tapes/_plugins/{name}.py"]\nsources = ["src"]'
    )
    (folder / "pyproject.toml").write_text(
        "[build-system]\n"
        'requires = ["hatchling"]\n'
        'build-backend = "hatchling.build"\n'
        "[project]\n"
        f'name = "tapes-{name}"\n'
        'version = "1.0.0"\n'
        "[tool.hatch.build.targets.wheel]\n"
        f"{options}\n"
    )
    return folder
