"""Distributions add to `tapes.reporting` however they and core are installed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, build, environment, make_plugin, run

CORE = ROOT / "tapes-core"
SHOW = (
    "import tapes.reporting.carrier as carrier, tapes.registry; print(carrier.NAME, tapes.registry.Registry.__name__)"
)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a distribution that provides `tapes.reporting.carrier`."""
    return make_plugin(tmp_path_factory.mktemp("plugin") / "tapes-carrier", "carrier")


@pytest.fixture(scope="module")
def bare_python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with what core requires, but without core."""
    python = environment(tmp_path_factory.mktemp("bare") / "venv", [str(wheels["tapes-core"])])
    own = run(str(python), "-I", "-c", "import tapes; print(tapes.__path__[0])").strip()
    Path(own).rename(Path(own).with_name("no_longer_tapes"))
    return python


def install(kind: str, project: Path, folder: Path) -> Path:
    """Install a project as pip does, as a `wheel` or `editable`, into a folder of its own. Return the folder."""
    site = folder / f"{project.name}-{kind}"
    with zipfile.ZipFile(build(kind, project, folder / "built")) as archive:
        archive.extractall(site)
    return site


@pytest.mark.parametrize("core_kind", ["wheel", "editable"])
@pytest.mark.parametrize("plugin_kind", ["wheel", "editable"])
def test_a_plugin_is_found_beside_core(
    core_kind: str, plugin_kind: str, plugin: Path, bare_python: Path, tmp_path: Path
) -> None:
    """A plugin and core are both found, each of them installed from a wheel or as editable, in different places."""
    sites = [install(core_kind, CORE, tmp_path), install(plugin_kind, plugin, tmp_path)]
    add_sites = "; ".join(["import site", *(f"site.addsitedir({str(site)!r})" for site in sites)])

    printed = run(str(bare_python), "-I", "-c", f"{add_sites}; {SHOW}")

    assert printed == "carrier Registry\n"


def test_a_plugin_is_found_in_source_folders_on_the_path(plugin: Path, bare_python: Path) -> None:
    """With both source folders in PYTHONPATH nothing needs to be installed, whichever comes first."""
    sources = [str(CORE / "src"), str(plugin / "src")]
    orders = [sources, sources[::-1]]

    printed = [
        run(str(bare_python), "-c", SHOW, env={**os.environ, "PYTHONPATH": os.pathsep.join(order)}) for order in orders
    ]

    assert printed == ["carrier Registry\n"] * 2
