#!/usr/bin/env python3
"""Every job of this repository, by one command: `python3 noxfile.py -s NAME`.

It needs Python 3.9 or newer and nothing else: where nox is missing it is put into a folder below `.nox/`, and nothing
is installed anywhere else. Where nox is installed, `nox -s NAME` is the same.

    python3 noxfile.py -s tests                      with the running Python
    python3 noxfile.py -s tests -P 3.12              with another one
    python3 noxfile.py -s tests -- tests/docs -x     what comes after -- goes to pytest

Tests talk to real servers. The original StatsD is installed below `.nox/` where node and npm are there; collectd,
Redis, Prometheus and iproute2 come with the system. Tests whose server is missing are skipped, and fail with
TAPES_REQUIRE_SERVERS=1.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata, util
from pathlib import Path
from typing import NoReturn, Optional

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 9)
OLDEST_NOX = 2026
NOX_REQUIREMENT = f"nox>={OLDEST_NOX}"


def run_nox(arguments: list[str]) -> NoReturn:
    """Become nox, from the running Python if it has it and else from an environment of its own."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"tapes needs Python 3.9 or newer; {sys.executable} is {sys.version.split()[0]}.")
    python = sys.executable if has_nox() else str(private_python())
    command = [python, "-m", "nox", "-f", str(ROOT / "noxfile.py"), *arguments]
    if os.name == "nt":  # execv returns to the shell at once there
        sys.exit(subprocess.call(command))
    os.execv(python, command)


def has_nox() -> bool:
    """Whether the running Python can import a nox that is new enough."""
    return util.find_spec("nox") is not None and int(metadata.version("nox").split(".")[0]) >= OLDEST_NOX


