"""Real distributions for tests of plugins: folders with metadata and modules, in a process that sees nothing else."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Dict, Mapping, NamedTuple

LIBRARIES = ("tapes", "pluggy", "addict", *(() if sys.version_info >= (3, 11) else ("tomli",)))

# What is logged is printed, one line a record and without tracebacks, so that it can be compared as it is.
PRELUDE = """
import logging
class Printer(logging.Handler):
    def emit(self, record):
        print(f"{record.levelname} {record.name}: {record.getMessage()}")
logging.getLogger().addHandler(Printer())
"""


class Finished(NamedTuple):
    """What a process has left behind."""

    status: int
    output: str
    errors: str

    @property
    def lines(self) -> list[str]:
        """The lines that it printed."""
        return self.output.splitlines()


class Distributions:
    """A folder into which distributions are installed, and processes that import from it.

    The processes run without site-packages: they see tapes and what it depends on, and none of the plugins that are
    installed where the tests run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.site = root / "site"
        self.site.mkdir()
        libraries = root / "libraries"
        libraries.mkdir()
        for library in LIBRARIES:
            spec = importlib.util.find_spec(library)
            assert spec is not None
            assert spec.origin is not None
            (libraries / library).symlink_to(Path(spec.origin).parent)
        self.path = [self.site, libraries]

    def install(
        self,
        name: str,
        modules: Mapping[str, str],
        *,
        version: str = "1.0",
        entry_points: Mapping[str, str] | None = None,
        site: Path | None = None,
    ) -> None:
        """Install a distribution. Without `entry_points` each of its modules is a plugin of the same name."""
        site = site or self.site
        points: Dict[str, str] = dict(
            entry_points if entry_points is not None else {module: module for module in modules}
        )
        metadata = site / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(
            "[tapes]\n" + "".join(f"{point} = {value}\n" for point, value in points.items())
        )
        for module, code in modules.items():
            (site / f"{module}.py").write_text(textwrap.dedent(code))

    def run(self, code: str, **environment: str) -> Finished:
        """Run Python code in a process of its own."""
        return self._run(["-c", PRELUDE + textwrap.dedent(code)], environment)

    def run_module(self, *arguments: str, **environment: str) -> Finished:
        """Run `python -m` with these arguments."""
        return self._run(["-m", *arguments], environment)

    def environment(self, **variables: str) -> Dict[str, str]:
        """Return the environment variables of a process that sees these distributions."""
        inherited = {name: value for name, value in os.environ.items() if name != "TAPES_CONFIG"}
        path = os.pathsep.join(map(str, self.path))
        return {**inherited, **variables, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def _run(self, arguments: list[str], variables: Mapping[str, str]) -> Finished:
        done = subprocess.run(
            [sys.executable, "-S", *arguments],
            capture_output=True,
            text=True,
            env=self.environment(**variables),
            cwd=self.root,
            timeout=60,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)