def private_python() -> Path:
    """Return the Python of an environment below `.nox/` that has nox, made now if it is not there.

    It is made under another name and renamed when it is complete: an environment under the final name is whole, whoever
    was interrupted and however many make it at once.
    """
    interpreter = os.path.realpath(sys.executable)
    identity = hashlib.sha256(f"{interpreter} {NOX_REQUIREMENT}".encode()).hexdigest()[:8]
    final = ROOT / ".nox" / f"nox-{sys.implementation.cache_tag}-{identity}"
    python = Path("Scripts/python.exe") if os.name == "nt" else Path("bin/python")
    if (final / python).exists():
        return final / python
    print(f"noxfile.py: installing nox for {interpreter} in {final}", flush=True)
    final.parent.mkdir(exist_ok=True)
    # What is there without a working Python is left from one that has been uninstalled since.
    shutil.rmtree(final, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=final.parent) as folder:
        made = Path(folder) / "nox"
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", str(made)],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            subprocess.run(
                [str(made / python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", NOX_REQUIREMENT],
                check=True,
            )
        except subprocess.CalledProcessError as error:
            sys.exit(why_not_installed(error))
        except KeyboardInterrupt:
            sys.exit(130)
        # Another process may have been faster: its environment is as good as this one.
        with contextlib.suppress(OSError):
            made.rename(final)
    return final / python


def why_not_installed(error: subprocess.CalledProcessError) -> str:
    """Say what to do about an environment that could not be made."""
    if util.find_spec("ensurepip") is None or util.find_spec("venv") is None:
        return (
            f"noxfile.py: {sys.executable} comes without the modules venv and ensurepip. Install them and try again:\n"
            f"    apt-get install python3-venv       on Debian and Ubuntu, as root\n"
            f"or install nox yourself, for example with pipx, and use `nox` instead of `python3 noxfile.py`."
        )
    return f"noxfile.py: this failed, see above: {' '.join(error.cmd)}\n{error.stdout or ''}".rstrip()


if __name__ == "__main__":
    run_nox(sys.argv[1:])

import nox  # noqa: E402 - only nox itself comes as far as here

nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
# A session for an interpreter that is not there has tested nothing, so it must not look like success.
nox.options.error_on_missing_interpreters = True

TOOLS = nox.project.load_toml(ROOT / "pyproject.toml")
DISTRIBUTIONS = sorted(pyproject.parent for pyproject in ROOT.glob("tapes-*/pyproject.toml"))
PYTHONS = [*nox.project.python_versions(nox.project.load_toml(ROOT / "tapes-core" / "pyproject.toml")), "pypy3"]

MANY_PROCESSES = "tests/distributed"

# The original StatsD, which the tests send to and ask what it holds.
STATSD = "statsd@0.9.0"

# pyenv puts commands for all its versions on the PATH, of which only the chosen ones work. The real ones go before.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] = os.pathsep.join([*map(str, sorted(PYENV.glob("versions/3*/bin"))), os.environ["PATH"]])


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests against the built wheels. Another Python: -P 3.12. For pytest: -- ARGUMENTS."""
    wheels = install_wheels(session, "tests")
    run_pytest(session, wheels)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest version of each dependency."""
    bounds = Path(session.virtualenv.location) / "lowest.txt"
    bounds.write_text("\n".join(lowest_versions()) + "\n")
    session.log("With %s", ", ".join(lowest_versions()))
    wheels = install_wheels(session, "tests", "--constraint", str(bounds))
    run_pytest(session, wheels)


@nox.session(venv_backend="none")
def matrix(session: nox.Session) -> None:
    """Run the tests with every supported Python that this machine has. For pytest: -- ARGUMENTS."""
    found = [python for python in PYTHONS if works(python)]
    failed = []
    for python in found:
        command = [sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), "-s", "tests", "-P", python]
        if subprocess.call([*command, "--", *session.posargs]):
            failed.append(python)
    missing = [python for python in PYTHONS if python not in found]
    session.log("Tested with %s; not on this machine: %s", ", ".join(found), ", ".join(missing) or "none")
    if failed or not found:
        session.error(f"The tests failed with {', '.join(failed) or 'no Python, as none was found'}.")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests and show which lines of tapes they do not reach. For pytest: -- ARGUMENTS."""
    wheels = install_wheels(session, "tests")
    session.run("coverage", "erase")
    run_pytest(session, wheels, "coverage", "run", "-m")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff. To repair: -- --fix."""
    session.install(*nox.project.dependency_groups(TOOLS, "lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything strictly with mypy. Needs Python 3.10."""
    if sys.version_info < (3, 10) and not session.python:
        session.error("mypy 2 runs on Python 3.10 and newer: choose one with -P.")
    session.install(*nox.project.dependency_groups(TOOLS, "types"), *dependencies())
    sources = [str(folder / "src") for folder in DISTRIBUTIONS]
    others = [name for name in ("tests", "examples", "benchmarks", "noxfile.py") if (ROOT / name).exists()]
    session.run("mypy", *sources, *others, *session.posargs, env={"MYPYPATH": os.pathsep.join(sources)})


@nox.session
def stubs(session: nox.Session) -> None:
    """Write the stubs of classes whose constructors are made of those of others: see tests/typing/stubs.py."""
    install_wheels(session, "build")
    session.run("python", "-m", "tests.typing.stubs")


@nox.session
def demo(session: nox.Session) -> None:
    """Drive an instrumented web application and check its count. Options: -- --seconds N --statsd HOST:PORT."""
    install_wheels(session, "demo")
    # After Ctrl-C the demo ends the application and shows what it has counted; nox would kill it after 0.3 s.
    session.run("python", "-m", "examples.shop.demo", *session.posargs, interrupt_timeout=30, terminate_timeout=5)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare the costs with prometheus_client and write benchmarks/RESULTS.md. A short run: -- --quick."""
    install_wheels(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


def install_wheels(session: nox.Session, group: str, *pip_options: str) -> Path:
    """Build the wheel of every distribution and install them all, with what `group` requires. Return their folder."""
    requirements = set(nox.project.dependency_groups(TOOLS, "build", group))
    session.install(*pip_options, *sorted(requirements))
    wheels = Path(session.virtualenv.location) / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    session.run("python", *build, *map(str, DISTRIBUTIONS))
    built = sorted(map(str, wheels.glob("*.whl")))
    session.install(*pip_options, *built)
    # A reused environment may hold an older wheel of the same version.
    session.install("--force-reinstall", "--no-deps", *built)
    return wheels


def run_pytest(session: nox.Session, wheels: Path, *runner: str) -> None:
    """Run the tests. They are told where the wheels are, so that they can insist on being run against them."""
    told = {"TAPES_WHEELS": str(wheels)}
    statsd = statsd_server(session)
    if statsd is not None:
        told["TAPES_STATSD"] = str(statsd)
    if runner or session.posargs:
        session.run(*runner, "pytest", *session.posargs, env=told)
        return
    # Tests wait for processes, and those of many processes mostly for one another, so some of them run at a time. Long
    # ones stand side by side in a file: whoever has no more tests takes over some of another's.
    at_a_time = ("--dist", "worksteal", "--numprocesses")
    session.run("pytest", "--ignore", MANY_PROCESSES, *at_a_time, "4", env=told)
    session.run("pytest", MANY_PROCESSES, *at_a_time, "5", env=told)


def statsd_server(session: nox.Session) -> Optional[Path]:
    """Return the script that runs the original StatsD, installed below `.nox/` now if it is not there.

    None where it cannot be installed: the tests say what is missing. Like the environment of nox, it is made under
    another name and renamed when it is complete.
    """
    final = ROOT / ".nox" / "servers" / STATSD.replace("@", "-")
    script = Path("node_modules", "statsd", "stats.js")
    if "TAPES_STATSD" in os.environ:
        return Path(os.environ["TAPES_STATSD"])
    if (final / script).exists():
        return final / script
    npm = shutil.which("npm")
    if npm is None:
        session.log("There is no npm to install the server %s with: install nodejs and npm.", STATSD)
        return None
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=final.parent) as folder:
        made = Path(folder) / "server"
        made.mkdir()
        options = ["--no-audit", "--no-fund", "--omit=optional", "--fetch-retries=1", "--prefix", str(made)]
        install = [npm, "install", *options, STATSD]
        done = subprocess.run(install, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            session.warn(f"npm could not install the server {STATSD}:\n{done.stdout}")
            return None
        # Another process may have been faster: its server is as good as this one.
        with contextlib.suppress(OSError):
            made.rename(final)
    return final / script


def dependencies() -> list[str]:
    """Return what the distributions require, apart from one another."""
    projects = [nox.project.load_toml(folder / "pyproject.toml")["project"] for folder in DISTRIBUTIONS]
    own = {project["name"] for project in projects}
    required = {requirement for project in projects for requirement in project.get("dependencies", ())}
    return sorted(requirement for requirement in required if re.split(r"[^\w.-]", requirement)[0] not in own)


def lowest_versions() -> list[str]:
    """Return the dependencies with their lower bounds as the exact versions."""
    return [requirement.replace(">=", "==", 1) for requirement in dependencies()]


def works(python: str) -> bool:
    """Whether the interpreter of that name or version is on this machine."""
    command = shutil.which(python if python.startswith("py") else f"python{python}")
    return command is not None and subprocess.call([command, "-c", ""], stderr=subprocess.DEVNULL) == 0
